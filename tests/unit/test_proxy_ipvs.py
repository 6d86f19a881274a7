"""kube-proxy's IPVS mode on a small cluster, and IPVS's messages without a kernel."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from msgspec.structs import replace

from netlab import Cluster, Service, ServicePort, flannel
from netlab.designing import design
from netlab.errors import Unmet
from netlab.kernel import capabilities
from netlab.kernel.rulesets import ipvs
from netlab.kernel.rulesets.spelling import respelled
from netlab.plan.diff import diff
from netlab.plan.document import plan_document
from netlab.plan.explaining import TELLS_NOTHING, explain
from netlab.plan.links import Dummy
from netlab.plan.rulesets import Ipset, IptablesTable, IpvsTable, RealServer, VirtualServer
from netlab.plan.shell import render
from netlab.proxy import spared
from netlab.proxy.kube_proxy import Iptables, Ipvs
from netlab.state import Design

WEB = Service(
    "web",
    port=80,
    target_port=8080,
    node_port=30080,
    cluster_ip="10.96.0.10",
    external_ips=("203.0.113.9",),
)
NEAR = Service(
    "near",
    ports=(ServicePort(7, 8080, "TCP", 30007, "t"), ServicePort(7, 8081, "UDP", 30007, "u")),
    cluster_ip="10.96.0.11",
    pods=("pod-1-1",),
    external_traffic_policy="Local",
    internal_traffic_policy="Local",
    affinity=10,
)
EMPTY = Service("empty", port=80, cluster_ip="10.96.0.12", pods=())
HEADLESS = Service("names", port=8080, cluster_ip="None")


def designed(proxy: Ipvs, **shape: Any) -> Design:
    given: dict[str, Any] = {
        "nodes": 2,
        "pods_per_node": 1,
        "dataplane": flannel.Vxlan(),
        "services": [WEB, NEAR, EMPTY, HEADLESS],
    }
    return design(Cluster(proxy=proxy, **given | shape), {})


@pytest.fixture(scope="module")
def lab() -> Design:
    return designed(Ipvs())


def ruleset(lab: Design, node: str, kind: type[Any]) -> list[Any]:
    return [item for item in lab.plan.namespaces[node].ruleset if isinstance(item, kind)]


def servers(lab: Design, node: str) -> dict[str, list[str]]:
    (table,) = ruleset(lab, node, IpvsTable)
    return {server.key: [real.key for real in server.real] for server in table.servers}


def chains(lab: Design, node: str) -> dict[str, tuple[str, ...]]:
    return {
        f"{table.name} {chain.name}": chain.rules
        for table in ruleset(lab, node, IptablesTable)
        for chain in table.chains
    }


def test_each_address_and_port_is_a_virtual_server(lab: Design) -> None:
    both = ["10.244.0.2:8080", "10.244.1.2:8080"]
    assert servers(lab, "node-1") == {
        "tcp 10.96.0.1:443": ["192.168.0.1:6443"],
        "tcp 10.96.0.10:80": both,
        "tcp 203.0.113.9:80": both,
        "tcp 192.168.0.1:30080": both,
        "tcp 10.244.0.0:30080": both,  # flannel.1's
        "tcp 10.244.0.1:30080": both,  # cni0's
        "tcp 10.96.0.11:7": ["10.244.0.2:8080"],
        "tcp 192.168.0.1:30007": ["10.244.0.2:8080"],
        "tcp 10.244.0.0:30007": ["10.244.0.2:8080"],
        "tcp 10.244.0.1:30007": ["10.244.0.2:8080"],
        "udp 10.96.0.11:7": ["10.244.0.2:8081"],
        "udp 192.168.0.1:30007": ["10.244.0.2:8081"],
        "udp 10.244.0.0:30007": ["10.244.0.2:8081"],
        "udp 10.244.0.1:30007": ["10.244.0.2:8081"],
        "tcp 10.96.0.12:80": [],
    }
    # Without an endpoint of its own a node falls back on those of others.
    assert servers(lab, "node-2")["tcp 192.168.0.2:30007"] == ["10.244.0.2:8080"]
    (table,) = ruleset(lab, "node-1", IpvsTable)
    near, web = table.by_key["tcp 10.96.0.11:7"], table.by_key["tcp 10.96.0.10:80"]
    assert (near.scheduler, near.persistence, near.real[0].weight) == ("rr", 10, 1)
    assert (web.persistence, web.flags, web.real[0].method) == (0, (), "masquerade")


def test_the_device_holds_the_services_addresses(lab: Design) -> None:
    space = lab.plan.namespaces["node-2"]
    device = space.link("kube-ipvs0")
    assert isinstance(device, Dummy)
    assert (device.up, device.arp) == (False, False)
    held = ["10.96.0.1", "10.96.0.10", "203.0.113.9", "10.96.0.11", "10.96.0.12"]
    assert [item.ip for item in space.addresses if item.link == "kube-ipvs0"] == held
    settings = {item.path: item.value for item in space.sysctls}
    for name in ("conntrack", "expire_nodest_conn", "expire_quiescent_template"):
        assert settings[f"net/ipv4/vs/{name}"] == "1"
    assert "net/ipv4/conf/all/arp_ignore" not in settings
    assert {"dummy", "ipset", "ip_vs", "ip_vs_rr"} <= set(lab.plan.requires)


def test_ip_sets(lab: Design) -> None:
    sets = {item.name: item for item in ruleset(lab, "node-1", Ipset)}
    assert len(sets) == 17
    assert {name: item.entries for name, item in sets.items() if item.entries} == {
        "KUBE-LOOP-BACK": (
            "10.244.0.2,tcp:8080,10.244.0.2",
            "10.244.0.2,udp:8081,10.244.0.2",
        ),
        "KUBE-CLUSTER-IP": (
            "10.96.0.1,tcp:443",
            "10.96.0.10,tcp:80",
            "10.96.0.11,tcp:7",
            "10.96.0.11,udp:7",
            "10.96.0.12,tcp:80",
        ),
        "KUBE-EXTERNAL-IP": ("203.0.113.9,tcp:80",),
        "KUBE-NODE-PORT-TCP": ("30080", "30007"),
        "KUBE-NODE-PORT-LOCAL-TCP": ("30007",),
        "KUBE-NODE-PORT-UDP": ("30007",),
        "KUBE-NODE-PORT-LOCAL-UDP": ("30007",),
        "KUBE-IPVS-IPS": ("10.96.0.1", "10.96.0.10", "203.0.113.9", "10.96.0.11", "10.96.0.12"),
    }
    definition = "KUBE-NODE-PORT-TCP bitmap:port range 0-65535"
    assert sets["KUBE-NODE-PORT-TCP"].definition == definition
    assert sets["KUBE-LOOP-BACK"].type == "hash:ip,port,ip"
    assert sets["KUBE-LOAD-BALANCER-SOURCE-CIDR"].type == "hash:ip,port,net"


def match(name: str, how: str, target: str) -> str:
    return f"-m set --match-set {name} {how} -j {target}"


def test_chains_in_their_order(lab: Design) -> None:
    found = chains(lab, "node-1")
    said = (
        '-m comment --comment "Kubernetes service external ip + port for masquerade and '
        'filter purpose" -m set --match-set KUBE-EXTERNAL-IP dst,dst'
    )
    assert found["nat KUBE-SERVICES"] == (
        "-s 127.0.0.0/8 -j RETURN",
        '! -s 10.244.0.0/16 -m comment --comment "Kubernetes service cluster ip + port for '
        'masquerade purpose" ' + match("KUBE-CLUSTER-IP", "dst,dst", "KUBE-MARK-MASQ"),
        f"{said} -j KUBE-MARK-MASQ",
        f"{said} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT",
        f"{said} -m addrtype --dst-type LOCAL -j ACCEPT",
        "-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
        match("KUBE-CLUSTER-IP", "dst,dst", "ACCEPT"),
    )
    assert [rule.partition(" --match-set ")[2] for rule in found["nat KUBE-NODE-PORT"]] == [
        "KUBE-NODE-PORT-LOCAL-TCP dst -j RETURN",
        "KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ",
        "KUBE-NODE-PORT-LOCAL-UDP dst -j RETURN",
        "KUBE-NODE-PORT-UDP dst -j KUBE-MARK-MASQ",
    ]
    post = found["nat KUBE-POSTROUTING"]
    assert post[0].endswith(match("KUBE-LOOP-BACK", "dst,dst,src", "MASQUERADE"))
    assert post[1] == "-m mark ! --mark 0x4000/0x4000 -j RETURN"
    assert len(post) == 4
    assert found["filter KUBE-IPVS-FILTER"] == (
        match("KUBE-LOAD-BALANCER", "dst,dst", "RETURN"),
        match("KUBE-CLUSTER-IP", "dst,dst", "RETURN"),
        match("KUBE-EXTERNAL-IP", "dst,dst", "RETURN"),
        match("KUBE-EXTERNAL-IP-LOCAL", "dst,dst", "RETURN"),
        match("KUBE-HEALTH-CHECK-NODE-PORT", "dst", "RETURN"),
        "-m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT "
        "--reject-with icmp-port-unreachable",
    )
    jumps = [rule.rpartition(" ")[2] for rule in found["filter INPUT"]]
    assert jumps == ["KUBE-IPVS-FILTER", "KUBE-PROXY-FIREWALL", "KUBE-NODE-PORT"]
    assert [len(found[f"filter KUBE-{name}"]) for name in ("FORWARD", "NODE-PORT")] == [2, 1]
    # A node without an endpoint of its own has nothing that comes back to itself.
    other = chains(designed(Ipvs(), services=[EMPTY]), "node-2")
    assert not any("LOOP-BACK" in rule for rule in other["nat KUBE-POSTROUTING"])


def test_options() -> None:
    lab = designed(Ipvs(scheduler="mh", strict_arp=True, masquerade_all=True, backend="legacy"))
    (table,) = ruleset(lab, "node-1", IpvsTable)
    assert {(one.scheduler, one.flags) for one in table.servers} == {("mh", ("flag-2",))}
    assert "ip_vs_mh" in lab.plan.requires
    paths = {item.path for item in lab.plan.namespaces["node-1"].sysctls}
    assert {f"net/ipv4/conf/all/arp_{end}" for end in ("ignore", "announce")} <= paths
    assert not any("! -s" in rule for rule in chains(lab, "node-1")["nat KUBE-SERVICES"])
    assert all(one.backend == "legacy" for one in ruleset(lab, "node-1", IptablesTable))


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (("primary",), ["192.168.0.1"]),
        (("192.168.0.0/24",), ["192.168.0.1"]),
        (("0.0.0.0/0",), ["192.168.0.1", "10.244.0.0", "10.244.0.1"]),
        # What kube-ipvs0 has is an address of the node too.
        (("10.96.0.12/31", "192.168.0.1/32"), ["192.168.0.1", "10.96.0.12"]),
        (("172.16.0.0/12",), []),
    ],
)
def test_where_node_ports_answer(given: tuple[str, ...], where: list[str]) -> None:
    lab = designed(Ipvs(node_port_addresses=given))
    (table,) = ruleset(lab, "node-1", IpvsTable)
    assert {one.address for one in table.servers if one.port == 30080} == set(where)
    (ports,) = (one for one in ruleset(lab, "node-1", Ipset) if one.name == "KUBE-NODE-PORT-TCP")
    assert bool(ports.entries) == bool(where)


def test_a_kernel_without_it_is_named(lab: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    there = set(capabilities.features()) - {"dummy", "ip_vs", "ip_vs_rr"}
    monkeypatch.setattr(capabilities, "_in_child", lambda names: (there, ""))
    with pytest.raises(Unmet) as refused:
        capabilities.require(lab.plan.requires, "The topology mine", spared(lab.proxy))
    assert str(refused.value) == (
        "The topology mine needs dummy, which this host lacks (it also lacks ip_vs, ip_vs_rr): "
        "load the kernel module dummy, or use a kernel that has it, or choose another proxy by "
        "--set proxy=iptables."
    )
    assert set(spared(lab.proxy)) == {"dummy", "ip_vs", "ip_vs_rr", "ipset"}
    assert spared(Iptables()) == spared(None) == {}


def test_a_user_whom_the_kernel_lets_set_nothing_is_told_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ipvs, "loaded", lambda: True)
    for user, told in ((0, "load the kernel module ip_vs_rr"), (1000, "run netlab as root")):
        monkeypatch.setattr("os.geteuid", lambda user=user: user)
        assert capabilities.remedy("ip_vs_rr").startswith(told)


def test_everything_has_its_words(lab: Design) -> None:
    told = explain(lab.layout, lab.dataplane, lab.plan, proxy=Ipvs())
    strict = designed(Ipvs(strict_arp=True))
    more = explain(strict.layout, strict.dataplane, strict.plan, proxy=Ipvs(strict_arp=True))
    used = {one.why for one in (*told, *more)}
    assert [says.of for says in Ipvs.explains if says.why not in used] == []
    assert [one.object for one in told if TELLS_NOTHING in one.why] == []
    assert all(one.why.endswith(".") and len(one.why) < 280 for one in told)
    by_words = {one.object: one for one in told if one.namespace == "node-1"}
    real = by_words["virtual server tcp 10.96.0.10:80 real server 10.244.1.2:8080"]
    assert (real.writer, real.kind) == ("kube-proxy", "real server")
    assert "10.244.1.2:8080" in real.names


def test_a_script_restores_it(lab: Design) -> None:
    script = render(lab.plan, "")
    assert "ipvsadm hostname" in script  # among the tools
    assert "-A -t 10.96.0.11:7 -s rr -p 10\n" in script
    assert "-a -u 10.96.0.11:7 -r 10.244.0.2:8081 -m -w 1\n" in script
    # It loads the module, without which there are no settings of it.
    assert script.index("ipvsadm -ln") < script.index("net/ipv4/vs/conntrack=1")
    document = plan_document(lab.plan)["namespaces"]["node-1"]["ruleset"][-1]
    assert (document["kind"], len(document["servers"])) == ("ipvstable", 15)


TABLE = IpvsTable(
    servers=(
        VirtualServer(
            address="10.96.0.10",
            port=80,
            persistence=10,
            real=(
                RealServer(address="10.244.0.2", port=8080),
                RealServer(address="10.244.1.2", port=8080),
            ),
        ),
        VirtualServer(address="fd00::a", port=53, protocol="udp", scheduler="mh"),
    )
)


def test_a_difference_names_the_real_server() -> None:
    web, dns = TABLE.servers
    lame = replace(web.real[0], weight=0)
    stray = RealServer(address="10.9.9.9", port=1)
    have = IpvsTable(servers=(replace(web, persistence=0, real=(lame, stray)),))
    assert TABLE.differences(have) == [
        "virtual server tcp 10.96.0.10:80 has 'scheduler rr', not 'scheduler rr, persistence 10 s'",
        "virtual server tcp 10.96.0.10:80: real server 10.244.0.2:8080 has weight 0, method "
        "masquerade, not weight 1, method masquerade",
        "virtual server tcp 10.96.0.10:80: real server 10.244.1.2:8080 is missing",
        "virtual server tcp 10.96.0.10:80: unexpected real server 10.9.9.9:1",
        "virtual server udp [fd00::a]:53 is missing",
    ]
    assert IpvsTable(servers=(web,)).differences(TABLE) == [f"unexpected {dns}"]


def test_the_kernels_order_is_no_difference(lab: Design) -> None:
    web, dns = TABLE.servers
    have = IpvsTable(servers=(dns, replace(web, real=web.real[::-1])))
    assert respelled(TABLE, TABLE, have) == TABLE
    assert diff(lab.plan.namespaces, lab.plan.namespaces).ok


def commands(want: IpvsTable, have: IpvsTable) -> list[int]:
    return [request.body[0] for request in ipvs.changes(want, have, 30)]


def test_only_what_differs_is_asked_for() -> None:
    web, dns = TABLE.servers
    new, change, gone = 1, 2, 3  # IPVS_CMD_*_SERVICE; of destinations 5, 6 and 7
    assert commands(TABLE, IpvsTable()) == [new, 5, 5, new]
    assert commands(IpvsTable(), TABLE) == [gone, gone]
    assert commands(TABLE, TABLE) == []
    lame = replace(web, real=(replace(web.real[0], weight=0),))
    assert commands(TABLE, IpvsTable(servers=(lame, dns))) == [6, 5]
    assert commands(IpvsTable(servers=(lame, dns)), TABLE) == [7, 6]
    assert commands(TABLE, IpvsTable(servers=(replace(web, persistence=0), dns))) == [change]


def attribute(number: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, number) + data + bytes(-length % 4)


def test_messages_are_written_and_read() -> None:
    """What is written reads the same; the kernel's own form of an address has 16 bytes."""
    for server in TABLE.servers:
        (request, *_) = ipvs.changes(IpvsTable(servers=(server,)), IpvsTable(), 30)
        assert ipvs._server(ipvs.read(request.body, "SERVICE"), server.real) == server
    (_, request, *_) = ipvs.changes(TABLE, IpvsTable(), 30)
    assert ipvs._real(ipvs.read(request.body, "DEST")) == TABLE.servers[0].real[0]
    told = [
        attribute(1, bytes([10, 244, 0, 2]) + bytes(12)),
        attribute(2, struct.pack(">H", 8080)),
        *(
            attribute(number, struct.pack("=I", value))
            for number, value in ((3, 3), (4, 0), (5, 9))
        ),
        attribute(11, struct.pack("=H", 2)),
    ]
    body = bytes([5, 1, 0, 0]) + attribute(2, b"".join(told))
    found = ipvs._real(ipvs.read(body, "DEST"))
    assert (found.key, found.weight, found.method) == ("10.244.0.2:8080", 0, "route")
    assert found.others == ("upper threshold 9",)


def test_what_no_plan_has_is_told() -> None:
    found: dict[str, Any] = {
        "AF": 2,
        "FWMARK": 5,
        "SCHED_NAME": "wlc",
        "FLAGS": {"flags": 1 | 2 | 4 | 8, "mask": 0},
        "TIMEOUT": 300,
        "NETMASK": "255.255.255.0",
    }
    server = ipvs._server(found, [])
    assert str(server) == "virtual server fwmark 5"
    assert server.settings == (
        "scheduler wlc, flag-1, persistence 300 s, one packet, persistence mask 255.255.255.0"
    )
    assert commands(IpvsTable(), IpvsTable(servers=(server,))) == [3]
