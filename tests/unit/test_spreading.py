"""A plan spread over machines: nothing lost, nothing twice, and everybody joined to everybody."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab import Cluster, Node
from netlab.designing import design, spread_design
from netlab.errors import BadInput
from netlab.plan import spreading
from netlab.plan.links import Macvlan, Veth, Vxlan
from netlab.plan.machines import MACHINE, STITCH, Machine, Spread
from netlab.plan.routing import ANY_MAC
from netlab.plan.types import Plan
from netlab.state import Design, decode, encode

DATAPLANES = ("flannel-vxlan", "flannel-host-gw")


def machines(count: int, mtu: int = 1500, **given: Any) -> list[Machine]:
    return [
        Machine(name=f"vm-{k}", device="eth1", mtu=mtu, address=f"172.16.0.{k}", **given)
        for k in range(1, count + 1)
    ]


def spread(
    cluster: Cluster, on: Sequence[Machine], *, shared: bool = True, **options: Any
) -> tuple[Design, Spread]:
    return spread_design(cluster, options, on, shares_segment=shared)


def parts(wanted: Design, how: Spread) -> dict[str, Plan]:
    return {one.name: spreading.part(wanted.plan, how, one.name) for one in how.machines}


@given(
    nodes=st.integers(1, 7),
    count=st.integers(1, 4),
    segments=st.integers(1, 2),
    shared=st.booleans(),
    dual=st.booleans(),
)
def test_everything_is_somewhere_once_and_holds_together(
    nodes: int, count: int, segments: int, shared: bool, dual: bool
) -> None:
    cluster = Cluster(
        nodes=nodes,
        pods_per_node=1,
        dataplane="flannel-vxlan",
        cluster_cidr=["10.244.0.0/16", "fd44::/56"] if dual else "10.244.0.0/16",
        underlay=[f"192.168.{k}.0/24" for k in range(segments)],
    )
    whole, how = spread(cluster, machines(count), shared=shared)
    found = parts(whole, how)
    switches = {subnet.switch for subnet in whole.layout.subnets}
    names = [name for plan in found.values() for name in plan.namespaces if name not in switches]
    assert sorted(names) == sorted(set(whole.plan.namespaces) - switches)
    assert how.wire == ("macvlan" if shared and segments == 1 and count > 1 else "vxlan")
    for machine, plan in found.items():
        assert switches & set(plan.namespaces) == (set() if how.wire == "macvlan" else switches)
        assert all(how.placement[item.pod] == machine for item in plan.attachments)
        for name, space in plan.namespaces.items():
            for link in space.links:
                if isinstance(link, Veth) and link.peer:
                    peer = plan.namespaces[link.peer.namespace].link(link.peer.link)
                    assert isinstance(peer, Veth)
                    assert peer.peer
                    assert (peer.peer.namespace, peer.peer.link) == (name, link.name)
                if link.link_netns == MACHINE:
                    assert isinstance(link, Macvlan | Vxlan)
                    assert link.device == "eth1"
                    assert link.mtu <= (1500 if how.wire == "macvlan" else 1450)
    macs = [
        link.mac
        for plan in found.values()
        for space in plan.namespaces.values()
        if space.role != "switch"
        for link in space.links
        if isinstance(link, Veth | Macvlan)
    ]
    assert len(macs) == len(set(macs))


def test_switches_are_joined_each_to_each() -> None:
    whole, how = spread(Cluster(nodes=3), machines(3), shared=False)
    for machine, plan in parts(whole, how).items():
        switch = plan.namespaces["underlay"]
        stitch = switch.link(STITCH)
        assert isinstance(stitch, Vxlan)
        assert (stitch.local, stitch.mtu) == (how.machine(machine).address, 1450)
        ends = {entry.destination for entry in switch.fdb if entry.mac == ANY_MAC}
        assert ends == {other.address for other in how.machines if other.name != machine}
        assert len({entry.key for entry in switch.fdb}) == 2


@pytest.mark.parametrize("dataplane", DATAPLANES)
def test_a_stitch_leaves_its_room_in_every_mtu(dataplane: str) -> None:
    plain = design(Cluster(nodes=2, dataplane=dataplane), {})
    whole, _ = spread(Cluster(nodes=2, dataplane=dataplane), machines(2), shared=False)
    for name in ("node-1", "pod-1-1", "node-2"):
        before = {link.name: link.mtu for link in plain.plan.namespaces[name].links}
        after = {link.name: link.mtu for link in whole.plan.namespaces[name].links}
        changed = {key: mtu - after[key] for key, mtu in before.items() if key != "lo"}
        assert set(changed.values()) == {50}


def test_a_narrow_interface_narrows_macvlans_too() -> None:
    whole, how = spread(Cluster(nodes=2), machines(2, mtu=1400))
    assert how.wire == "macvlan"
    assert whole.plan.namespaces["node-2"].link("eth0").mtu == 1400
    with pytest.raises(BadInput, match=r"MTU is to be 1500.*eth1.* carries 1400"):
        spread(Cluster(nodes=2), machines(2, mtu=1400), underlay_mtu=1500)
    whole, _ = spread(Cluster(nodes=2), machines(2, mtu=1400), underlay_mtu=1300)
    assert whole.plan.namespaces["node-1"].link("eth0").mtu == 1300
    two = Cluster(nodes=2, underlay=("192.168.0.0/24", "192.168.1.0/24"))
    with pytest.raises(
        BadInput, match="carries 1450 bytes; leave it out, or set underlay_mtu=1450"
    ):
        spread(two, machines(2), underlay_mtu=(1300, 1500))


def test_nodes_go_where_they_are_told_and_else_are_dealt_out() -> None:
    nodes = [Node(), Node(host="vm-1"), Node("third", host="vm-1"), Node(), Node()]
    layout = design(Cluster(nodes=nodes, pods_per_node=1), {}).layout
    placement = spreading.place(layout, ["vm-1", "vm-2"])
    found = [placement[node.name] for node in layout.nodes]
    assert found == ["vm-2", "vm-1", "vm-1", "vm-2", "vm-1"]
    assert placement["pod-4-1"] == "vm-2"
    assert {placement[name] for name in ("router", "external", "internet")} == {"vm-1"}
    with pytest.raises(BadInput, match=r"'vm-3'.*vm-1"):
        spreading.place(design(Cluster(nodes=[Node(host="vm-3")]), {}).layout, ["vm-1", "vm-2"])


@pytest.mark.parametrize("nodes", range(1, 6))
def test_who_is_placed_stays_where_another_node_comes(nodes: int) -> None:
    few, more = (design(Cluster(nodes=count), {}).layout for count in (nodes, nodes + 1))
    names = ["vm-1", "vm-2", "vm-3"]
    assert spreading.place(few, names).items() <= spreading.place(more, names).items()


def test_a_vxlan_needs_an_address_of_each_machine() -> None:
    without = [*machines(1), Machine(name="vm-2", device="ens6")]
    with pytest.raises(BadInput, match=r"vm-2 has no IPv4 address on ens6"):
        spread(Cluster(nodes=2), without, shared=False)
    spread(Cluster(nodes=2), without)  # a macvlan needs none


def test_two_labs_and_two_segments_have_networks_of_their_own() -> None:
    numbers = [spreading.vni(lab, switch) for lab, switch in itertools.product("ab", "xy")]
    assert len(set(numbers)) == 4
    assert all(1 < number < 2**24 for number in numbers)


def test_it_is_stored_and_read_back() -> None:
    whole, how = spread(Cluster(nodes=2), machines(2))
    assert decode(encode(how), Spread) == how
    assert decode(encode(whole.plan), Plan) == whole.plan
    assert how.crosses("node-1", "pod-2-1")
    assert not how.crosses("node-1", "pod-1-1")
