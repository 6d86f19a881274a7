"""pyroute2 reads every namespace of a lab; what it sees must be what netlab planned.

netlab fills in prepared requests and reads dumps by tables, so a mistake in how it does that could
hide from its own diff. This reader is pyroute2's own high-level one, and shares no code of netlab.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.kernel.conftest import COMMAND, Netlab

READER = r"""
import json, socket, sys
from pyroute2 import IPRoute

result = {}
for name in sys.argv[1:]:
    with IPRoute(netns=name) as ipr:
        links = {}
        for link in ipr.get_links():
            info = link.get_attr("IFLA_LINKINFO")
            if info is None:
                continue
            port = info.get_attr("IFLA_INFO_SLAVE_DATA")
            entry = {
                "name": link.get_attr("IFLA_IFNAME"),
                "kind": info.get_attr("IFLA_INFO_KIND"),
                "mac": link.get_attr("IFLA_ADDRESS"),
                "mtu": link.get_attr("IFLA_MTU"),
                "txqlen": link.get_attr("IFLA_TXQLEN"),
                "up": bool(link["flags"] & 1),
                "master": link.get_attr("IFLA_MASTER"),
                "hairpin": bool(port and port.get_attr("IFLA_BRPORT_MODE")),
            }
            if entry["kind"] == "vxlan":
                data = info.get_attr("IFLA_INFO_DATA")
                entry["vxlan"] = [
                    data.get_attr("IFLA_VXLAN_ID"),
                    data.get_attr("IFLA_VXLAN_PORT"),
                    data.get_attr("IFLA_VXLAN_LOCAL"),
                    bool(data.get_attr("IFLA_VXLAN_LEARNING")),
                ]
            links[link["index"]] = entry
        names = {index: entry["name"] for index, entry in links.items()}
        for entry in links.values():
            entry["master"] = names.get(entry["master"])
        result[name] = {
            "links": list(links.values()),
            "addresses": [
                [names[a["index"]], f"{a.get_attr('IFA_ADDRESS')}/{a['prefixlen']}"]
                for a in ipr.get_addr(family=socket.AF_INET)
                if a["index"] in names
            ],
            "routes": [
                [
                    f"{r.get_attr('RTA_DST') or '0.0.0.0'}/{r['dst_len']}",
                    names[r.get_attr("RTA_OIF")],
                    r.get_attr("RTA_GATEWAY"),
                    bool(r["flags"] & 4),
                ]
                for r in ipr.get_routes(family=socket.AF_INET, table=254)
                if not r["flags"] & 0x200
            ],
            "neighbours": [
                [names[n["ifindex"]], n.get_attr("NDA_DST"), n.get_attr("NDA_LLADDR")]
                for n in ipr.get_neighbours(family=socket.AF_INET)
                if n["state"] & 0x80 and n["ifindex"] in names
            ],
            "fdb": [
                [names[n["ifindex"]], n.get_attr("NDA_LLADDR"), n.get_attr("NDA_DST")]
                for n in ipr.fdb("dump")
                if n.get_attr("NDA_DST") and n["ifindex"] in names
            ],
        }
print(json.dumps(result))
"""


@pytest.mark.parametrize("topology", ["flannel-vxlan", "flannel-host-gw", "flannel-vxlan-l3"])
def test_a_second_reader_sees_the_plan(netlab: Netlab, topology: str) -> None:
    netlab.ok("up", topology, "--no-verify")
    planned = netlab.ok("plan", topology)["namespaces"]
    done = subprocess.run(
        [*COMMAND, "shell"],
        env=netlab.environment | {"SHELL": "/bin/sh"},
        input=f"exec {sys.executable} - {' '.join(planned)} <<'END'\n{READER}\nEND\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    for name, space in planned.items():
        found = seen[name]
        devices = [link(entry) for entry in space["links"] if entry["kind"] != "loopback"]
        assert by_name(found["links"]) == by_name(devices), name
        for kind, fields in {
            "addresses": ("link", "address"),
            "routes": ("destination", "link", "gateway", "onlink"),
            "neighbours": ("link", "address", "mac"),
            "fdb": ("link", "mac", "destination"),
        }.items():
            entries = space[kind] if kind != "routes" else [hop(e) for e in space[kind]]
            wanted = [[e[f] for f in fields] for e in entries if e["link"] != "lo"]
            assert sorted(found[kind], key=str) == sorted(wanted, key=str), (name, kind)


def by_name(links: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(links, key=lambda entry: str(entry["name"]))


def link(planned: dict[str, Any]) -> dict[str, Any]:
    """A planned link in the reader's terms."""
    entry = {key: planned[key] for key in ("name", "kind", "mac", "mtu", "txqlen", "up", "master")}
    entry["hairpin"] = bool(planned["bridge_port"] and planned["bridge_port"]["hairpin"])
    if planned["kind"] == "vxlan":
        entry["vxlan"] = [planned[key] for key in ("vni", "port", "local", "learning")]
    return entry


def hop(planned: dict[str, Any]) -> dict[str, Any]:
    """A planned route with one next hop, flat."""
    [only] = planned["next_hops"]
    return planned | {key: only[key] for key in ("link", "gateway", "onlink")}
