"""Debian's own CNI plugins with flannel's delegated configuration, beside a lab's node and pod.

What `ip`, `bridge` and `sysctl` print of both is the same, but for names, MACs and indexes, which
the plugin draws, and for what stands in OWN.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.kernel.conftest import Netlab

PLUGINS = Path(os.environ.get("CNI_PATH", "/usr/lib/cni"))
# What flannel's plugin hands to bridge and host-local (plugins/meta/flannel, README).
DELEGATE = {
    "cniVersion": "0.3.1",
    "name": "cbr0",
    "type": "bridge",
    "bridge": "cni0",
    "mtu": 1450,
    "isDefaultGateway": True,
    "hairpinMode": True,
    "ipMasq": False,
    "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": "10.244.0.0/24"}]],
        "routes": [{"dst": "10.244.0.0/16"}],
    },
}
ADD = """
mount -t tmpfs none /run
ip netns add pod
export CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_NETNS=/run/netns/pod CNI_IFNAME=eth0
"$CNI_PATH/bridge" > /run/result
for _ in $(seq 100); do ip -n pod link show eth0 | grep -q 'state UP' && break; sleep 0.02; done
"""
QUESTIONS = ("ip -j -d link", "ip -j address", "ip -j route")
BRIDGE = ("bridge -j -d link", "bridge -j vlan", "bridge -j fdb")
# As `sysctl -a` prints it, which is not on every machine.
SETTINGS = "sh -c 'grep -rs . /proc/sys/net | sort || true'"
# Drawn at random, counted, or of which end of a cable was made first.
DRAWN = {"ifindex", "link_index", "address", "link", "link_netnsid", "promiscuity", "allmulti"}
DRAWN |= {"valid_life_time", "preferred_life_time", "link_netns"}
# netlab's own: a pod takes no link-local address (netlab/dataplane/attach/bridge.py).
OWN = {"inet6_addr_gen_mode"}
# Of a pod's addresses none is checked for a duplicate, as by the plugin's accept_dad 0, which with
# many pods would take a tenth of a second to write (netlab/kernel/settings.py).
OWN_POD = {"ipv6/conf/eth0/addr_gen_mode", "ipv6/conf/eth0/accept_dad"}
# Nodes of a lab that is not dual-stack have no IPv6, and so nobody's advertisements.
OWN_NODE = {"ipv6/conf/cni0/disable_ipv6", "ipv6/conf/veth/disable_ipv6"}
OWN_NODE |= {"ipv6/conf/veth/accept_ra"}
# Of spanning tree, which is off: identities made of MACs, and timers.
TREE = {"designated_bridge", "designated_port", "id", "no"}


def by_the_plugins(ask: Iterable[str]) -> str:
    """What commands print in an empty network namespace in which the plugins made a pod."""
    script = ADD + "\n".join(f"{question}; echo" for question in ask)
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-ec", script],
        input=json.dumps(DELEGATE),
        env=os.environ | {"CNI_PATH": str(PLUGINS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_pod(question: str) -> str:
    return f"ip netns exec pod {question}"


def left_out(key: str) -> bool:
    return key in DRAWN | OWN or key.endswith(("_id", "_timer", "_root")) or key in TREE


def plain(value: Any) -> Any:
    """What is printed, without what is drawn."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        kept = {key: plain(item) for key, item in value.items() if not left_out(key)}
        return {key: item for key, item in kept.items() if item not in ({}, [])}
    return value


def device(links: list[Any], name: str) -> Any:
    """One device; `veth` is the pod's cable at the node's end, whatever it is called."""
    found = next(link for link in links if link["ifname"].startswith(name))
    return plain({key: value for key, value in found.items() if key != "ifname"})


def test_a_node_s_bridge_and_a_pod_are_as_debian_s_plugins_make_them(netlab: Netlab) -> None:
    assert (PLUGINS / "bridge").exists(), "Debian's package containernetworking-plugins lacks"
    assert shutil.which("unshare")
    printed = by_the_plugins([*map(in_pod, QUESTIONS), *QUESTIONS])
    documents = [json.loads(line) for line in printed.splitlines() if line.strip()]
    pod_link, pod_address, pod_route, link, address, _ = documents
    netlab.ok("up", "flannel-vxlan", "--nodes", "2", "--pods-per-node", "1", "--no-verify")
    ours = {
        target: [netlab.show(target, question) for question in QUESTIONS]
        for target in ("pod-1-1", "node-1")
    }
    assert device(ours["pod-1-1"][0], "eth0") == device(pod_link, "eth0")
    assert device(ours["node-1"][0], "veth") == device(link, "veth")
    assert device(ours["node-1"][0], "cni0") == device(link, "cni0")
    assert sorted(map(str, plain(ours["pod-1-1"][2]))) == sorted(map(str, plain(pod_route)))
    for mine, theirs, name in (
        (ours["pod-1-1"][1], pod_address, "eth0"),
        (ours["node-1"][1], address, "cni0"),
    ):
        assert _ipv4(mine, name) == _ipv4(theirs, name)


def _ipv4(addresses: list[Any], name: str) -> list[tuple[str, int, str]]:
    found = next(link for link in addresses if link["ifname"] == name)
    return [
        (item["local"], item["prefixlen"], item["scope"])
        for item in found["addr_info"]
        if item["family"] == "inet"
    ]


def test_the_bridge_s_ports_and_entries_are_as_debian_s_plugins_make_them(netlab: Netlab) -> None:
    printed = by_the_plugins(BRIDGE)
    ports, vlans, entries = (json.loads(line) for line in printed.splitlines() if line.strip())
    netlab.ok("up", "flannel-vxlan", "--nodes", "1", "--pods-per-node", "1", "--no-verify")
    ours = [netlab.show("node-1", question) for question in BRIDGE]
    assert device(ours[0], "veth") == device(ports, "veth")
    assert ours[1] == vlans
    assert entry_kinds(ours[2]) == entry_kinds(entries)


def entry_kinds(entries: list[Any]) -> set[tuple[str, ...]]:
    """FDB entries of the bridge and its port, without those that were learned.

    A device with a link-local address has an entry for its solicited nodes as well.
    """
    return {
        (
            entry["mac"] if entry["mac"].startswith(("01:", "33:")) else "its own",
            entry["ifname"][:4],
            *entry["flags"],
            entry.get("master", ""),
        )
        for entry in entries
        if entry["state"] == "permanent"
        and entry["ifname"] != "eth0"
        and not entry["mac"].startswith("33:33:ff:")
    }


def test_settings_are_as_debian_s_plugins_leave_them(netlab: Netlab) -> None:
    printed = by_the_plugins([in_pod(SETTINGS), "echo ----", SETTINGS])
    netlab.ok("up", "flannel-vxlan", "--nodes", "1", "--pods-per-node", "1", "--no-verify")
    for target, theirs, own in zip(
        ("pod-1-1", "node-1"), printed.split("----"), (OWN_POD, OWN_NODE), strict=True
    ):
        ours = settings(netlab.inside(target, SETTINGS))
        wanted = settings(theirs)
        assert len(wanted) > 100
        assert ours.keys() == wanted.keys()
        assert {key for key in ours if ours[key] != wanted[key]} == own


def settings(text: str) -> dict[str, str]:
    """The settings of a pod's device, or of the bridge and its port, by their names."""
    pairs = (line.removeprefix("/proc/sys/net/").partition(":") for line in text.splitlines())
    wanted = ("cni0", "veth") if "cni0" in text else ("eth0",)
    found = {}
    for path, _, value in pairs:
        parts = path.split("/")
        name = "veth" if parts[2:3] and parts[2].startswith("veth") else "".join(parts[2:3])
        if len(parts) == 4 and name in wanted:
            found["/".join([*parts[:2], name, parts[3]])] = value
    return found
