"""Debian's own CNI plugins with flannel's delegated configuration, beside a lab's node and pod.

What `ip` prints of both is the same, but for names, MACs and indexes, which the plugin draws.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
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
# Drawn at random, counted, or of which end of a cable was made first.
DRAWN = {"ifindex", "link_index", "address", "link", "link_netnsid", "promiscuity", "allmulti"}
DRAWN |= {"valid_life_time", "preferred_life_time", "link_netns"}
# netlab's own: a pod takes no link-local address (netlab/dataplane/attach/bridge.py).
OWN = {"inet6_addr_gen_mode"}
# Of spanning tree, which is off: identities made of MACs, and timers.
TREE = {"designated_bridge", "designated_port", "id", "no"}


def by_the_plugins() -> list[Any]:
    """What the plugins make of an empty network namespace and a pod's, as `ip` prints it."""
    ask = [f"ip netns exec pod {question}" for question in QUESTIONS] + list(QUESTIONS)
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
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


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
    pod_link, pod_address, pod_route, link, address, _ = by_the_plugins()
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
