"""kube-proxy's iptables mode: its rules, word for word, and what decides about them.

The golden files are what iptables-save prints (tests/kernel/test_services_iptables.py holds it to
that) of what Kubernetes' proxier writes (pkg/proxy/iptables/proxier.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import chain as chained
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab import Cluster, Node, Service, ServicePort, flannel
from netlab.designing import design
from netlab.errors import BadInput
from netlab.plan.routing import Sysctl
from netlab.plan.rulesets import IptablesTable
from netlab.plan.rulesets.iptables import transaction
from netlab.proxy.iptables import Iptables
from netlab.proxy.iptables_rules import hashed, probability
from netlab.proxy.iptables_services import LARGE_CLUSTER, Form, is_large, rules
from netlab.topology.resolved import EndpointSpec, ServicePortSpec, ServiceSpec
from tests.unit.iptables_text import saved
from tests.unit.test_proxy_nftables import DUAL_STACK, NODES, SERVICES

GOLDEN = Path(__file__).parent / "golden"
WEB = "LOLE4ISW44XBNF3G"  # of default/web, tcp
NEAR = "JP74GBMZCWWFJUWR"
WORDS = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
LAST = f'-m comment --comment "{WORDS}"'
JOINED = (("nat", "POSTROUTING"), ("filter", "FORWARD"))
LOCAL = "-m addrtype --dst-type LOCAL"


def tables(
    node: str = "node-1", proxy: Iptables | None = None, **fields: Any
) -> dict[str, IptablesTable]:
    """The tables of a node by what their program and they are called, as `ip nat`."""
    given = {"nodes": NODES, "services": SERVICES, **fields}
    wanted = design(Cluster(proxy=proxy or Iptables(), **given), {})
    found = wanted.plan.namespaces[node].ruleset
    return {f"{t.family} {t.name}": t for t in found if isinstance(t, IptablesTable)}


def nat(node: str = "node-1", proxy: Iptables | None = None, **fields: Any) -> IptablesTable:
    return tables(node, proxy, **fields)["ip nat"]


def chain(table: IptablesTable, name: str) -> tuple[str, ...]:
    return table.by_name[name].rules


@pytest.mark.parametrize(
    ("golden", "node", "family", "fields"),
    [
        ("node-1", "node-1", "ip", {}),
        ("node-2", "node-2", "ip", {}),
        ("dual-stack-ip6", "node-1", "ip6", DUAL_STACK),
    ],
)
def test_all_of_a_node(golden: str, node: str, family: str, fields: dict[str, Any]) -> None:
    both = (
        Service("both", port=80, target_port=8080, node_port=30090, dual_stack=True, affinity=9),
    )
    given = {"services": (*SERVICES, *both), **fields} if fields else {}
    found = tables(node, **given)
    text = saved(table for table in found.values() if table.family == family)
    assert text == (GOLDEN / f"kube-proxy-iptables-{golden}.save").read_text()


@pytest.mark.parametrize(
    ("name", "protocol", "hash"),
    [
        ("default/kubernetes:https", "tcp", "NPX46M4PTMTKRN6Y"),
        ("kube-system/kube-dns:dns", "udp", "TCOU7JCQXEZGVUNU"),
        ("kube-system/kube-dns:dns-tcp", "tcp", "ERIFXISQEP7F7OF4"),
        ("ns1/svc1:p80", "tcp", "XPGD46QRK7WJZT7O"),
    ],
)
def test_chains_have_kubernetes_hashes(name: str, protocol: str, hash: str) -> None:
    """Those that every cluster has, and of proxier_test.go."""
    assert hashed(name, protocol) == hash
    assert hashed("ns1/svc1:p80", "tcp", "10.180.0.1:80") == "SXIVWICOYRO3J4NJ"


def test_jumps_are_in_the_order_of_a_fresh_node() -> None:
    found = tables()
    targets = {
        (name, source): [rule.split()[-1] for rule in chain(found[f"ip {name}"], source)]
        for name, source in (
            ("filter", "INPUT"),
            ("filter", "FORWARD"),
            ("filter", "OUTPUT"),
            ("nat", "PREROUTING"),
            ("nat", "OUTPUT"),
            ("nat", "POSTROUTING"),
        )
    }
    assert targets == {
        ("filter", "INPUT"): [
            "KUBE-FIREWALL",
            "KUBE-PROXY-FIREWALL",
            "KUBE-NODEPORTS",
            "KUBE-EXTERNAL-SERVICES",
        ],
        ("filter", "FORWARD"): [
            "KUBE-PROXY-FIREWALL",
            "KUBE-FORWARD",
            "KUBE-SERVICES",
            "KUBE-EXTERNAL-SERVICES",
        ],
        ("filter", "OUTPUT"): ["KUBE-FIREWALL", "KUBE-PROXY-FIREWALL", "KUBE-SERVICES"],
        ("nat", "PREROUTING"): ["KUBE-SERVICES"],
        ("nat", "OUTPUT"): ["KUBE-SERVICES"],
        ("nat", "POSTROUTING"): ["KUBE-POSTROUTING"],
    }
    assert all("KUBE-PROXY-CANARY" in table.by_name for table in found.values())


def test_flannels_rules_in_the_same_tables_come_after() -> None:
    found = tables(dataplane=flannel.Vxlan(rules="iptables"))
    last = {name: chain(found[f"ip {table}"], name)[-2:] for table, name in JOINED}
    assert [rule.split()[-1] for rule in last["POSTROUTING"]] == [
        "KUBE-POSTROUTING",
        "FLANNEL-POSTRTG",
    ]
    assert [rule.split()[-1] for rule in last["FORWARD"]] == [
        "KUBE-EXTERNAL-SERVICES",
        "FLANNEL-FWD",
    ]
    apart = tables(proxy=Iptables(backend="legacy"), dataplane=flannel.Vxlan(rules="iptables"))
    assert {table.backend for table in apart.values()} == {"legacy", "nft"}


@pytest.mark.parametrize(
    ("count", "printed"),
    [(2, "0.50000000000"), (3, "0.33333333349"), (7, "0.14285714272"), (10, "0.10000000009")],
)
def test_probabilities_are_printed_as_the_kernel_keeps_them(count: int, printed: str) -> None:
    assert probability(count) == printed


@given(st.integers(2, 400))
def test_every_endpoint_has_the_same_chance(count: int) -> None:
    left = 1.0
    for place in range(count - 1):
        chance = float(probability(count - place))
        assert left * chance == pytest.approx(1 / count, rel=1e-6)
        left *= 1 - chance
    assert left == pytest.approx(1 / count, rel=1e-6)


def test_affinity_is_looked_for_before_chance() -> None:
    found = nat()
    name = f"KUBE-SVC-{hashed('default/sticky', 'tcp')}"
    kinds = [re.findall(r"-m (recent|statistic)", rule) for rule in chain(found, name)]
    assert kinds == [[], ["recent"], ["recent"], ["statistic"], []]


def test_local_policies_without_an_endpoint_near_drop_and_without_any_refuse() -> None:
    """The node's own and its pods are served by all of them."""
    found = tables("node-2")
    assert [rule.split(" -j ")[1] for rule in chain(found["ip filter"], "KUBE-SERVICES")] == [
        "DROP",
        "REJECT --reject-with icmp-port-unreachable",
    ]
    external = chain(found["ip nat"], f"KUBE-EXT-{NEAR}")
    assert [rule.split(" -j ")[1] for rule in external] == [
        f"KUBE-SVC-{NEAR}",
        "KUBE-MARK-MASQ",
        f"KUBE-SVC-{NEAR}",
    ]
    assert f"KUBE-SVL-{NEAR}" not in found["ip nat"].by_name
    assert chain(tables("node-1")["ip nat"], f"KUBE-EXT-{NEAR}")[-1] == f"-j KUBE-SVL-{NEAR}"


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({}, "! -s 10.244.0.0/16 -d 10.96.0.80/32 -p tcp"),
        ({"detect_local": "NodeCIDR"}, "! -s 10.244.0.0/24 -d 10.96.0.80/32 -p tcp"),
        (
            {"detect_local": "BridgeInterface", "local_device": "cni0"},
            "-d 10.96.0.80/32 ! -i cni0 -p tcp",
        ),
        (
            {"detect_local": "InterfaceNamePrefix", "local_device": "cali"},
            "-d 10.96.0.80/32 ! -i cali+ -p tcp",
        ),
        ({"masquerade_all": True}, "-d 10.96.0.80/32 -p tcp"),
    ],
)
def test_who_is_masqueraded_on_the_way_to_a_cluster_ip(options: dict[str, Any], first: str) -> None:
    words = '-m comment --comment "default/web cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ'
    assert chain(nat(proxy=Iptables(**options)), f"KUBE-SVC-{WEB}")[0] == f"{first} {words}"


@pytest.mark.parametrize(
    ("options", "last", "localhost"),
    [
        ({}, [f"{LAST} {LOCAL}"], True),
        ({"localhost_nodeports": False}, [f"! -d 127.0.0.0/8 {LAST} {LOCAL}"], False),
        ({"node_port_addresses": ("primary",)}, [f"-d 192.168.0.1/32 {LAST}"], False),
        ({"node_port_addresses": ("0.0.0.0/0",)}, [f"{LAST} {LOCAL}"], True),
        ({"node_port_addresses": ("192.168.0.2/32",)}, [], False),
        (
            {"node_port_addresses": ("192.168.0.0/24", "127.0.0.0/8")},
            [f"-d 192.168.0.1/32 {LAST}", f"-d 127.0.0.1/32 {LAST}"],
            True,
        ),
    ],
)
def test_where_node_ports_answer(options: dict[str, Any], last: list[str], localhost: bool) -> None:
    """127.0.0.1 takes a setting that opens more than it should, which KUBE-FIREWALL closes."""
    proxy = Iptables(**options)
    found = tables(proxy=proxy)
    leads = [rule for rule in chain(found["ip nat"], "KUBE-SERVICES") if "NODEPORTS" in rule]
    assert leads == [f"{rule} -j KUBE-NODEPORTS" for rule in last]
    assert bool(chain(found["ip filter"], "KUBE-FIREWALL")) is localhost
    wanted = design(Cluster(nodes=NODES, services=SERVICES, proxy=proxy), {})
    setting = Sysctl("net/ipv4/conf/all/route_localnet", "1")
    assert (setting in wanted.plan.namespaces["node-1"].sysctls) is localhost


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"node_port_addresses": ("eth0",)},
            "The proxy's node_port_addresses 'eth0' is neither 'primary' nor a network such as "
            "192.168.0.0/24.",
        ),
        (
            {"node_port_addresses": ("10.244.0.0/24",)},
            "The proxy's node_port_addresses '10.244.0.0/24' meets the pod network, of whose "
            "addresses the dataplane decides.",
        ),
        (
            {"node_port_addresses": ("primary",), "localhost_nodeports": False},
            "The proxy's localhost_nodeports has no effect: 127.0.0.1 is not among its "
            "node_port_addresses.",
        ),
    ],
)
def test_what_cannot_be_or_changes_nothing_is_refused(
    options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadInput) as refused:
        tables(proxy=Iptables(**options))
    assert str(refused.value) == sentence


def test_a_liberal_conntrack_finds_nothing_invalid() -> None:
    assert "INVALID" in chain(tables()["ip filter"], "KUBE-FORWARD")[0]
    found = chain(tables(proxy=Iptables(tcp_be_liberal=True))["ip filter"], "KUBE-FORWARD")
    assert len(found) == 2
    assert not any("INVALID" in rule for rule in found)


def spec(name: str, count: int, *, nodes: int = 2, port: str = "", **fields: Any) -> ServiceSpec:
    """A Service with endpoints that are dealt out to nodes."""
    ends = tuple(
        EndpointSpec(ip_address("10.244.0.0") + place, 80, f"p{place}", f"node-{place % nodes + 1}")
        for place in range(1, count + 1)
    )
    one = ServicePortSpec(port, "TCP", 80, 80, fields.pop("node_port", 0), ends)
    return ServiceSpec(name, "default", (ip_address("10.96.0.9"),), (one,), **fields)


def test_a_large_cluster_has_no_comments_on_endpoints() -> None:
    for count in (LARGE_CLUSTER, LARGE_CLUSTER + 1):
        services = [spec("a", 5, affinity=9), spec("b", count - 5)]
        large = is_large(services, ipv6=False)
        assert large is (count > LARGE_CLUSTER)
        lines = list(
            rules(services, Form(ipv6=False, node="node-1", source="-s 1.2.3.0/24", large=large))
        )
        own = [line for line in lines if line.chain.startswith(("KUBE-SVC", "KUBE-SEP"))]
        told = [line.rule for line in own if "cluster IP" not in line.rule]
        assert all(("--comment" in rule) is not large for rule in told)
        assert sum("cluster IP" in line.rule for line in lines) == 4


def test_one_endpoint_less_writes_the_chains_of_its_service_alone() -> None:
    def planned(pods: tuple[str, ...]) -> IptablesTable:
        services = [Service(f"s{n}", port=80, target_port=8080) for n in range(5)]
        return nat(
            nodes=2, services=[*services, Service("one", port=80, target_port=8080, pods=pods)]
        )

    before, after = planned(("pod-1-1", "pod-2-1")), planned(("pod-1-1",))
    service, kept, gone = (
        f"KUBE-{kind}-{hashed('default/one', 'tcp', *end)}"
        for kind, end in (
            ("SVC", ()),
            ("SEP", ("10.244.0.2:8080",)),
            ("SEP", ("10.244.1.2:8080",)),
        )
    )
    text = list(transaction(after, before))
    assert text[:3] == ["*nat", f":{service} - [0:0]", f"-F {gone}"]
    assert text[-2:] == [f"-X {gone}", "COMMIT"]
    assert [line.split()[-1] for line in text[3:-2]] == ["KUBE-MARK-MASQ", kept]


ENDS = st.builds(
    EndpointSpec,
    address=st.integers(1, 9).map(lambda n: ip_address("10.244.0.0") + n),
    port=st.just(80),
    target=st.just("p"),
    node=st.sampled_from(("node-1", "node-2")),
    ready=st.booleans(),
    serving=st.booleans(),
    terminating=st.booleans(),
)
POLICIES = st.sampled_from(("Cluster", "Local"))
PORTS = st.builds(
    ServicePortSpec,
    name=st.sampled_from(("", "http")),
    protocol=st.sampled_from(("TCP", "UDP")),
    port=st.just(80),
    target_port=st.just(80),
    node_port=st.sampled_from((0, 30080)),
    endpoints=st.lists(ENDS, max_size=5, unique_by=lambda one: one.address).map(tuple),
)
SPECS = st.builds(
    ServiceSpec,
    name=st.sampled_from("abc"),
    namespace=st.just("default"),
    cluster_ips=st.just((ip_address("10.96.0.9"),)),
    ports=st.tuples(PORTS),
    affinity=st.sampled_from((0, 10)),
    external_policy=POLICIES,
    internal_policy=POLICIES,
    external_ips=st.sampled_from(((), (ip_address("198.51.100.1"),))),
)
FIXED = {"KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-MARK-MASQ"}


def targets(lines: Iterable[str]) -> list[str]:
    return list(chained.from_iterable(re.findall(r"-j (KUBE-\S+)", rule) for rule in lines))


@given(st.lists(SPECS, max_size=3, unique_by=lambda one: one.name))
def test_every_chain_is_led_to_and_every_jump_leads_somewhere(services: list[ServiceSpec]) -> None:
    """As checkIPTablesRuleJumps in proxier_test.go: a restore would fail, or chains be stale."""
    form = Form(ipv6=False, node="node-1", source="-s 10.244.0.0/16")
    lines = [line for line in rules(services, form) if line.table == "nat"]
    chains = {line.chain for line in lines} | FIXED
    led = set(targets(line.rule for line in lines))
    assert led <= chains
    assert chains - led <= FIXED
    for name in chains - FIXED:
        own = [line.rule for line in lines if line.chain == name]
        assert all(len(part) <= 28 for part in (name, *targets(own)))  # the kernel's limit
        if name.startswith("KUBE-SEP"):
            assert [rule.split(" -j ")[1].split()[0] for rule in own] == ["KUBE-MARK-MASQ", "DNAT"]


@given(SPECS)
def test_a_cluster_ip_is_translated_or_refused(service: ServiceSpec) -> None:
    form = Form(ipv6=False, node="node-1")
    lines = [line for line in rules([service], form) if "-d 10.96.0.9/32" in line.rule]
    leads = [(line.table, line.chain) for line in lines if "KUBE-MARK-MASQ" not in line.rule]
    assert len(leads) == 1
    assert leads[0] in (("nat", "KUBE-SERVICES"), ("filter", "KUBE-SERVICES"))


def test_a_headless_service_has_no_rules() -> None:
    text = saved(tables(services=(Service("pods", port=8080, cluster_ip="None"),)).values())
    assert "pods" not in text


def test_one_number_of_two_protocols_are_two() -> None:
    ports = (ServicePort(7, 8080, "TCP", 30007, "a"), ServicePort(7, 8081, "UDP", 30007, "b"))
    found = nat(nodes=[Node(pods=1)], services=(Service("echo", ports=ports),))
    assert [rule.split()[1] for rule in chain(found, "KUBE-NODEPORTS")] == ["tcp", "udp"]
