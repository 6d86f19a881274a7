"""A plan as JSON and back, exactly; and a difference as JSON.

The keys of `netlab plan --json` and `netlab diff --json` are a contract. Written per type and not
with `dataclasses.asdict`, whose deep copies cost a second where a lab has thousands of pods.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from netlab.plan.diff import Change, Diff, Item
from netlab.plan.types import (
    FIELDS,
    Daemon,
    Link,
    Namespace,
    Object,
    Peer,
    Plan,
    Sysctl,
    Table,
    Vxlan,
)

Json = dict[str, Any]
# Namespace's lists whose JSON is a list of objects with the fields of the type.
LISTS = {name: kind for name, kind in FIELDS.items() if kind not in (Sysctl, Table)}


def plan_to_json(plan: Plan) -> Json:
    """Plain values for `json`, in the contract's shape."""
    return {
        "topology": plan.topology,
        "requires": list(plan.requires),
        "namespaces": {name: namespace_to_json(space) for name, space in plan.namespaces.items()},
    }


def plan_from_json(data: Json) -> Plan:
    """The inverse of `plan_to_json`."""
    return Plan(
        topology=data["topology"],
        requires=tuple(data["requires"]),
        namespaces={
            name: namespace_from_json(name, space) for name, space in data["namespaces"].items()
        },
    )


def namespace_to_json(space: Namespace) -> Json:
    """`ruleset` is the script of all tables, or null; `tables` are they, one by one."""
    data: Json = {"role": space.role}
    for name in FIELDS:
        if name == "sysctls":
            data[name] = {setting.path: setting.value for setting in space.sysctls}
        elif name == "ruleset":
            data[name] = "".join(table.script for table in space.ruleset) or None
            data["tables"] = [_fields(table) for table in space.ruleset]
        else:
            data[name] = [_fields(item) for item in getattr(space, name)]
    return data


def namespace_from_json(name: str, data: Json) -> Namespace:
    """The inverse of `namespace_to_json`."""
    return Namespace(
        name,
        data["role"],
        sysctls=[Sysctl(path, value) for path, value in data["sysctls"].items()],
        ruleset=[Table(**table) for table in data["tables"]],
        **{
            attribute: [_READERS.get(kind, kind)(**item) for item in data[attribute]]
            for attribute, kind in LISTS.items()
        },
    )


def diff_to_json(diff: Diff) -> Json:
    """Every entry has `namespace`, `kind` and, in words, `object`, and the states that there are.

    `want` and `have` are an object's fields; of a whole namespace there is nothing more to say.
    """
    return {
        "ok": diff.ok,
        "missing": [_item(item, "want") for item in diff.missing],
        "unexpected": [_item(item, "have") for item in diff.unexpected],
        "changed": [_change(change) for change in diff.changed],
    }


def _item(item: Item, state: str) -> Json:
    if item.object is None:
        return {"namespace": item.namespace, "kind": "namespace", "object": "the whole namespace"}
    return {**_entry(item.namespace, item.object), state: _fields(item.object)}


def _change(change: Change) -> Json:
    return {
        **_entry(change.namespace, change.want),
        "fields": change.fields,
        "want": _fields(change.want),
        "have": _fields(change.have),
    }


def _entry(namespace: str, item: Object) -> Json:
    return {"namespace": namespace, "kind": item.what, "object": str(item)}


def _fields(item: Any) -> Json:
    """An object's fields; for the few that hold more than plain values, those too."""
    names, values = _GETTERS[type(item)]
    data = dict(zip(names, values(item), strict=True))
    if type(item) is Link:
        if item.peer:
            data["peer"] = _fields(item.peer)
        if item.vxlan:
            data["vxlan"] = _fields(item.vxlan)
    elif type(item) is Daemon and item.command is not None:
        data["command"] = list(item.command)
    return data


def _read_link(*, peer: Json | None, vxlan: Json | None, **fields: Any) -> Link:
    return Link(
        **fields,
        peer=None if peer is None else Peer(**peer),
        vxlan=None if vxlan is None else Vxlan(**vxlan),
    )


def _read_daemon(*, command: list[str] | None, **fields: Any) -> Daemon:
    return Daemon(**fields, command=None if command is None else tuple(command))


_READERS: dict[type[Any], Callable[..., Any]] = {Link: _read_link, Daemon: _read_daemon}
_TYPES: tuple[type[Any], ...] = (*FIELDS.values(), Peer, Vxlan)
_GETTERS: dict[type[Any], tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]] = {
    kind: (names, attrgetter(*names))
    for kind in _TYPES
    for names in [tuple(field.name for field in dataclasses.fields(kind))]
}
