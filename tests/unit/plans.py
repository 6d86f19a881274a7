"""Plans for tests: those of real topologies, and arbitrary ones for property tests.

Arbitrary values are made from the types themselves, so that a field or a kind of device that is
added is in every property test at once.
"""

import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from hypothesis import strategies as st

from netlab import Cluster
from netlab.dataplane import make
from netlab.plan.compile import compile_plan
from netlab.plan.links import AnyLink
from netlab.plan.processes import Container, Daemon
from netlab.plan.routing import Address, FdbEntry, Neighbour, Route, Rule, Sysctl
from netlab.plan.rulesets import AnyRuleset
from netlab.plan.types import FIELDS, Namespace, Object, Plan
from netlab.topology.layout import lay_out
from netlab.topology.resolved import Layout

TWO_SUBNETS = ["192.168.1.0/24", "192.168.2.0/24"]
DUAL_STACK: dict[str, Any] = {"cluster_cidr": ["10.244.0.0/16", "fd44::/56"]}


def layout_of(**fields: Any) -> Layout:
    return lay_out(Cluster(**fields))


def plan_of(dataplane: str, options: dict[str, Any] | None = None, **fields: Any) -> Plan:
    """The plan of a cluster on a dataplane, all else as in the tests' call or by default."""
    value = make(dataplane, options)
    return compile_plan("test", lay_out(Cluster(**fields), value.ipam), value)


def space_with(*objects: Object, name: str = "a") -> Namespace:
    """A node's namespace that holds these objects, and the rules that every namespace has."""
    space = Namespace(name, "node")
    for item in objects:
        field_of(space, item).append(item)
    return space


def field_of(space: Namespace, item: Object) -> list[Object]:
    """The list of a namespace to which an object belongs."""
    objects: list[Object] = getattr(
        space, next(field for field, kind in FIELDS.items() if isinstance(item, kind))
    )
    return objects


def _members(union: Any) -> tuple[type[Any], ...]:
    return typing.get_args(union) or (union,)


LINK_TYPES = _members(AnyLink)
RULESET_TYPES = _members(AnyRuleset)
TYPES: dict[str, tuple[type[Any], ...]] = {
    "links": LINK_TYPES,
    "addresses": (Address,),
    "routes": (Route,),
    "rules": (Rule,),
    "neighbours": (Neighbour,),
    "fdb": (FdbEntry,),
    "sysctls": (Sysctl,),
    "ruleset": RULESET_TYPES,
    "daemons": (Daemon,),
    "containers": (Container,),
}
ALL_TYPES = [kind for kinds in TYPES.values() for kind in kinds]

# Few names, so that two arbitrary namespaces often hold the same object in two states.
NAMES = st.sampled_from(["a", "b", "eth0", "flannel.1"])
NAMED = {"name", "namespace", "link", "master", "device", "devices", "destination", "address"}
NAMED |= {"path", "family", "gateway", "protocol", "protocols", "mac"}
TEXT = st.text(max_size=8)
ATOMS: Mapping[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 3),
    bool: st.booleans(),
    float: st.floats(0, 60),
    types.NoneType: st.none(),
}
Text = st.SearchStrategy[str]


def values_of(wanted: Any, name: str = "", text: Text = TEXT) -> st.SearchStrategy[Any]:
    """Arbitrary values of the type of a field, with that name."""
    if wanted is str:
        return NAMES if name in NAMED else text
    if wanted in ATOMS:
        return ATOMS[wanted]
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return sparse(wanted, text)
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(values_of(inner[0], name, text), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*(values_of(one, "", text) for one in inner))
    assert origin in (typing.Union, types.UnionType), f"no values are known for {wanted}"
    return st.one_of(*(values_of(one, name, text) for one in inner))


@functools.cache
def full(kind: type[Any], text: Text = TEXT) -> st.SearchStrategy[Any]:
    """Values of a type with every field arbitrary."""
    fields = msgspec.structs.fields(kind)
    return st.builds(kind, **{one.name: values_of(one.type, one.name, text) for one in fields})


@functools.cache
def sparse(kind: type[Any], text: Text = TEXT) -> st.SearchStrategy[Any]:
    """Values of a type with few of its fields not as by default, as in real plans."""
    fields = {one.name: one for one in msgspec.structs.fields(kind)}
    required = [name for name, one in fields.items() if one.required]
    optional = [name for name, one in fields.items() if not one.required]

    @st.composite
    def draw_one(draw: st.DrawFn) -> Any:
        extra = draw(st.sets(st.sampled_from(optional), max_size=3)) if optional else set()
        chosen = [*required, *(name for name in optional if name in extra)]
        return kind(**{name: draw(values_of(fields[name].type, name, text)) for name in chosen})

    return draw_one()


@st.composite
def namespaces(draw: st.DrawFn, *, unique: bool = True) -> dict[str, Namespace]:
    """Up to three namespaces with arbitrary objects, if `unique` no two in a list with one key.

    Most often with daemons and routes, which have the most to do with each other.
    """
    result = {}
    for name in draw(st.sets(NAMES, max_size=3)):
        fields = {"routes", "daemons"} | draw(st.sets(st.sampled_from(list(TYPES)), max_size=3))
        lists = {
            field: draw(st.lists(_any_of(kinds), max_size=3, unique_by=_key if unique else repr))
            for field, kinds in TYPES.items()
            if field in fields
        }
        role: Literal["node", "pod"] = draw(st.sampled_from(["node", "pod"]))
        result[name] = Namespace(name, role, **lists)
    return result


def _any_of(kinds: tuple[type[Any], ...]) -> st.SearchStrategy[Any]:
    return st.one_of(*map(sparse, kinds))


def _key(item: Any) -> str:
    key: str = item.key
    return key
