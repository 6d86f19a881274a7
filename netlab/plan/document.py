"""The documents of `netlab plan --json`, `diff --json` and `explain --json`: a contract."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from netlab.plan.diff import Change, Diff, Item
from netlab.plan.machines import Spread
from netlab.plan.types import Namespace, Object, Plan

if TYPE_CHECKING:
    from netlab.plan.explaining import Explained

Json = dict[str, Any]


def plan_document(plan: Plan, spread: Spread | None = None) -> Json:
    """A plan as plain values; settings are one object by their path.

    One that is spread over machines has `machines`, each with the namespaces on it alone, and
    `wire`, what joins them and why.
    """
    document: Json = {
        "topology": plan.topology,
        "requires": list(plan.requires),
        "namespaces": {name: _namespace(space) for name, space in plan.namespaces.items()},
        "attachments": msgspec.to_builtins(plan.attachments),
    }
    if spread:
        document["machines"] = [
            {**msgspec.to_builtins(machine), "namespaces": spread.on(machine.name)}
            for machine in spread.machines
        ]
        document["wire"] = {"kind": spread.wire, "why": spread.why}
    return document


def _namespace(space: Namespace) -> Json:
    data: Json = msgspec.to_builtins(space)
    del data["name"]
    data["sysctls"] = {setting.path: setting.value for setting in space.sysctls}
    return data


def diff_document(diff: Diff, *, checks_failed: bool = False) -> Json:
    """Every entry has `namespace`, `kind` and, in words, `object`, and the states that there are.

    `want` and `have` are an object's fields; of a whole namespace there is nothing more to say.
    `not_compared` has `what` and `why`; `checks_failed` is whether the last verification was red.
    """
    return {
        "ok": diff.ok,
        "missing": [_item(item, "want") for item in diff.missing],
        "unexpected": [_item(item, "have") for item in diff.unexpected],
        "changed": [_change(change) for change in diff.changed],
        "foreign": [_item(item, "have") for item in diff.foreign],
        "not_compared": msgspec.to_builtins(diff.not_compared),
        "checks_failed": checks_failed,
    }


def explain_document(lab: str, dataplane: str, explained: Iterable[Explained]) -> Json:
    """Every object by itself, with who writes it, why, and whether it is there."""
    objects = [msgspec.to_builtins(one) for one in explained]
    for one in objects:
        del one["names"]
    return {"lab": lab, "dataplane": dataplane, "objects": objects}


def _item(item: Item, state: str) -> Json:
    if item.object is None:
        return {"namespace": item.namespace, "kind": "namespace", "object": "the whole namespace"}
    data = {**_entry(item.namespace, item.object), state: msgspec.to_builtins(item.object)}
    return data | ({"owner": item.owner} if item.owner else {})


def _change(change: Change) -> Json:
    return {
        **_entry(change.namespace, change.want),
        "fields": change.fields,
        "differences": change.differences,
        "want": msgspec.to_builtins(change.want),
        "have": msgspec.to_builtins(change.have),
    }


def _entry(namespace: str, item: Object) -> Json:
    return {"namespace": namespace, "kind": item.what, "object": str(item)}
