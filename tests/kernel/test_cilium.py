"""Cilium's dataplanes: what a node holds, written out by hand, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kernel.conftest import Netlab

pytestmark = pytest.mark.needs("veth", "vxlan", "iptables-nft")
MASTER = "cd.ops.k8s-master-01"
# Name, third byte of the CIDR, then the last of cilium_host and of the health endpoint.
SEED = (
    ("cd.ops.k8s-master-01", 64, 15, 230),
    ("cd.ops.k8s-master-02", 65, 217, 119),
    ("cd.ops.k8s-master-03", 66, 34, 91),
    ("cd.ops.server.k8s-node-01", 69, 246, 171),
    ("cd.ops.server.k8s-node-02", 68, 214, 91),
    ("cd.ops.server.k8s-node-03", 67, 133, 235),
)


@pytest.fixture(scope="module")
def labs(shared: Netlab) -> Netlab:
    assert shared.ok("-l", "seed", "up", "seed-cilium")["ok"]
    assert shared.ok("-l", "native", "up", "cilium-native")["ok"]
    return shared


def routes(netlab: Netlab, lab: str, node: str) -> list[str]:
    found = [line.strip() for line in netlab.inside(node, "ip route", lab).splitlines()]
    return [line for line in found if " dev lxc" not in line]


def test_the_seed_s_nodes_have_their_addresses_and_annotations(labs: Netlab) -> None:
    nodes = labs.ok("-l", "seed", "addresses")["nodes"]
    assert [
        (
            node["name"],
            node["annotations"]["io.cilium.network.ipv4-pod-cidr"],
            node["annotations"]["io.cilium.network.ipv4-cilium-host"],
            node["annotations"]["io.cilium.network.ipv4-health-ip"],
        )
        for node in nodes
    ] == [
        (name, f"10.233.{n}.0/24", f"10.233.{n}.{router}", f"10.233.{n}.{health}")
        for name, n, router, health in SEED
    ]
    for node in nodes:
        told = node["annotations"]
        for key in ("pod-cidr", "cilium-host", "health-ip"):
            assert told[f"network.cilium.io/ipv4-{key}"] == told[f"io.cilium.network.ipv4-{key}"]


def test_devices_of_a_node(labs: Netlab) -> None:
    links = {link["ifname"]: link for link in labs.show(MASTER, "ip -d -j link", "seed")}
    assert {"cilium_host", "cilium_net", "cilium_vxlan"} <= links.keys()
    assert links["cilium_host"]["link"] == "cilium_net"
    assert {"NOARP", "UP"} <= set(links["cilium_host"]["flags"])
    tunnel = links["cilium_vxlan"]
    data = tunnel["linkinfo"]["info_data"]
    assert (data["external"], data["port"], data["learning"]) == (True, 8472, False)
    assert tunnel["mtu"] == 1500, "the routes have the smaller one"
    ports = [name for name in links if name.startswith("lxc")]
    assert len(ports) == 3
    assert all(len(name) == 15 for name in ports if name != "lxc_health")
    assert "lxc_health" in ports
    addresses = labs.show(MASTER, "ip -j -4 address show dev cilium_host", "seed")[0]["addr_info"]
    assert [(one["local"], one["prefixlen"]) for one in addresses] == [("10.233.64.15", 32)]


def test_routes_carry_the_tunnel(labs: Netlab) -> None:
    far = [line for line in routes(labs, "seed", MASTER) if "encap" in line]
    assert len(far) == len(SEED) - 1
    [to_65] = [line for line in far if line.startswith("10.233.65.0/24 ")]
    assert "dst 192.168.50.2" in to_65
    assert "dev cilium_vxlan" in to_65
    assert "src 10.233.64.15" in to_65
    assert to_65.endswith("mtu 1450")
    assert (
        "10.233.64.0/24 via 10.233.64.15 dev cilium_host proto kernel src 10.233.64.15"
        in routes(labs, "seed", MASTER)
    )


def test_native_routing_has_no_tunnel(labs: Netlab) -> None:
    own = labs.ok("-l", "native", "status")["nodes"][0]["gateway"]
    assert sorted(routes(labs, "native", "node-1")) == sorted(
        [
            "default via 192.168.0.254 dev eth0",
            "192.168.0.0/24 dev eth0 proto kernel scope link src 192.168.0.1",
            f"10.244.0.0/24 via {own} dev cilium_host proto kernel src {own}",
            f"{own} dev cilium_host proto kernel scope link",
            "10.244.1.0/24 via 192.168.0.2 dev eth0 proto kernel",
            "10.244.2.0/24 via 192.168.0.3 dev eth0 proto kernel",
        ]
    )
    devices = [link["ifname"] for link in labs.show("node-1", "ip -j link", "native")]
    assert "cilium_vxlan" not in devices


def test_a_pod_has_a_32_and_the_router_for_a_gateway(labs: Netlab) -> None:
    [address] = labs.show("pod-1-1", "ip -j -4 address show dev eth0", "seed")[0]["addr_info"]
    assert address["prefixlen"] == 32
    assert [line.strip() for line in labs.inside("pod-1-1", "ip route", "seed").splitlines()] == [
        "default via 10.233.64.15 dev eth0 mtu 1450",
        "10.233.64.15 dev eth0 scope link",
    ]


def test_a_node_is_seen_by_a_remote_pod_as_its_router(labs: Netlab) -> None:
    """By what verify saw: the address of cilium_host, not of the node."""
    found = labs.ok("-l", "seed", "verify")["checks"]
    seen = {c["observed"] for c in found if (c["from"], c["to"]) == (MASTER, "pod-2-1")}
    assert "UDP: seen as 10.233.64.15" in seen


def test_every_node_reaches_every_health_endpoint(labs: Netlab) -> None:
    """Broken, it is seen by all who ask, and by what differs; then it is made good."""
    found = asked_of_health(labs.ok("-l", "seed", "verify"))
    assert len(found) == 2 * len(SEED) ** 2
    assert all(check["ok"] for check in found)
    labs.inside(MASTER, "ip link set lxc_health down", "seed")
    differs = labs.run("-l", "seed", "diff")
    assert differs.code == 1
    assert "lxc_health" in differs.out
    report = labs.run("--json", "-l", "seed", "verify")
    assert report.code == 1
    bad = [check for check in asked_of_health(report.json) if not check["ok"]]
    assert {check["to"] for check in bad} == {f"cilium-health-{MASTER}"}
    assert {check["from"] for check in bad} >= {name for name, *_ in SEED[1:]}
    assert labs.ok("-l", "seed", "up", "seed-cilium")["ok"]
    assert labs.run("-l", "seed", "diff").code == 0


def asked_of_health(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [check for check in report["checks"] if check["kind"] == "node-endpoint"]


def test_on_two_subnets_native_routing_is_refused(netlab: Netlab) -> None:
    words = ("cilium-native", "--set", "underlay=192.168.1.0/24,192.168.2.0/24")
    done = netlab.run("up", *words)
    assert done.code == 2
    assert "must be directly reachable" in done.err
    assert not netlab.state.exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("dataplane.routers=10.244.9.9", "10.244.9.9 is one to give out in none of the nodes'"),
        ("dataplane.health=10.244.0.0", "10.244.0.0 is one to give out in none of the nodes'"),
        ("dataplane.routers=nonsense", "'nonsense' of a node is not one"),
    ],
)
def test_an_address_that_no_node_can_have_is_refused(
    netlab: Netlab, option: str, words: str
) -> None:
    done = netlab.run("plan", "cilium-vxlan", "--set", option)
    assert done.code == 2
    assert words in done.err
