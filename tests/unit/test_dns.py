"""Names: what the zone holds, what the server answers, and whom pods ask."""

import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSRecord

from netlab import Cluster, Node, Pod, Service, ServicePort
from netlab.daemons.dns import Zone, answer, packed
from netlab.dataplane.flannel.host_gw import HostGw
from netlab.errors import BadInput
from netlab.plan import dns, etc
from netlab.plan.compile import compile_plan
from netlab.plan.probing.lookup import NO_SUCH_NAME, Lookup, Resolved, Resolves
from netlab.plan.shell import render
from netlab.proxy.nftables import Nftables
from netlab.topology.convert import convert
from netlab.topology.layout import lay_out
from netlab.topology.resolved import Layout

WEB = Service("web", ports=(ServicePort(80, 8080, name="http"), ServicePort(81, 8081, name="more")))
PODS = Service(
    "pods", port=8080, cluster_ip="None", pods=("pod-1-1", "pod-2-1"), unready=("pod-2-1",)
)
DUAL = ("10.244.0.0/16", "fd00::/56")


def cluster(*services: Service, **fields: Any) -> Cluster:
    wanted = {"nodes": 2, "pods_per_node": 2, "proxy": "nftables", "dns": True} | fields
    return Cluster(services=services, **wanted)


def layout(*services: Service, **fields: Any) -> Layout:
    return lay_out(cluster(*services, **fields))


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Zone:
    return written(tmp_path_factory.mktemp("zone"), layout(WEB, PODS))


def written(folder: Path, known: Layout) -> Zone:
    """As the daemon has it."""
    path = folder / "zone.json"
    path.write_text(dns.server(known).files[1].content)
    return Zone(path)


def asked(zone: Zone, name: str, kind: str = "A") -> tuple[str, list[str]]:
    reply = answer(zone, DNSRecord.question(name, kind))
    assert reply is not None
    again = DNSRecord.parse(reply.pack())
    return RCODE.get(again.header.rcode), sorted(str(rr.rdata) for rr in again.rr)


def web_ip(known: Layout) -> str:
    return str(next(one for one in known.services if one.name == "web").cluster_ips[0])


def test_a_service_has_its_cluster_ip_and_a_headless_one_its_ready_endpoints(zone: Zone) -> None:
    address = web_ip(layout(WEB, PODS))
    assert asked(zone, "web.default.svc.cluster.local") == ("NOERROR", [address])
    assert asked(zone, "WEB.Default.svc.cluster.local") == ("NOERROR", [address])
    assert asked(zone, "kubernetes.default.svc.cluster.local") == ("NOERROR", ["10.96.0.1"])
    assert asked(zone, "pods.default.svc.cluster.local") == ("NOERROR", ["10.244.0.2"])
    assert asked(zone, "10-244-0-2.pods.default.svc.cluster.local")[1] == ["10.244.0.2"]
    assert asked(zone, "10-244-1-2.pods.default.svc.cluster.local") == ("NXDOMAIN", [])


def test_unready_endpoints_that_are_published_have_names(tmp_path: Path) -> None:
    every = Service("all", port=8080, cluster_ip="None", unready=("pod-1-1",))
    published = Service(
        "pub", port=8080, cluster_ip="None", unready=("pod-1-1",), publish_not_ready=True
    )
    zone = written(tmp_path, layout(every, published))
    assert len(asked(zone, "all.default.svc.cluster.local")[1]) == 3
    assert len(asked(zone, "pub.default.svc.cluster.local")[1]) == 4


def test_what_is_not_there_is_told_from_what_has_no_such_record(zone: Zone) -> None:
    for name in ("no.default.svc.cluster.local", "cluster.local.svc.cluster.local"):
        reply = answer(zone, DNSRecord.question(name))
        assert reply is not None
        assert reply.header.rcode == RCODE.NXDOMAIN
        assert [str(rr.rname) for rr in reply.auth] == ["cluster.local."]
        assert reply.auth[0].rtype == QTYPE.SOA
        assert reply.header.aa
    for name, kind in (
        ("web.default.svc.cluster.local", "AAAA"),
        ("default.svc.cluster.local", "A"),
        ("cluster.local", "A"),
    ):
        assert asked(zone, name, kind) == ("NOERROR", [])
    assert asked(zone, "cluster.local", "SOA")[1]
    assert asked(zone, "dns-version.cluster.local", "TXT") == ("NOERROR", ['"1.1.0"'])


def test_named_ports_have_srv_records_and_their_targets_addresses(zone: Zone) -> None:
    name = "web.default.svc.cluster.local."
    assert asked(zone, f"_http._tcp.{name}", "SRV")[1] == [f"0 100 80 {name}"]
    assert asked(zone, name, "SRV")[1] == [f"0 50 80 {name}", f"0 50 81 {name}"]
    assert asked(zone, f"_http._udp.{name}", "SRV")[0] == "NXDOMAIN"
    reply = answer(zone, DNSRecord.question("pods.default.svc.cluster.local", "SRV"))
    assert reply is not None
    assert [str(rr.rdata) for rr in reply.ar] == ["10.244.0.2"]
    dns_tcp = "_dns-tcp._tcp.kube-dns.kube-system.svc.cluster.local"
    assert asked(zone, dns_tcp, "SRV")[1] == ["0 100 53 kube-dns.kube-system.svc.cluster.local."]


def test_addresses_lead_back_to_names(zone: Zone) -> None:
    assert asked(zone, "10.0.96.10.in-addr.arpa", "PTR") == (
        "NOERROR",
        ["kube-dns.kube-system.svc.cluster.local."],
    )
    assert asked(zone, "2.0.244.10.in-addr.arpa", "PTR")[1] == [
        "10-244-0-2.pods.default.svc.cluster.local.",
        "10-244-0-2.web.default.svc.cluster.local.",
    ]


def test_a_dual_stack_service_has_both(tmp_path: Path) -> None:
    both = Service("both", port=8080, dual_stack=True)
    known = layout(both, cluster_cidr=DUAL, service_cidr=("10.96.0.0/12", "fd01::/112"))
    zone = written(tmp_path, known)
    name = "both.default.svc.cluster.local"
    ips = next(one.cluster_ips for one in known.services if one.name == "both")
    assert [asked(zone, name, kind)[1] for kind in ("A", "AAAA")] == [[str(ip)] for ip in ips]
    back = f"{ips[1].reverse_pointer}."
    assert asked(zone, back, "PTR")[1] == [f"{name}."]


def test_others_names_are_forwarded_or_fail(zone: Zone, tmp_path: Path) -> None:
    assert zone.forward == ["203.0.113.10"]
    assert answer(zone, DNSRecord.question("external.example")) is None
    assert answer(zone, DNSRecord.question("9.9.9.9.in-addr.arpa", "PTR")) is None
    alone = written(tmp_path, layout(WEB, external=False))
    assert asked(alone, "external.example") == ("SERVFAIL", [])


def test_the_resolver_outside_knows_a_name_and_nothing_else(tmp_path: Path) -> None:
    (daemon,) = dns.outside(layout(WEB))
    path = tmp_path / "zone.json"
    path.write_text(daemon.files[1].content)
    zone = Zone(path)
    assert asked(zone, "external.example") == ("NOERROR", ["203.0.113.10"])
    assert asked(zone, "other.example") == ("NXDOMAIN", [])
    assert asked(zone, "web.default.svc.cluster.local") == ("NXDOMAIN", [])
    assert not list(dns.outside(layout(WEB, dns=False)))
    assert not list(dns.outside(lay_out(Cluster(nodes=2))))


def test_what_is_too_long_for_udp_is_cut_and_whole_by_tcp(tmp_path: Path) -> None:
    many = Service("many", port=8080, cluster_ip="None")
    known = lay_out(Cluster(nodes=1, pods_per_node=100, services=[many], proxy="nftables"))
    zone = written(tmp_path, known)
    request = DNSRecord.question("many.default.svc.cluster.local")
    reply = answer(zone, request)
    assert reply is not None
    assert len(DNSRecord.parse(packed(request, reply, udp=False)).rr) == 100
    cut = DNSRecord.parse(packed(request, reply, udp=True))
    assert (cut.header.tc, cut.rr, cut.header.id) == (1, [], request.header.id)
    request.add_ar(EDNS0(udp_len=4096))
    assert len(packed(request, reply, udp=True)) <= 1232


@pytest.mark.parametrize(
    ("change", "code"),
    [({"opcode": 5}, "NOTIMP"), ({"class": 3}, "REFUSED"), ({"twice": 1}, "FORMERR")],
)
def test_odd_questions_are_refused(zone: Zone, change: dict[str, int], code: str) -> None:
    request = DNSRecord.question("web.default.svc.cluster.local")
    request.header.opcode = change.get("opcode", 0)
    request.q.qclass = change.get("class", 1)
    if "twice" in change:
        request.add_question(request.q)
    reply = answer(zone, request)
    assert reply is not None
    assert RCODE.get(reply.header.rcode) == code


def test_the_server_comes_after_the_pods_of_the_first_node_that_may_have_some() -> None:
    nodes = (Node("control", pods=0), Node("a", pods=2), Node("b", pods=2))
    plain = lay_out(Cluster(nodes=nodes, services=(WEB,)))
    known = lay_out(Cluster(nodes=nodes, services=(WEB,), dns=True))
    (server,) = [pod for pod in known.pods if pod.dns]
    assert (server.name, server.namespace, server.node) == ("coredns-1", "kube-system", "a")
    assert [pod for pod in known.pods if not pod.dns] == list(plain.pods)
    assert [one for one in known.services if one.name != "kube-dns"] == list(plain.services)
    kube_dns = known.services[-1]
    assert kube_dns.cluster_ips == (ip_address("10.96.0.10"),)
    assert {(port.protocol, port.port) for port in kube_dns.ports} == {("UDP", 53), ("TCP", 53)}
    assert {one.target for port in kube_dns.ports for one in port.endpoints} == {"coredns-1"}


def test_without_a_proxy_or_without_pods_there_is_none() -> None:
    assert lay_out(Cluster(nodes=2)).nameserver is None
    assert len(lay_out(Cluster(nodes=2)).pods) == 4
    empty = lay_out(Cluster(nodes=2, pods_per_node=0, proxy="nftables"))
    assert (empty.pods, empty.nameserver) == ((), None)


def test_its_address_may_be_given_and_another_is_found_where_it_is_taken() -> None:
    assert layout(dns="10.96.0.53").nameserver == ip_address("10.96.0.53")
    assert layout(dns=True).nameserver == ip_address("10.96.0.10")
    taken = layout(Service("web", port=8080, cluster_ip="10.96.0.10")).nameserver
    assert taken is not None
    assert taken != ip_address("10.96.0.10")
    assert (
        layout(service_cidr="10.96.0.0/29").nameserver
        in layout(service_cidr="10.96.0.0/29").service_cidr
    )


def test_a_kube_dns_of_the_topology_is_used_and_nothing_added() -> None:
    server = Pod("own", namespace="kube-system", containers=())
    own = Service("kube-dns", port=53, namespace="kube-system", pods=())
    known = lay_out(Cluster(nodes=[Node(pods=[server])], services=[own]))
    assert known.nameserver == known.services[1].cluster_ips[0]
    assert [pod.name for pod in known.pods] == ["own"]


@pytest.mark.parametrize(
    "fields",
    [
        {"dns": True, "proxy": None},
        {"dns": False, "proxy": None},
        {"dns": "10.96.0.10", "proxy": None},
        {"dns": True, "pods_per_node": 0},
        {
            "dns": True,
            "services": (Service("kube-dns", port=53, namespace="kube-system", pods=()),),
        },
        {"dns": "no address"},
        {"dns": "192.168.9.9"},
    ],
)
def test_what_would_have_no_effect_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        lay_out(Cluster(**{"nodes": 2, "proxy": "nftables"} | fields))


def test_dns_is_given_as_text_too() -> None:
    kind = bool | str
    assert convert("no", kind, "dns") is False
    assert convert("10.96.0.53", kind, "dns") == "10.96.0.53"


def test_pods_ask_it_and_it_asks_the_outside() -> None:
    known = layout(WEB)
    plan = compile_plan("t", known, HostGw(), Nftables())
    pod = plan.namespaces["pod-2-1"].containers[0]
    assert etc.files(pod)["resolv.conf"] == (
        "search default.svc.cluster.local svc.cluster.local cluster.local\n"
        "nameserver 10.96.0.10\noptions ndots:5\n"
    )
    for name in ("node-1", "external"):
        own = plan.namespaces[name].containers[0]
        assert etc.files(own)["resolv.conf"] == "nameserver 127.0.0.1\n"
    (server,) = plan.namespaces["coredns-1"].daemons
    assert json.loads(server.files[1].content)["forward"] == ["203.0.113.10"]
    without = compile_plan("t", layout(WEB, dns=False), HostGw(), Nftables())
    assert "127.0.0.1" in etc.files(without.namespaces["pod-2-1"].containers[0])["resolv.conf"]


def test_a_change_of_services_is_one_of_a_file_that_is_read_anew() -> None:
    before, after = (dns.server(layout(*services)) for services in ((WEB,), (WEB, PODS)))
    assert before != after
    assert after.takes_over(before)


def test_the_script_says_what_it_needs() -> None:
    script = render(compile_plan("t", layout(WEB), HostGw(), Nftables()), "")
    assert 'python3 -c "import dnslib"' in script
    assert "{packages}" not in script.replace("replaced by", "")
    other = render(compile_plan("t", layout(WEB, dns=False), HostGw(), Nftables()), "")
    assert "dnslib" not in other


def test_answers_are_judged_by_all_of_their_addresses() -> None:
    lookup = Lookup("pod", "10.96.0.10", "web.", "A")
    wanted = Resolves(frozenset({"10.96.0.1"}))
    assert wanted.judge(lookup, Resolved("NOERROR", ("10.96.0.1",))).ok
    for outcome in (
        Resolved("NOERROR", ("10.96.0.1", "10.96.0.2")),
        Resolved("NOERROR"),
        Resolved("NXDOMAIN"),
        Resolved(error="timed out"),
    ):
        assert not wanted.judge(lookup, outcome).ok
    assert Resolves(frozenset(), NO_SUCH_NAME).judge(lookup, Resolved("NXDOMAIN")).ok
