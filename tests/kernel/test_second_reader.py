"""The kernel against the plan, through iproute2: none of netlab's own code reads or converts.

The engine writes and observes with one codec, so the two could be wrong together; iproute2 cannot.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kernel.conftest import Netlab
from tests.kernel.test_repair import sandbox

DUAL = 'topology = Cluster(nodes=2, cluster_cidr=("10.244.0.0/16", "fd44::/56"))'
SCRIPT = """
for space in {spaces}; do
    for words in "-d link show" "address show" "-4 route show" "-6 route show" \\
            "neigh show nud permanent" "-4 rule show" "-6 rule show"; do
        echo "@$space@$words"
        ip -j -n $space $words
    done
    echo "@$space@fdb"
    bridge -j -n $space fdb show
done
"""
EVERYTHING = {"-4 route show": "0.0.0.0/0", "-6 route show": "::/0"}
TABLES = {255: "local", 254: "main", 253: "default"}
Seen = dict[str, list[dict[str, Any]]]


NAMES = [
    "flannel-vxlan",
    "flannel-host-gw",
    "flannel-vxlan-l3",
    "dual",
    "flannel-udp",
    "calico-vxlan",
    "cilium-native",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_second_reader_sees_the_plan(
    netlab: Netlab, topology: Callable[[str], str], name: str
) -> None:
    wanted = topology(DUAL) if name == "dual" else name
    netlab.ok("up", wanted, "--no-verify")
    planned = netlab.ok("plan", wanted)["namespaces"]
    seen = shown(netlab, planned)
    for space, plan in planned.items():
        for what, (read, expected) in WHAT.items():
            assert sorted(read(seen[space])) == sorted(expected(plan)), (space, what)


def shown(netlab: Netlab, spaces: Any) -> dict[str, Seen]:
    """What the commands print in each namespace."""
    found: dict[str, Seen] = {space: {} for space in spaces}
    for part in sandbox(netlab, SCRIPT.format(spaces=" ".join(spaces))).split("\n@"):
        space, words = part.splitlines()[0].removeprefix("@").split("@")
        found[space][words] = json.loads(part.partition("\n")[2].strip() or "[]")
    return found


def links(seen: Seen) -> Iterator[str]:
    for link in seen["-d link show"]:
        info = link.get("linkinfo", {})
        port, data = info.get("info_slave_data", {}), info.get("info_data", {})
        words = [link["ifname"], info.get("info_kind"), link.get("address", ""), link["mtu"]]
        words += [link.get("txqlen", 0), "UP" in link["flags"], link.get("master")]
        words += [port.get("hairpin", False), link.get("inet6_addr_gen_mode")]
        if info.get("info_kind") == "vxlan":
            local = data.get("local") or data.get("local6")
            words += [data["id"], data["port"], local, data["learning"], data["link"]]
        yield str(words)


def planned_links(plan: dict[str, Any]) -> Iterator[str]:
    for link in plan["links"]:
        kind = None if link["kind"] == "loopback" else link["kind"]
        words = [link["name"], kind, link["mac"], link["mtu"], link["txqlen"], link["up"]]
        words += [link["master"], bool(link["bridge_port"] and link["bridge_port"]["hairpin"])]
        words.append(link["addr_gen_mode"])
        if kind == "vxlan":
            words += [link["vni"], link["port"], link["local"], link["learning"], link["device"]]
        yield str(words)


def addresses(seen: Seen) -> Iterator[str]:
    for link in seen["address show"]:
        for item in link["addr_info"]:
            words = [link["ifname"], f"{item['local']}/{item['prefixlen']}", item["scope"]]
            yield str([*words, item.get("nodad", False), item.get("tentative", False)])


def planned_addresses(plan: dict[str, Any]) -> Iterator[str]:
    for item in plan["addresses"]:
        yield str([item["link"], item["address"], item["scope"], item["nodad"], False])


def routes(seen: Seen) -> Iterator[str]:
    for words, everything in EVERYTHING.items():
        for route in seen[words]:
            target = everything if route["dst"] == "default" else route["dst"]
            whole = "/128" if ":" in target else "/32"
            target += "" if "/" in target else whole
            hop = [route.get("dev"), route.get("gateway"), "onlink" in route["flags"]]
            source, metric = route.get("prefsrc"), route.get("metric", 0)
            kind = route.get("type", "unicast")
            yield str([target, *hop, source, metric, route.get("protocol", "boot"), kind])


def planned_routes(plan: dict[str, Any]) -> Iterator[str]:
    for route in plan["routes"]:
        nowhere = {"link": None, "gateway": None, "onlink": False}
        (hop,) = route["next_hops"] or [nowhere]
        words = [route["destination"], hop["link"], hop["gateway"], hop["onlink"]]
        yield str([*words, route["source"], route["metric"], route["protocol"], route["type"]])


def neighbours(seen: Seen) -> Iterator[str]:
    for item in seen["neigh show nud permanent"]:
        yield str([item["dev"], item["dst"], item["lladdr"]])


def fdb(seen: Seen) -> Iterator[str]:
    for item in seen["fdb"]:
        if "dst" in item:
            yield str([item["ifname"], item["mac"], item["dst"], item["state"]])


def rules(seen: Seen) -> Iterator[str]:
    for words in ("-4 rule show", "-6 rule show"):
        yield from (str([words[:2], r["priority"], r["src"], r["table"]]) for r in seen[words])


WHAT: dict[str, tuple[Callable[[Seen], Any], Callable[[dict[str, Any]], Any]]] = {
    "links": (links, planned_links),
    "addresses": (addresses, planned_addresses),
    "routes": (routes, planned_routes),
    "neighbours": (
        neighbours,
        lambda plan: [str([n["link"], n["address"], n["mac"]]) for n in plan["neighbours"]],
    ),
    "fdb": (
        fdb,
        lambda plan: [
            str([f["link"], f["mac"], f["destination"], "permanent"]) for f in plan["fdb"]
        ],
    ),
    "rules": (
        rules,
        lambda plan: [
            str(["-6" if r["ipv6"] else "-4", r["priority"], "all", TABLES[r["table"]]])
            for r in plan["rules"]
        ],
    ),
}
