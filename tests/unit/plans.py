"""Plans for tests: those of real topologies, and arbitrary ones for property tests."""

from typing import Any

from hypothesis import strategies as st

from netlab import Cluster
from netlab.dataplane import make
from netlab.plan.compile import compile_plan
from netlab.plan.types import (
    FIELDS,
    Address,
    Daemon,
    FdbEntry,
    Link,
    Namespace,
    Neighbour,
    Peer,
    Plan,
    Route,
    Rule,
    Sysctl,
    Table,
    Vxlan,
)
from netlab.topology.layout import lay_out


def plan_of(dataplane: str, options: dict[str, Any] | None = None, **fields: Any) -> Plan:
    """The plan of a cluster on a dataplane, all else as in the tests' call or by default."""
    layout = lay_out(Cluster(**fields))
    return compile_plan("test", layout, make(dataplane, options))


# Few names, so that two arbitrary namespaces often hold the same object in two states.
NAMES = st.sampled_from(["a", "b", "eth0", "flannel.1"])
TEXT = st.text(max_size=8)
MAYBE = st.none() | NAMES
NUMBERS = st.integers(0, 3)
FLAGS = st.booleans()
PEERS = st.builds(Peer, NAMES, NAMES)
VXLANS = st.builds(Vxlan, NUMBERS, NUMBERS, TEXT, NAMES, FLAGS, FLAGS)
KINDS = st.sampled_from(["veth", "bridge", "vxlan", "loopback"])
COMMANDS = st.none() | st.lists(TEXT, max_size=3).map(tuple)
OBJECTS: dict[type[Any], st.SearchStrategy[Any]] = {
    Link: st.builds(
        Link,
        NAMES,
        KINDS,
        TEXT,
        NUMBERS,
        FLAGS,
        MAYBE,
        FLAGS,
        NUMBERS,
        st.none() | PEERS,
        st.none() | VXLANS,
        MAYBE,
    ),
    Address: st.builds(Address, NAMES, NAMES),
    Route: st.builds(
        Route, NAMES, NAMES, MAYBE, FLAGS, NUMBERS, NAMES, MAYBE, NUMBERS, NUMBERS, TEXT
    ),
    Rule: st.builds(Rule, NUMBERS, NUMBERS, NAMES, TEXT),
    Neighbour: st.builds(Neighbour, NAMES, NAMES, TEXT),
    FdbEntry: st.builds(FdbEntry, NAMES, NAMES, TEXT, NUMBERS, NUMBERS),
    Sysctl: st.builds(Sysctl, NAMES, TEXT),
    Table: st.builds(Table, NAMES, NAMES, TEXT),
    Daemon: st.builds(Daemon, NAMES, TEXT, COMMANDS, NUMBERS, NUMBERS),
}


@st.composite
def namespaces(draw: st.DrawFn) -> dict[str, Namespace]:
    """Up to four namespaces with arbitrary objects, no two of one kind with the same key."""
    result = {}
    for name in draw(st.sets(NAMES)):
        lists = {
            attribute: draw(st.lists(OBJECTS[kind], max_size=3, unique_by=lambda item: item.key))
            for attribute, kind in FIELDS.items()
        }
        result[name] = Namespace(name, draw(st.sampled_from(["node", "pod"])), **lists)
    return result
