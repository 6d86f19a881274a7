"""No object of a lab lacks its writer and why; and what a user types finds the object."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab import BadInput, Cluster, Container, Node, Pod, Service, dataplane, proxy
from netlab.dataplane.attach.bridge import Bridge
from netlab.dataplane.attach.lxc import Lxc
from netlab.dataplane.attach.ptp import Ptp
from netlab.designing import design
from netlab.plan import compile as compiling
from netlab.plan import explaining
from netlab.plan.choosing import choose
from netlab.plan.dataplane import Dataplane
from netlab.plan.diff import Diff, diff
from netlab.plan.document import explain_document
from netlab.plan.explaining import NOBODYS, TELLS_NOTHING, Explained, explain
from netlab.plan.explanations import Says, explains
from netlab.plan.routing import Address, Route, Sysctl, route
from netlab.plan.rulesets import IptablesChain, IptablesTable, NftTable
from netlab.plan.types import FIELDS, Namespace, Object
from netlab.report.explanations import explanations
from netlab.state import Design
from netlab.topology.loader import available, load
from netlab.topology.resolved import Layout, NodeSpec
from tests.unit.plans import DUAL_STACK, TWO_SUBNETS
from tests.unit.test_spreading import machines, parts, spread

OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "flannel-vxlan": ({"direct_routing": True}, {"rules": "iptables"}, {"ip_masq": False}),
    "flannel-host-gw": ({"rules": "iptables", "ip_masq": False},),
    "flannel-ipip": ({"direct_routing": True},),
    "flannel-wireguard": ({"mode": "ipv4", "listen_port_v6": 51820},),
    "flannel-udp": ({"rules": "iptables"}, {"strict": False}),
    "calico-bgp": ({"nat_outgoing": False}, {"timers": "calico"}),
    "calico-ipip": (
        {"mode": "CrossSubnet", "felix_routes": True, "driver": "user-space"},
        {"mode": "Never"},
    ),
    "calico-rr": ({"reflectors": 2},),
    "calico-vxlan": ({"cross_subnet": True}, {"nat_outgoing": False}),
}
PROXIES: dict[str, tuple[dict[str, Any], ...]] = {
    "iptables": ({"backend": "legacy", "localhost_nodeports": False}, {"tcp_be_liberal": True}),
    "ipvs": ({"strict_arp": True},),
    "nftables": ({"version": "1.35"}, {"node_port_addresses": ()}),
}
# What topologies/services.py has not: addresses from elsewhere, which no endpoint may be near of.
OUTSIDE = Service(
    "outside",
    port=443,
    target_port=8080,
    pods=("pod-1-1",),
    external_ips=("198.51.100.1",),
    external_traffic_policy="Local",
)
# A name that no port of a switch can have, pods of two namespaces, programs of the user's own.
NAMED: dict[str, Any] = {
    "nodes": [
        Node("a-node-with-a-long-name", pods=0),
        Node(
            "worker",
            pods=[
                Pod("web", [Container("nginx", ("nginx",))], namespace="prod"),
                Pod("web", namespace="test"),
            ],
        ),
    ]
}
SHAPES: tuple[dict[str, Any], ...] = ({}, {"underlay": TWO_SUBNETS}, NAMED, DUAL_STACK)


def designs() -> Iterator[Design]:
    """Every topology that is shipped, and every dataplane in every shape that it can have."""
    for name in available():
        yield design(name, {})
    for name, kind in dataplane.registry().items():
        for options in ({}, *OPTIONS.get(name, ())):
            for shape in SHAPES:
                if shape is not DUAL_STACK or kind.dual_stack:
                    cluster = Cluster(dataplane=dataplane.make(name, options), **shape)
                    yield design(cluster, {}, force=True)
    yield from with_services()


def with_services() -> Iterator[Design]:
    """Every proxy with every kind of Service, also one that has no endpoint near."""
    cluster = load("services")
    services = (*cluster.services, OUTSIDE)
    for name in proxy.PROXIES.kinds():
        for options in ({}, *PROXIES.get(name, ())):
            for shape in ({}, DUAL_STACK):
                value = proxy.PROXIES.make(name, options)
                given = replace(cluster, services=services, proxy=value, dns=True, **shape)
                yield design(given, {}, force=True)


@functools.cache
def lab_of(name: str) -> Design:
    return design(name, {})


def told_of(wanted: Design, found: Diff | None = None) -> list[Explained]:
    return explain(wanted.layout, wanted.dataplane, wanted.plan, found, wanted.proxy)


def silent(explained: list[Explained]) -> list[str]:
    """What nothing is told of."""
    return [f"{one.namespace}: {one.object}" for one in explained if TELLS_NOTHING in one.why]


def shared(count: int, *, segment: bool) -> Iterator[Design]:
    """A lab over machines: the controller's plan, and each machine's part of it."""
    whole, how = spread(Cluster(nodes=3, pods_per_node=1), machines(count), shared=segment)
    yield whole
    for part in parts(whole, how).values():
        yield Design(whole.layout, whole.dataplane, part)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[Says]:
    """Every text that was an answer, while a test asks."""
    found: list[Says] = []
    real = explaining.told

    def told(*arguments: Any) -> Says | None:
        answer = real(*arguments)
        found.extend([answer] if answer else [])
        return answer

    monkeypatch.setattr(explaining, "told", told)
    return found


def test_no_object_lacks_its_words_and_no_words_lack_an_object(answered: list[Says]) -> None:
    count = 0
    for wanted in designs():
        explained = told_of(wanted)
        assert silent(explained) == [], (wanted.dataplane, wanted.proxy)
        # Nothing is left out: every object of the plan is there by its own words.
        words = {(one.namespace, one.object) for one in explained}
        for name, space in wanted.plan.namespaces.items():
            items = [item for field in FIELDS for item in getattr(space, field)]
            items += [way for daemon in space.daemons for way in daemon.brings]
            assert {(name, str(item)) for item in items} <= words
            count += len(items)
        assert all(one.why.endswith(".") and len(one.why) < 280 for one in explained)
    assert count > 10_000
    for segment in (True, False):
        for wanted in shared(2, segment=segment):
            assert silent(told_of(wanted)) == []
    kinds: list[type[Any]] = [*dataplane.registry().values(), *proxy.PROXIES.kinds().values()]
    tables = [explains(kind) for kind in (*kinds, Bridge, Lxc, Ptp)]
    tables += [explaining.OF_NETLAB, compiling.BY_KERNEL, compiling.WITH_ADDRESS]
    useless = {says for table in tables for says in table} - set(answered)
    # Of each table of iptables all chains have words, whether or not a dataplane uses them.
    assert useless <= {says for says in compiling.BY_KERNEL if " chain " in says.of}


@pytest.mark.parametrize(
    ("name", "words", "writer"),
    [
        ("flannel-vxlan", "node-1/flannel.1", "flanneld"),
        ("flannel-vxlan", "node-1/cni0", "CNI plugin bridge"),
        ("flannel-vxlan", "node-1/10.244.1.0/24", "flanneld"),
        ("flannel-vxlan", "node-2/10.244.1.0/24", "kernel"),
        ("flannel-vxlan", "node-1/192.168.0.1/24", "netlab"),
        ("flannel-vxlan", "pod-1-1/lo", "kernel"),
        ("flannel-vxlan", "pod-1-1/container-1", "netlab"),
        ("calico-bgp", "proto bird", "BIRD"),
        ("calico-bgp", "daemon bird", "calico-node"),
        ("calico-bgp", "cali-nat-outgoing", "felix"),
        ("calico-vxlan", "blackhole", "felix"),
        ("cilium-vxlan", "cilium_host", "cilium-agent"),
        ("cilium-vxlan", "pod-1-1/eth0", "CNI plugin cilium-cni"),
        ("cilium-vxlan", "encap", "netlab"),
    ],
)
def test_the_writer_is_the_real_systems_part(name: str, words: str, writer: str) -> None:
    wanted = lab_of(name)
    found = choose(told_of(wanted), words, wanted.layout)
    assert {one.writer for one in found} == {writer}


def test_what_cilium_does_in_ebpf_is_said() -> None:
    wanted = lab_of("cilium-vxlan")
    explained = told_of(wanted)
    for device in ("link cilium_host", "link cilium_net", "link cilium_vxlan", "link lxc"):
        assert all("eBPF" in one.why for one in explained if one.object.startswith(device))
    encap = next(one for one in explained if " encap " in one.object)
    assert encap.why.startswith("In the place of Cilium's eBPF")


@dataclass(frozen=True, slots=True)
class Silent(Dataplane):
    """A dataplane of a user's own, which tells of one thing alone."""

    name: ClassVar[str] = "silent"
    explains: ClassVar[tuple[Says, ...]] = (Says("route *", "my-agent", "Because."),)

    def attach(self, layout: Layout, node: NodeSpec) -> Bridge:
        return Bridge(self.pod_mtu(layout))

    def node(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        for other in layout.others(node):
            yield route(str(other.pod_cidr), "eth0", str(other.address))
        # As netlab's own have them, and not netlab's.
        yield Address("eth0", "192.168.0.77/32")
        yield Address("lo", "10.9.9.9/32")
        yield Sysctl("net/ipv4/conf/eth0/arp_notify", "1")


def test_of_a_silent_dataplane_it_is_said_that_it_is_silent() -> None:
    wanted = design(Cluster(nodes=2, pods_per_node=1, dataplane=Silent()), {})
    explained = told_of(wanted)
    assert silent(explained) == [
        f"node-{number}: {words}"
        for number in (1, 2)
        for words in (
            "address 192.168.0.77/32 dev eth0",
            "address 10.9.9.9/32 dev lo",
            "sysctl net/ipv4/conf/eth0/arp_notify=1",
        )
    ]
    one = choose(explained, "node-1/192.168.0.77", wanted.layout)[0]
    assert (one.writer, one.why) == (
        "dataplane silent",
        "The dataplane silent plans it, and tells nothing of why.",
    )
    assert choose(explained, "node-1/10.244.1.0/24", wanted.layout)[0].writer == "my-agent"
    assert choose(explained, "node-1/cni0", wanted.layout)[0].writer == "CNI plugin bridge"


def test_a_subclass_tells_more_and_first() -> None:
    class Louder(Silent):
        explains = (Says("address *", "my-agent", "For me."), Says("route *", "me", "Mine."))

    assert [says.why for says in explains(Louder)] == ["For me.", "Mine.", "Because."]


def as_planned(wanted: Design) -> dict[str, Namespace]:
    """Namespaces that hold what they should, to be changed."""
    text = msgspec.json.encode(wanted.plan.namespaces)
    return msgspec.json.decode(text, type=dict[str, Namespace])


def damaged(wanted: Design) -> Diff:
    """node-1 lacks a route and a rule, has another MTU, and something that is nobody's."""
    have = msgspec.json.decode(
        msgspec.json.encode(wanted.plan.namespaces), type=dict[str, Namespace]
    )
    space = have["node-1"]
    space.routes = [way for way in space.routes if way.destination != "10.244.1.0/24"]
    space.routes.append(route("10.9.0.0/16", "eth0"))
    space.links = [
        msgspec.structs.replace(link, mtu=1400) if link.name == "cni0" else link
        for link in space.links
    ]
    space.addresses = [
        msgspec.structs.replace(one, state="not local") if one.link == "eth0" else one
        for one in space.addresses
    ]
    table = space.ruleset[0]
    assert isinstance(table, NftTable)
    forward = table.chains[1]
    rules = (*forward.rules[1:], "drop")
    chains = (table.chains[0], msgspec.structs.replace(forward, rules=rules))
    space.ruleset = [msgspec.structs.replace(table, chains=chains)]
    del have["pod-2-1"]
    have["mine"] = Namespace("mine", "pod")
    return diff(wanted.plan.namespaces, have)


def test_what_differs_is_told() -> None:
    wanted = lab_of("flannel-vxlan")
    explained = told_of(wanted, damaged(wanted))
    states = {
        (one.namespace, one.object): one.state
        for one in explained
        if one.state != "there" and one.namespace != "pod-2-1"
    }
    table = "nftables table ip flannel-ipv4"
    assert states == {
        ("node-1", "route 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink"): "missing",
        ("node-1", "route 10.9.0.0/16 dev eth0"): "unexpected",
        ("node-1", "link cni0"): "changed",
        ("node-1", "address 192.168.0.1/24 dev eth0"): "changed",
        ("node-1", "route local 192.168.0.1/32 dev eth0 table 255"): "missing",
        ("node-1", table): "changed",
        ("node-1", f"{table} chain forward: ip saddr 10.244.0.0/16 accept"): "missing",
        ("node-1", f"{table} chain forward: drop"): "unexpected",
        ("mine", "namespace mine"): "unexpected",
    }
    assert {o.state for o in explained if o.namespace == "pod-2-1"} == {"missing"}
    assert {o.writer for o in explained if o.state == "unexpected"} == {NOBODYS.writer}


def test_what_a_daemon_wrote_is_told_once_with_its_protocol() -> None:
    wanted = lab_of("calico-bgp")
    have = msgspec.json.decode(
        msgspec.json.encode(wanted.plan.namespaces), type=dict[str, Namespace]
    )
    space = have["node-1"]
    first, *others = space.daemons[0].brings
    arrived = [msgspec.structs.replace(way, metric=7) for way in others]
    strange = Route(destination="10.7.0.0/16", type="unreachable", protocol="bird")
    space.routes += [*arrived, strange]
    found = diff(wanted.plan.namespaces, have)
    told = [
        one
        for one in told_of(wanted, found)
        if one.namespace == "node-1" and " proto bird" in one.object
    ]
    assert {one.object: one.state for one in told} == {
        str(first): "missing",
        **{str(way): "there" for way in arrived},
        str(strange): "there",
    }
    assert len(told) == 2 + len(arrived)
    assert {one.writer for one in told if one.object != str(strange)} == {"BIRD"}
    # Of this one the dataplane says nothing, and the daemon says that it is its own.
    silence = next(one for one in told if one.object == str(strange))
    assert (silence.writer, silence.why) == (
        "bird",
        "This daemon writes it; the dataplane calico-bgp tells nothing of why.",
    )


LAYOUT = lab_of("flannel-dual-stack").layout
EXPLAINED = [o for name in ("calico-vxlan", "flannel-dual-stack") for o in told_of(lab_of(name))]


@given(st.sampled_from(EXPLAINED))
def test_an_object_is_found_by_its_words_and_names(one: Explained) -> None:
    spaces = {other.namespace for other in EXPLAINED}
    for name in {one.object, one.object.upper(), *one.names} - {""}:
        if name not in spaces:  # a port of a switch is called as the machine on it
            assert one in choose(EXPLAINED, name, LAYOUT)
        within = choose(EXPLAINED, f"{one.namespace}/{name}", LAYOUT)
        assert one in within
        assert {other.namespace for other in within} == {one.namespace}


@given(st.text(max_size=20) | st.from_regex(r"[-a-z0-9./: ]{1,20}", fullmatch=True))
def test_any_words_mean_something_or_are_one_sentence(text: str) -> None:
    try:
        found = choose(EXPLAINED, text, LAYOUT)
    except BadInput as problem:
        found = []
        sentence = str(problem)
    assert found or ("\n" not in sentence and sentence.startswith(("There is no", "No part of")))


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("net.ipv4.ip_forward", "sysctl net/ipv4/ip_forward=1"),
        ("/proc/sys/net/ipv4/ip_forward", "sysctl net/ipv4/ip_forward=1"),
        ("ip_forward", "sysctl net/ipv4/ip_forward=1"),
        ("net.ipv6.conf.flannel/1.accept_ra", "sysctl net/ipv6/conf/flannel.1/accept_ra=0"),
        ("default", "route 0.0.0.0/0 via 192.168.0.254 dev eth0"),
        (
            "default via 192.168.0.254 dev eth0 proto static",
            "route 0.0.0.0/0 via 192.168.0.254 dev eth0",
        ),
        (
            "10.244.0.0/24 dev cni0 proto kernel scope link src 10.244.0.1",
            "route 10.244.0.0/24 dev cni0 src 10.244.0.1",
        ),
        ("local 10.244.0.1 dev cni0", "route local 10.244.0.1/32 dev cni0 table 255"),
        ("FLANNEL-IPV4", "nftables table ip flannel-ipv4"),
        (
            "ip saddr 10.244.0.0/16 accept",
            "nftables table ip flannel-ipv4 chain forward: ip saddr 10.244.0.0/16 accept",
        ),
        ("rule 32766", "rule 32766: from all lookup 254"),
        ("192.168.0.1", "address 192.168.0.1/24 dev eth0"),
    ],
)
def test_what_a_user_types_or_pastes(typed: str, words: str) -> None:
    wanted = lab_of("flannel-vxlan")
    found = choose(told_of(wanted), f"node-1/{typed}", wanted.layout)
    assert words in [one.object for one in found]


def test_pods_by_their_names() -> None:
    wanted = design(Cluster(dataplane="flannel-vxlan", **NAMED), {})
    explained = told_of(wanted)
    for typed, spaces in (("web", {"prod/web", "test/web"}), ("prod/web", {"prod/web"})):
        assert {o.namespace for o in choose(explained, typed, wanted.layout)} == spaces
        links = choose(explained, f"{typed}/eth0", wanted.layout)
        assert [o.object for o in links] == ["link eth0"] * len(spaces)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("flannel.2", "There is no object 'flannel.2'; did you mean flannel.1"),
        ("node-1/flanel.1", "There is no object 'flanel.1' in node-1; did you mean flannel.1"),
        ("node-11", "There is no object 'node-11'; did you mean node-1"),
        ("zzz", "There is no object 'zzz'; name a device, an address, a route, a setting"),
        ("net.core.zzz", "No part of the lab writes the setting 'net.core.zzz'; "),
        ("", "There is no object ''; name a device"),
    ],
)
def test_no_such_object(typed: str, sentence: str) -> None:
    wanted = lab_of("flannel-vxlan")
    with pytest.raises(BadInput) as error:
        choose(told_of(wanted), typed, wanted.layout)
    assert str(error.value).startswith(sentence)


def test_alike_is_shown_once() -> None:
    wanted = lab_of("flannel-vxlan")
    explained = told_of(wanted)
    text = explanations(explained, 80, whole=True)
    assert text.startswith("every namespace\n    link lo\n")
    assert text.count("link lo\n") == 1
    assert "\nnode-1 (alike: node-2, node-3)\n    namespace node-1\n" in text
    assert "    route 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink, and 1 more\n" in text
    assert "\npod-1-1 (alike: pod-1-2, pod-2-1, " in text
    whys = {one.why for one in explained}
    flat = " ".join(text.split())
    assert all(why in flat for why in whys)
    prose = [line for line in text.splitlines() if line.startswith(" " * 8)]
    assert max(map(len, prose)) <= 80


def test_a_broken_node_is_not_alike() -> None:
    wanted = lab_of("flannel-vxlan")
    chosen = choose(told_of(wanted, damaged(wanted)), "10.244.1.0/24", wanted.layout)
    text = explanations(chosen, 200, whole=False)
    assert text.startswith(
        "node-1\n    route 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink (missing)\n"
        "        flanneld: "
    )
    assert "\nnode-3\n    route 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink\n" in text


def test_the_document_lists_all() -> None:
    wanted = lab_of("flannel-vxlan")
    explained = told_of(wanted)
    document = explain_document("mine", "flannel-vxlan", explained)
    assert (document["lab"], document["dataplane"]) == ("mine", "flannel-vxlan")
    assert len(document["objects"]) == len(explained)
    assert {tuple(entry) for entry in document["objects"]} == {
        ("namespace", "kind", "object", "writer", "why", "state")
    }


def test_pieces_of_a_table_that_several_write_into_have_each_their_own_writer() -> None:
    table = IptablesTable(
        name="nat",
        chains=(
            IptablesChain(name="POSTROUTING", policy="ACCEPT", rules=("-j MINE",)),
            IptablesChain(name="MINE"),
        ),
    )

    @dataclass(frozen=True, slots=True)
    class Second(Silent):
        explains: ClassVar[tuple[Says, ...]] = (
            Says("iptables-nft table nat chain MINE", "my-agent", "Mine."),
        )

        def node(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
            yield table

    wanted = design(Cluster(nodes=1, dataplane=Second()), {})
    found = choose(told_of(wanted), "node-1/nat", wanted.layout)
    assert [(one.kind, one.writer) for one in found] == [
        ("iptables table", "kernel"),
        ("chain", "kernel"),
        ("rule", "dataplane silent"),
        ("chain", "my-agent"),
    ]
