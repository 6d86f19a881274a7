"""One function for each command's output as text; each takes plain values and returns the text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from netlab.plan.diff import Diff, Item
from netlab.plan.links import Link, Peer, Port
from netlab.plan.machines import Spread
from netlab.plan.names import netns
from netlab.plan.rulesets import Ruleset
from netlab.plan.shell.rulesets import lines
from netlab.plan.types import FIELDS, Namespace, Object, Plan
from netlab.report.text import blocks, count, facts, left_out, section, table

_LISTED_NAMESPACES = 30  # a longer list of objects nobody reads


def diff_table(diff: Diff, *, checks_failed: bool = False) -> str:
    """What differs between kernel and plan, a line for each object; apart, what daemons wrote.

    Where nothing does, and `checks_failed` in the last verification, also what was not compared.
    """
    rows = [("missing", item.namespace, _named(item)) for item in diff.missing]
    rows += [("unexpected", item.namespace, _named(item)) for item in diff.unexpected]
    rows += [
        ("changed", change.namespace, str(change).removeprefix(f"{change.namespace}: "))
        for change in diff.changed
    ]
    differences = blocks(
        (table(("STATE", "NAMESPACE", "OBJECT"), rows), count(len(diff), "difference"))
    )
    foreign = table(
        ("OWNER", "NAMESPACE", "OBJECT"),
        [(item.owner, item.namespace, item.object) for item in diff.foreign],
    )
    return blocks(
        (
            "The kernel equals the plan." if diff.ok else differences,
            section("What daemons wrote", foreign) if diff.foreign else "",
            left_out(diff.not_compared) if diff.ok and checks_failed else "",
        )
    )


def _named(item: Item) -> str:
    whose = f" (awaited of {item.owner})" if item.owner else ""
    return f"{item.object or 'the whole namespace'}{whose}"


def plan_table(plan: Plan, spread: Spread | None = None) -> str:
    """Every namespace with how many objects of each kind it holds; in a small plan, each object.

    Of a plan that is spread, also which machine has which nodes, and what joins them.
    """
    kinds = list(FIELDS)
    rows = [
        (space.name, space.role, *(len(getattr(space, kind)) or "" for kind in kinds))
        for space in plan.namespaces.values()
    ]
    head = ("NAMESPACE", "ROLE", *(kind.upper() for kind in kinds))
    total = sum(len(getattr(space, kind)) for space in plan.namespaces.values() for kind in kinds)
    sums = f"{count(len(plan.namespaces), 'namespace')}, {count(total, 'object')}"
    listed = len(plan.namespaces) <= _LISTED_NAMESPACES
    return blocks(
        (
            facts((("topology", plan.topology), ("requires", ", ".join(plan.requires)))),
            _spread(plan, spread) if spread else "",
            table(head, rows),
            *(_objects(space) for space in plan.namespaces.values() if listed),
            sums if listed else f"{sums}; --json and --sh show each.",
        )
    )


def _objects(space: Namespace) -> str:
    """Every object of a namespace in words, under its name."""
    items = [item for kind in FIELDS for item in getattr(space, kind)]
    texts = [_words(item) for item in items]
    return "\n".join([space.name, *(f"    {line}" for text in texts for line in text.splitlines())])


def _words(item: Object) -> str:
    if isinstance(item, Ruleset):
        return "\n".join(lines(item)).replace("\t", "    ").rstrip()
    if not isinstance(item, Link):
        return str(item)
    words = [f"{item} {item.kind}", *([f"mac {item.mac}"] if item.mac else []), f"mtu {item.mtu}"]
    words += [f"{name.replace('_', ' ')} {_setting(value)}" for name, value in _said(item)]
    return " ".join(words)


def _said(item: Link) -> Iterator[tuple[str, Any]]:
    """The settings of a device that a plan says, beside its name, MAC and MTU."""
    fields, defaults = item.__struct_fields__, item.__struct_defaults__
    usual = dict(zip(fields[len(fields) - len(defaults) :], defaults, strict=True))
    for name in fields:
        value = getattr(item, name)
        if name not in ("name", "mac", "mtu") and value != usual.get(name):
            yield name, value


def _setting(value: Any) -> str:
    if isinstance(value, Peer):
        return f"{value.namespace}/{value.link}"
    if isinstance(value, Port):
        names = (name for name in value.__struct_fields__ if getattr(value, name) is True)
        return f"({', '.join(names)})"
    return ("off", "on")[value] if isinstance(value, bool) else str(value)


def _spread(plan: Plan, spread: Spread) -> str:
    rows = []
    for machine in spread.machines:
        nodes = [name for name in spread.on(machine.name) if plan.namespaces[name].role == "node"]
        rows.append((machine.name, machine.device, machine.mtu, ", ".join(nodes)))
    wire = facts((("wire", f"{spread.wire}: {spread.why}"),))
    return blocks((wire, table(("MACHINE", "UNDERLAY", "MTU", "NODES"), rows)))


def status_table(document: Mapping[str, Any]) -> str:
    """A lab as `status --json` describes it."""
    proxy = document.get("proxy") or "none"
    known = [
        ("lab", f"{document['lab']} ({document['state']})"),
        ("topology", document["topology"]),
        ("dataplane", document["dataplane"]),
        *([("between nodes", document["carrier"])] if "carrier" in document else []),
        ("proxy", proxy),
    ]
    if health := document.get("health"):
        daemons = document.get("daemons")
        fine = "all containers run" + (", all daemons are ready" if daemons else "")
        down = [*health["containers_down"], *health.get("daemons_down", [])]
        bad = [f"down: {', '.join(down)}"] if down else []
        if unready := health.get("containers_unready"):
            bad.append(f"not ready: {', '.join(unready)}")
        if silent := [one["name"] for one in document.get("machines", []) if one["problem"]]:
            bad.append(f"cannot be asked: {', '.join(silent)}")
        known.append(("health", "; ".join(bad) or fine))
    if wire := document.get("wire"):
        known.append(("wire", f"{wire['kind']}: {wire['why']}"))
    nodes = table(
        ("NODE", "UNDERLAY", "POD CIDR", "GATEWAY"),
        [
            (node["name"], node["underlay_ip"], node["pod_cidr"], node["gateway"])
            for node in document["nodes"]
        ],
    )
    more = (_pods(document), _unready(document), _daemons(document), _services(document))
    return blocks((facts(known), _machines(document), nodes, *more))


def _machines(document: Mapping[str, Any]) -> str:
    rows = [
        (one["name"], one["device"], ", ".join(one["nodes"]), one["problem"] or "reached")
        for one in document.get("machines", [])
    ]
    return table(("MACHINE", "UNDERLAY", "NODES", "STATE"), rows) if rows else ""


def _daemons(document: Mapping[str, Any]) -> str:
    rows = [
        (
            daemon["name"],
            daemon["node"],
            "ready" if daemon["ready"] else daemon["lacks"],
            daemon["restarts"],
            daemon["pid"] or "",
        )
        for daemon in document.get("daemons", [])
    ]
    return table(("DAEMON", "NODE", "STATE", "RESTARTS", "PID"), rows) if rows else ""


def _pods(document: Mapping[str, Any]) -> str:
    if not document["pods"]:
        return ""
    unready = Counter(
        netns(one["pod"]) for one in document.get("containers", []) if not one["ready"]
    )
    return table(
        ("POD", "NODE", "ADDRESS", "READY", "CONTAINERS"),
        [
            (
                pod["name"],
                pod["node"],
                pod["ip"],
                f"{len(pod['containers']) - unready[pod['netns']]}/{len(pod['containers'])}",
                ", ".join(pod["containers"]) or "none",
            )
            for pod in document["pods"]
        ],
    )


def _unready(document: Mapping[str, Any]) -> str:
    rows = [
        (one["name"], one["pod"], one["lacks"])
        for one in document.get("containers", [])
        if not one["ready"]
    ]
    return table(("CONTAINER", "POD", "NOT READY"), rows) if rows else ""


def _services(document: Mapping[str, Any]) -> str:
    if not document["services"]:
        return ""
    return table(
        ("SERVICE", "CLUSTER IP", "PORT", "NODE PORT", "ENDPOINTS"),
        [
            (
                service["name"],
                service["cluster_ip"],
                service["port"],
                service["node_port"] or "",
                ", ".join(service["endpoints"]) or "none",
            )
            for service in document["services"]
        ],
    )


def doctor_table(document: Mapping[str, Any]) -> str:
    """What host and kernel can run, and the remedy for what they cannot."""
    runner = "an unprivileged user" if document["rootless"] else "root"
    known = facts(
        (
            ("kernel", document["kernel"]),
            ("Python", document["python"]),
            ("runs as", runner),
        )
    )
    features = table(
        ("FEATURE", "", "REMEDY"),
        [
            (entry["name"], "ok" if entry["ok"] else "missing", entry["remedy"] or "")
            for entry in document["features"]
        ],
    )
    able = [
        table(
            (title, "", "LACKS"),
            [
                (
                    entry["name"],
                    "ok" if entry["ok"] else "cannot run",
                    ", ".join(entry["missing"]) or entry.get("carrier", ""),
                )
                for entry in document[key]
            ],
        )
        for key, title in (("dataplanes", "DATAPLANE"), ("proxies", "PROXY"))
        if document.get(key)
    ]
    notes = "\n".join(document.get("notes", []))
    return blocks((known, features, *able, section("Notes", notes) if notes else ""))
