"""The address plan and the CIDR arithmetic as text, from the values or documents of `--json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from netlab.report.text import blocks, count, facts, table
from netlab.topology.addresses import AddressPlan

_LISTED = 16  # subnets that are all listed; of more
_ENDS = 4  # are the first and the last so many
_KINDS = {
    "default": "the default route's network: all addresses there are",
    "pair": "the two ends of a link, both hosts'",
    "host": "one address, as in a host route",
}
_NO_BROADCAST = ("pair", "host")


def ipcalc_table(document: Mapping[str, Any]) -> str:
    """The arithmetic with the binary split: the space divides network and host part.

    It takes the document of `--json`. The 128 digits of IPv6 take two lines. Of many subnets it has
    the first and the last.
    """
    names = ["address", "netmask", "network"]
    if document["broadcast"] and document["kind"] not in _NO_BROADCAST:
        names.append("broadcast")
    split = table(
        ("", "ADDRESS", "BINARY"),
        [
            (name if first else "", document[name] if first else "", line)
            for name in names
            for first, line in _binary_lines(document["binary"][name])
        ],
    )
    known = [("prefix length", document["prefix_length"])]
    if document["wildcard"]:
        known.append(("wildcard", document["wildcard"]))
    known += [
        ("first host", document["first"]),
        ("last host", document["last"]),
        ("usable hosts", document["usable"]),
    ]
    if says := _KINDS.get(document["kind"]):
        known.append(("kind", says))
    if asked := document.get("contains"):
        known.append((asked["address"], "inside" if asked["inside"] else "not inside"))
    return blocks((split, facts(known), *_subnets(document.get("subnets", ()))))


def _subnets(subnets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The subnets that fit on a screen, and how many there are."""
    rows = [tuple(one.values()) for one in subnets]
    counted = count(len(rows), "subnet")
    if not rows:
        return
    if len(rows) > _LISTED:
        left = len(rows) - 2 * _ENDS
        rows = [*rows[:_ENDS], ("…",) * len(rows[0]), *rows[-_ENDS:]]
        counted += f"; the {left} between are left out here, and --json has all"
    yield table(("SUBNET", "FIRST", "LAST", "USABLE"), rows)
    yield counted


def _binary_lines(digits: str) -> Iterator[tuple[bool, str]]:
    """Binary digits in lines of at most four groups of IPv6; whether a line is the first."""
    groups = digits.split(":")
    yield True, ":".join(groups[:4])
    if len(groups) > 4:
        yield False, ":".join(groups[4:])


def addresses_table(plan: AddressPlan | Mapping[str, Any]) -> str:
    """The cluster's address plan; accepts the value or the document of `--json`."""
    document = asdict(plan) if isinstance(plan, AddressPlan) else plan
    known = [
        ("nodes' addresses", ", ".join(document["underlay"])),
        ("pods' (cluster CIDR)", ", ".join(document["cluster_cidrs"])),
        ("node mask", f"/{document['node_mask']}, room for {document['max_nodes']} nodes"),
        ("service CIDR", f"{document['service_cidr']}, {document['service_addresses']} addresses"),
        *_service_bands(document),
        ("NodePorts", document["node_port_range"]),
    ]
    known += [
        ("kubelet's limit", f"{document['kubelet_max_pods']} pods per node"),
        ("pods in all", f"{document['usable_pods']} on {count(len(document['nodes']), 'node')}"),
    ]
    own = list(dict.fromkeys(name for node in document["nodes"] for name in node["reserved"]))
    nodes = table(
        (
            "NODE",
            "ADDRESS",
            "POD CIDR",
            *_upper(own or ["gateway"]),
            "FIRST POD",
            "LAST POD",
            "PODS",
        ),
        [
            (
                node["name"],
                node["addresses"][0],
                ", ".join(_of_first_family(node["pod_cidrs"])),
                *([node["reserved"].get(name, "") for name in own] or [node["gateway"]]),
                node["first"],
                node["last"],
                node["usable_pods"],
            )
            for node in document["nodes"]
        ],
    )
    rows = [
        (node["name"], key, value)
        for node in document["nodes"]
        for key, value in node.get("annotations", {}).items()
    ]
    annotations = table(("NODE", "ANNOTATION", "VALUE"), rows) if rows else ""
    return blocks((facts(known), nodes, annotations, *map(_step, document.get("explained", ()))))


def _of_first_family(cidrs: Sequence[str]) -> list[str]:
    """A node's CIDR, or its blocks."""
    return [cidr for cidr in cidrs if (":" in cidr) is (":" in cidrs[0])]


def _upper(names: Iterable[str]) -> list[str]:
    return [name.upper() for name in names]


def _step(step: Mapping[str, Any]) -> str:
    """A step of the arithmetic: what it is about, in words, and in digits."""
    rows = [(one["address"], one["binary"], one["what"]) for one in step["digits"]]
    digits = table(("",) * 3, rows).splitlines()[1:]
    return "\n".join([step["what"], *(f"    {line}" for line in (*step["says"], *digits))])


def _service_bands(document: Mapping[str, Any]) -> list[tuple[str, object]]:
    result: list[tuple[str, object]] = []
    if "kubernetes_service_ip" in document:
        result.append(("  API server", document["kubernetes_service_ip"]))
    for key, name in (("static_band", "  static band"), ("dynamic_band", "  dynamic band")):
        band = document.get(key)
        if band and band["size"]:
            result.append((name, f"{band['first']} to {band['last']}, {band['size']} addresses"))
    return result
