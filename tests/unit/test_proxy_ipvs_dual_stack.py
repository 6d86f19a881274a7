"""kube-proxy's IPVS mode in a cluster of both families: each has a proxier of its own."""

from __future__ import annotations

import pytest

from netlab import Service, ServicePort
from netlab.plan.explaining import TELLS_NOTHING, explain
from netlab.plan.rulesets import Ipset, IptablesTable
from netlab.proxy.ipvs_sets import TYPES, named
from netlab.proxy.kube_proxy import Ipvs
from netlab.state import Design
from tests.unit.plans import DUAL_STACK
from tests.unit.test_proxy_ipvs import EMPTY, designed, match, ruleset, servers

DUAL = Service(
    "dual",
    ports=(ServicePort(7, 8080, "TCP", 30007, "t"), ServicePort(7, 8081, "UDP", 30007, "u")),
    pods=("pod-1-1",),
    affinity=10,
    dual_stack=True,
)


@pytest.fixture(scope="module")
def dual() -> Design:
    cidrs = ("10.96.0.0/12", "fd00:10:96::/112")
    return designed(Ipvs(), services=[DUAL, EMPTY], service_cidr=cidrs, **DUAL_STACK)


def test_each_family_has_its_own(dual: Design) -> None:
    """Two proxiers: sets of IPv6 have their own names, cut to 31 characters."""
    space = dual.plan.namespaces["node-1"]
    held = [item.address for item in space.addresses if item.link == "kube-ipvs0"]
    (ip,) = (one.removesuffix("/128") for one in held if ":" in one)
    assert len(held) == 4, "the Service of the API server and that with an address have IPv4 alone"
    sets = {item.name: item for item in ruleset(dual, "node-1", Ipset)}
    assert len(sets) == 2 * 17
    assert {
        name: item.entries for name, item in sets.items() if item.entries and "KUBE-6-" in name
    } == {
        "KUBE-6-LOOP-BACK": (
            "fd44::2,tcp:8080,fd44::2",
            "fd44::2,udp:8081,fd44::2",
        ),
        "KUBE-6-CLUSTER-IP": (f"{ip},tcp:7", f"{ip},udp:7"),
        "KUBE-6-NODE-PORT-TCP": ("30007",),
        "KUBE-6-NODE-PORT-UDP": ("30007",),
        "KUBE-6-IPVS-IPS": (ip,),
    }
    definition = "KUBE-6-LOAD-BALANCER-SOURCE-CID hash:ip,port,net family inet6 maxelem 65536"
    assert sets["KUBE-6-LOAD-BALANCER-SOURCE-CID"].definition == definition
    assert "KUBE-6-NODE-PORT-LOCAL-SCTP-HAS" in sets
    assert sets["KUBE-6-NODE-PORT-TCP"].definition.endswith("bitmap:port range 0-65535")
    found = servers(dual, "node-1")
    assert found[f"udp [{ip}]:7"] == ["[fd44::2]:8081"]
    own = {key for key in found if key.startswith("tcp [") and key.endswith(":30007")}
    assert len(own) == 3, "of the node and of its bridge, and flannel's device"
    assert not any("fe80" in key for key in found)
    assert not any(way.link == "kube-ipvs0" for way in space.routes), "it is down"


def test_chains_of_ipv6(dual: Design) -> None:
    rules = {
        chain.name: chain.rules
        for table in ruleset(dual, "node-1", IptablesTable)
        if table.family == "ip6"
        for chain in table.chains
    }
    assert rules["KUBE-SERVICES"] == (
        "-s ::1/128 -j RETURN",
        '! -s fd44::/56 -m comment --comment "Kubernetes service cluster ip + port for '
        'masquerade purpose" ' + match("KUBE-6-CLUSTER-IP", "dst,dst", "KUBE-MARK-MASQ"),
        "-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
        match("KUBE-6-CLUSTER-IP", "dst,dst", "ACCEPT"),
    )
    assert rules["KUBE-POSTROUTING"][0].endswith(
        match("KUBE-6-LOOP-BACK", "dst,dst,src", "MASQUERADE")
    )
    assert rules["KUBE-IPVS-FILTER"][-1] == (
        "-m conntrack --ctstate NEW -m set --match-set KUBE-6-IPVS-IPS dst -j REJECT "
        "--reject-with icmp6-port-unreachable"
    )


def test_sets_of_both_families_have_the_same_words(dual: Design) -> None:
    told = explain(dual.layout, dual.dataplane, dual.plan, proxy=Ipvs())
    assert [one.object for one in told if TELLS_NOTHING in one.why] == []
    words = {one.object: one.why for one in told if one.kind == "ipset"}
    assert len(words) == 2 * len(TYPES)
    for name in TYPES:
        assert words[f"ipset {named(name, ipv6=True)}"] == words[f"ipset {name}"]
