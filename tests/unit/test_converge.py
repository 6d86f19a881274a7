"""Whatever there is becomes what is wanted: the engine's decisions, on a kernel that is a value."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from netlab.plan.links import LOOPBACK, PORT, Bridge, Peer, Veth, Vxlan
from netlab.plan.processes import Daemon, Owner
from netlab.plan.routing import (
    LOCALHOST,
    Address,
    FdbEntry,
    Neighbour,
    NextHop,
    Route,
    connected,
    route,
)
from netlab.plan.types import Namespace, Plan
from tests.fake_kernel import FakeEngine, FakeKernel

BIRD = Daemon(name="bird", command=("bird",), owns=Owner(protocols=("bird",)))
MTUS, FLAGS = st.sampled_from([1400, 1500]), st.booleans()


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Up to three namespaces: bridges, a ring of cables, tunnels, and objects on some of them."""
    names = sorted(draw(st.sets(st.sampled_from("abc"), min_size=1)))
    spaces = {name: Namespace(name, "node") for name in names}
    for name, space in spaces.items():
        if draw(FLAGS):
            space.links.append(
                Bridge(name="br0", mac=f"02:{name}", mtu=draw(MTUS), stp=draw(FLAGS))
            )
        for other in names:
            if other > name and draw(FLAGS):
                connect(draw, spaces[name], spaces[other])
        if space.links and draw(FLAGS):
            below = space.links[0].name
            space.links.append(Vxlan(name="vx", vni=draw(st.integers(1, 2)), device=below))
        fill(draw, space)
    for space in spaces.values():
        finish(space)
    return Plan("test", (), spaces)


def connect(draw: st.DrawFn, one: Namespace, other: Namespace) -> None:
    for here, there in ((one, other), (other, one)):
        device = f"to-{there.name}"
        enslaved = any(link.name == "br0" for link in here.links) and draw(FLAGS)
        here.links.append(
            Veth(
                name=device,
                mtu=draw(MTUS),
                up=draw(FLAGS),
                master="br0" if enslaved else None,
                bridge_port=PORT if enslaved else None,
                peer=Peer(there.name, f"to-{here.name}"),
            )
        )


def fill(draw: st.DrawFn, space: Namespace) -> None:
    for number, link in enumerate(space.links):
        if draw(FLAGS):
            space.addresses.append(Address(link.name, f"10.{number}.0.1/24"))
        if draw(FLAGS):
            space.neighbours.append(Neighbour(link.name, "10.9.9.9", f"02:{draw(MTUS)}"))
        if isinstance(link, Vxlan) and draw(FLAGS):
            space.fdb.append(FdbEntry(link.name, "02:aa", f"10.0.0.{draw(st.integers(1, 2))}"))
        if link.up and draw(FLAGS):
            gateway = draw(st.none() | st.sampled_from(["10.0.0.2", "10.0.0.3"]))
            space.routes.append(route(f"10.6.{number}.0/24", link.name, gateway, onlink=True))


def finish(space: Namespace) -> None:
    space.links.append(LOOPBACK)
    space.addresses.append(LOCALHOST)
    space.daemons.append(BIRD)
    up = {link.name for link in space.links if link.up}
    ways = [way for item in space.addresses if (way := connected(item))]
    space.routes += [way for way in ways if way.link in up]


def without_daemons(plan: Plan) -> Plan:
    copy = msgspec.structs.replace(plan, namespaces={})
    for name, space in plan.namespaces.items():
        copy.namespaces[name] = msgspec.structs.replace(space, daemons=[])
    return copy


@given(plans(), plans())
def test_whatever_there_is_becomes_what_is_wanted(before: Plan, wanted: Plan) -> None:
    before, wanted = without_daemons(before), without_daemons(wanted)
    kernel = FakeKernel(before)
    FakeEngine(before, kernel).converge()
    FakeEngine(wanted, kernel).converge()
    fresh = FakeKernel(wanted)
    FakeEngine(wanted, fresh).converge()
    assert kernel.sorted() == fresh.sorted()
    writes = kernel.writes
    first, _ = FakeEngine(wanted, kernel).converge()
    assert first.ok
    assert kernel.writes == writes, "a second time writes nothing"


@given(plans(), st.data())
def test_what_daemons_own_is_never_touched(plan: Plan, data: Any) -> None:
    kernel = FakeKernel(plan)
    FakeEngine(without_daemons(plan), kernel).converge()
    name = data.draw(st.sampled_from(sorted(plan.namespaces)))
    space = kernel.spaces[name]
    up = [link.name for link in space.links if link.up]
    foreign = Route(
        destination="10.77.0.0/16",
        next_hops=(NextHop(link=data.draw(st.sampled_from(up))),),
        protocol="bird",
    )
    stray = msgspec.structs.replace(foreign, destination="10.78.0.0/16", protocol="static")
    space.routes += [foreign, stray]
    for one in kernel.spaces.values():
        one.daemons = [BIRD]
    first, _ = FakeEngine(plan, kernel).converge()
    assert [item.object for item in first.unexpected] == [stray]
    assert [(item.object, item.owner) for item in first.foreign] == [(foreign, "bird")]
    assert foreign in space.routes
    assert stray not in space.routes
