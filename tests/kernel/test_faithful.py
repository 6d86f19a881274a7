"""What the kernel holds on a node, against the real systems' facts, written out by hand.

Nothing here is computed from netlab's plan: names, addresses, flags and rules are those which
flanneld and the bridge CNI plugin make, as `ip`, `bridge` and `nft` show them.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.kernel.conftest import Netlab
from tests.kernel.test_repair import sandbox

POSTRTG = [
    "meta mark 0x00004000 return",
    "ip saddr 10.244.0.0/24 ip daddr 10.244.0.0/16 return",
    "ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/24 return",
    "ip saddr != 10.244.0.0/24 ip daddr 10.244.0.0/16 return",
    "ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random",
    "ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 masquerade fully-random",
]
FORWARD = ["ip saddr 10.244.0.0/16 accept", "ip daddr 10.244.0.0/16 accept"]


@pytest.fixture(scope="module")
def vxlan(shared: Netlab) -> Netlab:
    shared.ok("up", "flannel-vxlan", "--no-verify", "-l", "vxlan")
    shared.ok("up", "flannel-host-gw", "--no-verify", "-l", "gw")
    return shared


def links(netlab: Netlab, lab: str, space: str) -> dict[str, Any]:
    found = netlab.show(space, "ip -d -j link", lab)
    return {link["ifname"]: link for link in found}


def rules(netlab: Netlab, lab: str, chain: str) -> list[str]:
    listing = netlab.inside("node-1", f"nft list chain ip flannel-ipv4 {chain}", lab)
    lines = [line.strip() for line in listing.splitlines()]
    return [line for line in lines if line.endswith(("return", "random", "accept"))]


def test_vtep_device(vxlan: Netlab) -> None:
    vtep = links(vxlan, "vxlan", "node-1")["flannel.1"]
    data = vtep["linkinfo"]["info_data"]
    assert vtep["linkinfo"]["info_kind"] == "vxlan"
    assert (data["id"], data["port"], data["local"]) == (1, 8472, "192.168.0.1")
    assert data["link"] == "eth0"
    assert data["learning"] is False
    assert "gbp" not in data
    assert vtep["mtu"] == 1450
    assert "UP" in vtep["flags"]
    assert int(vtep["address"][:2], 16) & 3 == 2, "locally administered, unicast"
    addresses = vxlan.show("node-1", "ip -j -4 address show dev flannel.1", "vxlan")
    assert [(a["local"], a["prefixlen"]) for a in addresses[0]["addr_info"]] == [("10.244.0.0", 32)]
    accept = vxlan.inside("node-1", "cat /proc/sys/net/ipv6/conf/flannel.1/accept_ra", "vxlan")
    assert accept.strip() == "0"


def test_three_entries_for_each_remote_node(vxlan: Netlab) -> None:
    macs = {n: links(vxlan, "vxlan", f"node-{n}")["flannel.1"]["address"] for n in (2, 3)}
    neighbours = vxlan.show("node-1", "ip -j neigh show dev flannel.1", "vxlan")
    assert {(n["dst"], n["lladdr"], tuple(n["state"])) for n in neighbours} == {
        ("10.244.1.0", macs[2], ("PERMANENT",)),
        ("10.244.2.0", macs[3], ("PERMANENT",)),
    }
    fdb = vxlan.show("node-1", "bridge -j fdb show dev flannel.1", "vxlan")
    assert {(f["mac"], f["dst"], tuple(f["flags"]), f["state"]) for f in fdb} == {
        (macs[2], "192.168.0.2", ("self",), "permanent"),
        (macs[3], "192.168.0.3", ("self",), "permanent"),
    }


def test_vxlan_routes(vxlan: Netlab) -> None:
    routes = vxlan.inside("node-1", "ip route show", "vxlan").splitlines()
    assert [line.strip() for line in routes] == [
        "default via 192.168.0.254 dev eth0",
        "10.244.0.0/24 dev cni0 proto kernel scope link src 10.244.0.1",
        "10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink",
        "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
        "192.168.0.0/24 dev eth0 proto kernel scope link src 192.168.0.1",
    ]


def test_host_gw_routes_and_mtu(vxlan: Netlab) -> None:
    routes = vxlan.inside("node-1", "ip route show", "gw").splitlines()
    assert [line.strip() for line in routes] == [
        "default via 192.168.0.254 dev eth0",
        "10.244.0.0/24 dev cni0 proto kernel scope link src 10.244.0.1",
        "10.244.1.0/24 via 192.168.0.2 dev eth0",
        "10.244.2.0/24 via 192.168.0.3 dev eth0",
        "192.168.0.0/24 dev eth0 proto kernel scope link src 192.168.0.1",
    ]
    devices = links(vxlan, "gw", "node-1")
    assert "flannel.1" not in devices
    assert devices["cni0"]["mtu"] == 1500
    assert links(vxlan, "gw", "pod-1-1")["eth0"]["mtu"] == 1500


@pytest.mark.parametrize("lab", ["vxlan", "gw"])
def test_masquerade_and_forward_rules(vxlan: Netlab, lab: str) -> None:
    assert rules(vxlan, lab, "postrtg") == POSTRTG
    assert rules(vxlan, lab, "forward") == FORWARD
    tables = vxlan.show("node-1", "nft -j list tables", lab)["nftables"]
    names = [entry["table"]["name"] for entry in tables if "table" in entry]
    assert names == ["flannel-ipv4"]
    chains = vxlan.show("node-1", "nft -j list chains", lab)["nftables"]
    hooks = {
        c["chain"]["name"]: (c["chain"]["type"], c["chain"]["hook"], c["chain"]["prio"])
        for c in chains
        if "chain" in c
    }
    assert hooks == {
        "postrtg": ("nat", "postrouting", 100),
        "forward": ("filter", "forward", 0),
    }
    assert vxlan.inside("node-1", "cat /proc/sys/net/ipv4/ip_forward", lab).strip() == "1"


@pytest.mark.parametrize(("lab", "mtu"), [("vxlan", 1450), ("gw", 1500)])
def test_bridge_and_pods_as_the_cni_plugin_makes_them(vxlan: Netlab, lab: str, mtu: int) -> None:
    devices = links(vxlan, lab, "node-1")
    bridge = devices["cni0"]
    assert bridge["linkinfo"]["info_kind"] == "bridge"
    assert bridge["linkinfo"]["info_data"]["stp_state"] == 0
    assert bridge["linkinfo"]["info_data"]["vlan_filtering"] == 0
    assert bridge["mtu"] == mtu
    address = vxlan.show("node-1", "ip -j -4 address show dev cni0", lab)[0]["addr_info"][0]
    assert (address["local"], address["prefixlen"]) == ("10.244.0.1", 24)
    assert address["broadcast"] == "10.244.0.255"
    ports = [link for link in devices.values() if link.get("master") == "cni0"]
    assert len(ports) == 2
    for port in ports:
        assert re.fullmatch(r"veth[0-9a-f]{8}", port["ifname"])
        assert port["mtu"] == mtu
        assert port["linkinfo"]["info_slave_data"]["hairpin"] is True
        assert port["linkinfo"]["info_slave_data"]["isolated"] is False
    assert not any("fe80" in str(link) for link in devices.values())

    eth0 = vxlan.show("pod-1-2", "ip -j address show dev eth0", lab)[0]
    assert eth0["mtu"] == mtu
    inet = [(a["local"], a["prefixlen"], a["broadcast"]) for a in eth0["addr_info"]]
    assert inet == [("10.244.0.3", 24, "10.244.0.255")]
    routes = vxlan.inside("pod-1-2", "ip route show", lab).splitlines()
    assert [line.strip() for line in routes] == [
        "default via 10.244.0.1 dev eth0",
        "10.244.0.0/24 dev eth0 proto kernel scope link src 10.244.0.3",
        "10.244.0.0/16 via 10.244.0.1 dev eth0",
    ]
    notify = vxlan.inside("pod-1-2", "cat /proc/sys/net/ipv4/conf/eth0/arp_notify", lab)
    assert notify.strip() == "1"


def test_names_are_those_of_ip_netns(vxlan: Netlab) -> None:
    names = {line.split()[0] for line in sandbox(vxlan, "ip netns", "vxlan").splitlines()}
    assert names == {
        "underlay",
        "router",
        "internet",
        "external",
        *(f"node-{n}" for n in (1, 2, 3)),
    } | {f"pod-{n}-{p}" for n in (1, 2, 3) for p in (1, 2)}


def test_nodes_hang_on_a_switch_of_their_own(vxlan: Netlab) -> None:
    devices = links(vxlan, "vxlan", "underlay")
    ports = {name for name, link in devices.items() if link.get("master") == "br0"}
    assert ports == {"node-1", "node-2", "node-3", "router"}
    routes = vxlan.inside("external", "ip route show", "vxlan").splitlines()
    assert [line.split()[0] for line in routes] == ["default", "203.0.113.0/24"]
