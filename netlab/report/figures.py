"""The address plan and the CIDR arithmetic as text, from the values or documents of `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
_Row = tuple[object, ...]  # of the table of the kinds of addresses


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
    kinds = table(
        ("KIND", "RANGE", "SIZE", "WHAT"),
        [*_of_nodes(document), *_of_services(document), *_of_pods(document)],
    )
    families = range(len(document["cluster_cidrs"]))
    rows = [
        (node["name"], key, value)
        for node in document["nodes"]
        for key, value in node.get("annotations", {}).items()
    ]
    annotations = table(("NODE", "ANNOTATION", "VALUE"), rows) if rows else ""
    return blocks(
        (
            kinds,
            *(_pod_ranges(document["nodes"], family) for family in families),
            _in_all(document),
            annotations,
            *map(_step, document.get("explained", ())),
        )
    )


def _of_nodes(document: Mapping[str, Any]) -> Iterator[_Row]:
    for segment in document["segments"]:
        for number, network in enumerate(segment["networks"]):
            size, whose = ("", "the same nodes") if number else (segment["nodes"], "nodes")
            router = segment["routers"][number]
            yield "node", network, size, f"{whose} on {segment['name']}; the router has {router}"


def _of_services(document: Mapping[str, Any]) -> Iterator[_Row]:
    for number, services in enumerate(document["service_ranges"]):
        yield "cluster", services["cidr"], services["addresses"], "Services"
        if number == 0:
            api_server = document["kubernetes_service_ip"]
            yield "", api_server, 1, "the first: kubernetes, the API server's Service"
        yield from _bands(services["static_band"], services["dynamic_band"])
    yield "NodePort", document["node_port_range"], document["node_ports"], "ports of each node"
    yield from _bands(document["static_port_band"], document["dynamic_port_band"])


def _bands(static: Mapping[str, Any], dynamic: Mapping[str, Any]) -> Iterator[_Row]:
    """What is for those who name theirs; a small range is not divided."""
    if not static["size"]:
        return
    told = (
        (static, "static band: for those who name theirs"),
        (dynamic, "dynamic band: given out first"),
    )
    for band, what in told:
        yield "", f"{band['first']} to {band['last']}", band["size"], what


def _of_pods(document: Mapping[str, Any]) -> Iterator[_Row]:
    masks = zip(document["cluster_cidrs"], document["node_masks"], strict=True)
    block = document["block_mask"]
    for number, (cidr, mask) in enumerate(masks):
        size, whose = ("", "the same nodes") if number else (document["max_nodes"], "nodes")
        share = f"a /{mask} each" if block is None else f"which take blocks of /{block}"
        yield "pod", cidr, size, f"{whose}, {share}"


def _pod_ranges(nodes: Sequence[Mapping[str, Any]], family: int) -> str:
    """What nodes have for their pods of one family, in the topology's order."""
    ranges = [node["families"][family] for node in nodes]
    own = list(dict.fromkeys(name for one in ranges for name in one["reserved"]))
    gateway = [] if "router" in own else ["gateway"]
    heads = [name.upper() for name in (*gateway, *own)]
    rows = [
        (
            node["name"],
            node["addresses"][family],
            ", ".join(one["pod_cidrs"]),
            *(one[name] for name in gateway),
            *(one["reserved"].get(name, "") for name in own),
            one["first"],
            one["last"],
            one["usable_pods"],
        )
        for node, one in zip(nodes, ranges, strict=True)
    ]
    return table(("NODE", "ADDRESS", "POD CIDR", *heads, "FIRST POD", "LAST POD", "PODS"), rows)


def _in_all(document: Mapping[str, Any]) -> str:
    nodes = count(len(document["nodes"]), "node")
    return (
        f"{document['usable_pods']} addresses for pods on {nodes}; the kubelet takes "
        f"{document['kubelet_max_pods']} pods on each, unless told otherwise"
    )


def _step(step: Mapping[str, Any]) -> str:
    """A step of the arithmetic: what it is about, in words, and in digits."""
    rows = [(one["address"], one["binary"], one["what"]) for one in step["digits"]]
    digits = table(("",) * 3, rows).splitlines()[1:]
    return "\n".join([step["what"], *(f"    {line}" for line in (*step["says"], *digits))])
