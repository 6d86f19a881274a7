"""kube-proxy's nftables table: its text, word for word, and what decides about it.

The golden tables are what nft 1.0.6 prints of what Kubernetes' proxier writes (setupNFTables and
syncProxyRules in pkg/proxy/nftables/proxier.go): in the form of 1.36, and in that before it.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from netlab import Cluster, Node, Pod, Service, ServicePort
from netlab.designing import design
from netlab.errors import BadInput
from netlab.plan.explaining import explain
from netlab.plan.rulesets import NftTable
from netlab.plan.rulesets.nft_transaction import transaction
from netlab.proxy.nftables import Nftables
from netlab.proxy.nftables_names import endpoint_base, port_base
from netlab.proxy.nftables_services import duration
from netlab.topology.resolved import EndpointSpec, ServicePortSpec, ServiceSpec

GOLDEN = Path(__file__).parent / "golden"
SERVICES = (
    Service("web", port=80, target_port=8080, node_port=30080, cluster_ip="10.96.0.80"),
    Service(
        "dns",
        namespace="kube-system",
        ports=(
            ServicePort(53, 8081, "UDP", name="dns"),
            ServicePort(53, 8080, "TCP", name="dns-tcp"),
        ),
        cluster_ip="10.96.0.10",
    ),
    Service(
        "near",
        port=80,
        target_port=8080,
        node_port=30081,
        pods=("a",),
        external_traffic_policy="Local",
        internal_traffic_policy="Local",
        cluster_ip="10.96.0.81",
    ),
    Service("sticky", port=80, target_port=8080, affinity=10800, cluster_ip="10.96.0.82"),
    Service("empty", port=80, pods=(), node_port=30082, cluster_ip="10.96.0.83"),
    Service(
        "outside",
        port=443,
        target_port=8080,
        pods=("b",),
        external_ips=("198.51.100.1",),
        external_traffic_policy="Local",
        cluster_ip="10.96.0.84",
    ),
    Service("pods", port=8080, cluster_ip="None"),
)
NODES = (Node(pods=(Pod("a"), Pod("resolver", namespace="kube-system"))), Node(pods=(Pod("b"),)))
DUAL_STACK: dict[str, Any] = {
    "cluster_cidr": ("10.244.0.0/16", "fd00:10:244::/56"),
    "service_cidr": ("10.96.0.0/12", "fd00:10:96::/112"),
}


def tables(node: str = "node-1", proxy: Nftables | None = None, **fields: Any) -> list[NftTable]:
    given = {"nodes": NODES, "services": SERVICES, **fields}
    wanted = design(Cluster(proxy=proxy or Nftables(), **given), {})
    ruleset = wanted.plan.namespaces[node].ruleset
    return [item for item in ruleset if isinstance(item, NftTable) and item.name == "kube-proxy"]


def table(node: str = "node-1", proxy: Nftables | None = None, **fields: Any) -> NftTable:
    return tables(node, proxy, **fields)[0]


def rules(of: NftTable, chain: str) -> tuple[str, ...]:
    return next(one.rules for one in of.chains if one.name == chain)


def elements(of: NftTable, name: str) -> tuple[str, ...]:
    return next(one.texts for one in (*of.sets, *of.maps) if one.name == name)


@pytest.mark.parametrize("node", ["node-1", "node-2"])
@pytest.mark.parametrize("version", ["1.36", "1.35"])
def test_the_whole_table(version: Any, node: str) -> None:
    golden = GOLDEN / f"kube-proxy-{version}-{node}.nft"
    assert table(node, Nftables(version=version)).script == golden.read_text()


@pytest.mark.parametrize(
    ("namespace", "name", "protocol", "port", "base"),
    [
        ("default", "kubernetes", "TCP", "https", "2QRHZV4L-default/kubernetes/tcp/https"),
        ("ns1", "svc1", "TCP", "p80", "ULMVA6XW-ns1/svc1/tcp/p80"),
    ],
)
def test_names_have_kubernetes_hashes(
    namespace: str, name: str, protocol: str, port: str, base: str
) -> None:
    """Those of servicePortChainNameBase in proxier_test.go, and of a live node."""
    spec = ServicePortSpec(port, protocol, 80, 80)
    assert port_base(ServiceSpec(name, namespace, (), (spec,)), spec) == base


@pytest.mark.parametrize(
    ("address", "base"),
    [
        ("10.180.0.1", "5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"),
        ("fd00:10::1", "YO76WRLM-ns1/svc1/tcp/p80__fd00.10..1/80"),
    ],
)
def test_an_endpoint_has_its_address_in_its_name(address: str, base: str) -> None:
    port = ServicePortSpec("p80", "TCP", 80, 80)
    service = ServiceSpec("svc1", "ns1", (), (port,))
    endpoint = EndpointSpec(ip_address(address), 80, "pod", "node-1")
    assert endpoint_base(service, port, endpoint) == base


def test_a_name_is_cut_where_the_kernel_has_no_room() -> None:
    port = ServicePortSpec("p" * 63, "TCP", 80, 80)
    service = ServiceSpec("s" * 63, "n" * 63, (), (port,))
    endpoint = EndpointSpec(ip_address("fd00:1111:2222:3333:4444:5555:6666:7777"), 65535, "p", "n")
    assert len(port_base(service, port)) == 204
    base = endpoint_base(service, port, endpoint)
    assert (len(base), base[-3:]) == (240, "...")


# Chain, hook, priority as a number, what it jumps to for new connections and for all.
BASE_CHAINS = (
    "filter-prerouting-pre-dnat prerouting -110 firewall-check",
    "filter-output-pre-dnat output -110 firewall-check",
    "filter-input input 0 nodeport-endpoints-check service-endpoints-check",
    "filter-forward forward 0 service-endpoints-check cluster-ips-check",
    "filter-output output 0 service-endpoints-check cluster-ips-check",
    "nat-prerouting prerouting -100 services",
    "nat-output output -100 services",
    "nat-postrouting postrouting 100 masquerading",
)
PRIORITIES = {"dstnat - 10": -110, "filter": 0, "dstnat": -100, "srcnat": 100}


@pytest.mark.parametrize("version", ["1.36", "1.35"])
def test_base_chains_are_those_of_the_proxier(version: Any) -> None:
    """nftablesBaseChains and nftablesJumpChains in proxier.go."""
    found = []
    for chain in table(proxy=Nftables(version=version)).chains:
        if hook := chain.hook:
            kind, _, _ = chain.name.partition("-")
            new = "ct state new jump " if kind == "filter" else "jump "
            assert (hook.type, hook.policy) == (kind, "accept")
            assert all(rule.startswith(new) for rule in chain.rules)
            named = PRIORITIES.get(hook.priority)
            priority = int(hook.priority) if named is None else named
            targets = " ".join(rule.removeprefix(new) for rule in chain.rules)
            found.append(f"{chain.name} {hook.hook} {priority} {targets}")
    assert tuple(found) == BASE_CHAINS


@pytest.mark.parametrize(
    ("version", "sets"),
    [
        ("1.36", ["hairpin-connections", "cluster-ips", "nodeport-ips"]),
        ("1.35", ["cluster-ips", "nodeport-ips"]),
    ],
)
def test_sets_and_maps_are_those_of_the_proxier(version: Any, sets: list[str]) -> None:
    made = table(proxy=Nftables(version=version))
    assert [one.name for one in made.sets if not one.learns] == sets
    target, port = "ipv4_addr . inet_proto . inet_service", "inet_proto . inet_service"
    assert {one.name: one.type for one in made.maps} == {
        "service-ips": f"{target} : verdict",
        "no-endpoint-services": f"{target} : verdict",
        "firewall-ips": f"{target} : verdict",
        "service-nodeports": f"{port} : verdict",
        "no-endpoint-nodeports": f"{port} : verdict",
    }
    kept = [one for one in made.sets if one.learns]
    assert [(one.flags, one.options, one.elements) for one in kept] == [
        (("dynamic", "timeout"), ("size 65535", "timeout 3h"), ())
    ] * 2
    fixed = {one.name for one in made.chains if "/" not in one.name and one.hook is None}
    marking = {"mark-for-masquerade"} if version == "1.35" else set()
    assert fixed == marking | {
        "services",
        "masquerading",
        "reject-chain",
        "firewall-check",
        "service-endpoints-check",
        "nodeport-endpoints-check",
        "cluster-ips-check",
    }


@pytest.mark.parametrize("version", ["1.36", "1.35"])
def test_a_dual_stack_service_is_in_both_tables(version: Any) -> None:
    service = Service(
        "web", port=80, target_port=8080, node_port=30080, dual_stack=True, affinity=90
    )
    four, six = tables(
        proxy=Nftables(version=version), nodes=1, pods_per_node=1, services=[service], **DUAL_STACK
    )
    assert (four.family, six.family) == ("ip", "ip6")
    text = six.script
    assert not [word for word in ("ipv4_addr", "ip daddr", "ip saddr") if word in text]
    base = "JW3TX5YG-default/web/tcp/__fd00.10.244..2/8080"
    assert rules(six, f"endpoint-{base}")[-2:] == (
        f"update @affinity-{base} {{ ip6 saddr }}",
        "meta l4proto tcp dnat to [fd00:10:244::2]:8080",
    )
    assert rules(six, "cluster-ips-check")[1].startswith("ip6 daddr fd00:10:96::/112 drop")
    assert elements(six, "nodeport-ips") == ("fd30::1",)
    assert elements(six, "service-nodeports") == (
        "tcp . 30080 : goto external-PFISGYVC-default/web/tcp/",
    )
    # The API server's Service is of the first family alone.
    assert [text for text in elements(six, "service-ips") if "kubernetes" in text] == []
    if version == "1.36":
        assert elements(six, "hairpin-connections") == (
            "fd00:10:244::2 . fd00:10:244::2 . tcp . 8080",
        )
        plain = tables(
            nodes=1,
            pods_per_node=1,
            services=[Service("web", port=80, target_port=8080, dual_stack=True)],
            **DUAL_STACK,
        )[1]
        assert rules(plain, "service-PFISGYVC-default/web/tcp/") == (
            "meta l4proto tcp dnat ip6 to numgen random mod 1 map { 0 : fd00:10:244::2 . 8080 }",
        )


NOT_LOCAL = {
    "NodeCIDR": ("", "ip saddr != 10.244.0.0/24"),
    "BridgeInterface": ("cni0", 'iifname != "cni0"'),
    "InterfaceNamePrefix": ("veth", 'iifname != "veth*"'),
}


@pytest.mark.parametrize("mode", NOT_LOCAL)
def test_who_is_a_pod_of_the_node(mode: Any) -> None:
    """NewDetectLocalBy… in pkg/proxy/util/localdetector.go."""
    device, words = NOT_LOCAL[mode]
    new, old = (
        table(proxy=Nftables(version=version, detect_local=mode, local_device=device))
        for version in ("1.36", "1.35")
    )
    marks = f"ip daddr @cluster-ips {words} meta mark set meta mark | 0x00004000 comment"
    assert rules(new, "services")[0].startswith(marks)
    assert rules(old, "service-PFISGYVC-default/web/tcp/")[0] == (
        f"ip daddr 10.96.0.80 {words} jump mark-for-masquerade"
    )
    local = words.replace("!= ", "")
    short = rules(new, "external-ZECIQX5M-default/near/tcp/")[0]
    assert short.startswith(f"{local} goto service-ZECIQX5M-default/near/tcp/ comment")


def test_everything_to_a_cluster_ip_may_be_masqueraded() -> None:
    new, old = (
        table(proxy=Nftables(version=version, masquerade_all=True)) for version in ("1.36", "1.35")
    )
    first = rules(new, "services")[0]
    assert first.startswith("ip daddr @cluster-ips meta mark set meta mark | 0x00004000 comment")
    assert rules(old, "service-PFISGYVC-default/web/tcp/")[0] == (
        "ip daddr 10.96.0.80 jump mark-for-masquerade"
    )


@pytest.mark.parametrize(
    ("given", "ips"),
    [
        (("primary",), ("192.168.0.1",)),
        ((), None),
        (("0.0.0.0/0",), None),
        (("fd00::/8",), None),  # none of the family counts as all of it
        (("192.168.0.0/24",), ("192.168.0.1",)),
        (("172.16.0.0/12",), ()),
    ],
)
def test_at_which_addresses_node_ports_answer(
    given: tuple[str, ...], ips: tuple[str, ...] | None
) -> None:
    made = table(proxy=Nftables(node_port_addresses=given))
    where, refusing = rules(made, "services")[-1], rules(made, "nodeport-endpoints-check")[0]
    tail = "meta l4proto . th dport vmap"
    if ips is None:
        assert "nodeport-ips" not in {one.name for one in made.sets}
        everywhere = "ip daddr != 127.0.0.0/8"
        assert where == f"fib daddr type local {everywhere} {tail} @service-nodeports"
        assert refusing == f"{everywhere} {tail} @no-endpoint-nodeports"
        return
    assert elements(made, "nodeport-ips") == ips
    assert where == f"ip daddr @nodeport-ips {tail} @service-nodeports"
    assert refusing == f"ip daddr @nodeport-ips {tail} @no-endpoint-nodeports"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("all", "is neither 'primary' nor a network such as 192.168.0.0/24"),
        ("192.168.0.1/24", "is neither 'primary' nor a network"),
        ("127.0.0.0/8", "has no effect: in this mode NodePorts never answer at localhost"),
        ("10.244.0.0/16", "meets the pod network, of whose addresses the dataplane decides"),
    ],
)
def test_addresses_of_node_ports_that_are_refused(given: str, words: str) -> None:
    with pytest.raises(BadInput) as error:
        table(proxy=Nftables(node_port_addresses=(given,)))
    assert f"The proxy's node_port_addresses '{given}' {words}" in str(error.value)


def changed(version: Any, pods: tuple[str, ...], **fields: Any) -> list[str]:
    """The commands by which endpoints a, b become `pods`."""
    before, after = (
        table(
            proxy=Nftables(version=version),
            services=[Service("web", port=80, target_port=8080, pods=chosen, **fields)],
        )
        for chosen in (("a", "b"), pods)
    )
    return list(transaction(after, before))


def test_an_endpoint_less_is_an_element_and_a_chain_of_the_same_transaction() -> None:
    chain = "ip kube-proxy service-PFISGYVC-default/web/tcp/"
    assert changed("1.36", ("a",)) == [
        f"flush chain {chain}",
        "delete element ip kube-proxy hairpin-connections { 10.244.1.2 . 10.244.1.2 . tcp . 8080 }",
        f"add rule {chain} meta l4proto tcp dnat ip to numgen random mod 1 map "
        "{ 0 : 10.244.0.2 . 8080 }",
    ]
    stale = "ip kube-proxy endpoint-X665QFQS-default/web/tcp/__10.244.1.2/8080"
    assert changed("1.35", ("a",)) == [
        f"flush chain {chain}",
        f"flush chain {stale}",
        f"delete chain {stale}",
        f"add rule {chain} ip daddr 10.107.108.210 ip saddr != 10.244.0.0/16 "
        "jump mark-for-masquerade",
        f"add rule {chain} numgen random mod 1 vmap "
        "{ 0 : goto endpoint-WGD5CQAU-default/web/tcp/__10.244.0.2/8080 }",
    ]


def test_the_last_endpoint_takes_its_chain_with_it() -> None:
    chain = "ip kube-proxy service-PFISGYVC-default/web/tcp/"
    key = "10.107.108.210 . tcp . 80"
    assert changed("1.36", ()) == [
        f"flush chain {chain}",
        "delete element ip kube-proxy hairpin-connections { 10.244.0.2 . 10.244.0.2 . tcp . 8080, "
        "10.244.1.2 . 10.244.1.2 . tcp . 8080 }",
        f"delete element ip kube-proxy service-ips {{ {key} }}",
        f"delete chain {chain}",
        f'add element ip kube-proxy no-endpoint-services {{ {key} comment "default/web" : '
        "goto reject-chain }",
    ]


def test_an_endpoint_that_keeps_clients_takes_its_set_with_it() -> None:
    chain, kept, gone = (
        f"ip kube-proxy {name}"
        for name in (
            "service-PFISGYVC-default/web/tcp/",
            "endpoint-WGD5CQAU-default/web/tcp/__10.244.0.2/8080",
            "endpoint-X665QFQS-default/web/tcp/__10.244.1.2/8080",
        )
    )
    commands = changed("1.36", ("a",), affinity=60)
    assert commands[:5] == [
        f"flush chain {chain}",
        f"flush chain {gone}",
        "delete element ip kube-proxy hairpin-connections { 10.244.1.2 . 10.244.1.2 . tcp . 8080 }",
        f"delete set {gone.replace('endpoint', 'affinity')}",
        f"delete chain {gone}",
    ]
    # What remains keeps its clients: neither its set nor its chain is touched.
    assert all(line.startswith(f"add rule {chain} ") for line in commands[5:])
    assert not [line for line in commands if f"chain {kept}" in line]


def test_nothing_is_done_where_nothing_changed() -> None:
    assert changed("1.36", ("a", "b")) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1s"), (60, "1m"), (3661, "1h1m1s"), (10800, "3h"), (86400, "1d"), (86399, "23h59m59s")],
)
def test_seconds_are_written_as_nft_prints_them(seconds: int, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize("version", ["1.36", "1.35"])
def test_every_piece_is_told(version: Any) -> None:
    proxy = Nftables(version=version)
    wanted = design(Cluster(nodes=NODES, services=SERVICES, proxy=proxy, **DUAL_STACK), {})
    told = explain(wanted.layout, wanted.dataplane, wanted.plan, None, wanted.proxy)
    found = [one for one in told if " kube-proxy" in one.object]
    assert {one.kind for one in found} == {"table", "set", "map", "chain", "rule"}
    assert {one.writer for one in found} == {"kube-proxy"}
    assert all(one.why.endswith(".") and len(one.why) < 280 for one in found)
