"""Calico's IP in IP (felix/dataplane/linux/ipip_mgr.go): pods' packets in a second IP header.

Its device is `tunl0`, which the kernel's module ipip puts into every network namespace. On a kernel
without, a program of the node has a TUN device of that name and puts the same packets on the wire.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from netlab.daemons import source
from netlab.dataplane.attach.ptp import Ptp
from netlab.dataplane.calico import bird, rules
from netlab.dataplane.calico.base import Calico
from netlab.dataplane.calico.bgp import Bgp
from netlab.dataplane.calico.vxlan import FELIX
from netlab.errors import BadInput
from netlab.plan import headers
from netlab.plan.explanations import KERNEL, NETLAB, Says
from netlab.plan.headers import BARE, Stack
from netlab.plan.links import Ipip as IpipLink
from netlab.plan.links import Tun
from netlab.plan.names import UPLINK
from netlab.plan.processes import Daemon, File, Ready
from netlab.plan.routing import Address, NextHop, Route
from netlab.plan.types import Object
from netlab.topology.ipam import Ipam
from netlab.topology.ipam.blocks import Blocks
from netlab.topology.resolved import Layout, NodeSpec

OVERHEAD = 20  # bytes: an IPv4 header
DEVICE = "tunl0"
PROGRAM = "tunnel"
Mode = Literal["Always", "CrossSubnet", "Never"]
Driver = Literal["auto", "kernel", "user-space"]


@dataclass(frozen=True, slots=True)
class Ipip(Bgp):
    """`mode` is the pool's ipipMode: `CrossSubnet` sends packets bare to nodes in the own subnet,
    and pods' MTU is the tunnel's nevertheless; with `Never` there is no tunnel.

    BIRD writes the routes, as up to Calico v3.32; with `felix_routes` it is Felix, as from v3.33
    on. `driver` says what encapsulates: by itself the kernel, or a program where it cannot.
    `tunnels` are addresses of tunnel devices that are given (`IPv4IPIPTunnelAddr`), each to the
    node in whose block it is.
    """

    name: ClassVar[str] = "calico-ipip"
    summary: ClassVar[str] = "Calico's IP-in-IP overlay, BGP full mesh by BIRD"
    explains: ClassVar[tuple[Says, ...]] = (
        Says(
            f"link {DEVICE}",
            NETLAB,
            "A TUN device in the place of the kernel's tunl0, since this kernel has no ipip: a "
            "program of the node puts packets behind an outer IP header in its stead.",
            when=lambda link: isinstance(link, Tun),
        ),
        Says(
            f"link {DEVICE}",
            KERNEL,
            "The module ipip puts it into every namespace; felix gives it its MTU and address. It "
            "puts packets behind an outer IP header to the gateway of their route.",
        ),
        Says(
            "daemon ipip",
            NETLAB,
            "Does what the kernel's ipip would do, which this one lacks: reads tunl0, asks the "
            "kernel's routes for the gateway, and sends raw packets of protocol 4.",
        ),
        Says(
            f"address * dev {DEVICE}",
            rules.FELIX,
            "The tunnel's address, which calico-node takes out of the node's first block before "
            "any pod. It is the source of the node's own packets to other nodes' pods.",
        ),
        Says(
            "route blackhole * proto 80",
            rules.FELIX,
            "A block of the node's own, since Felix writes the pool's routes: what no pod has of "
            "it ends here.",
        ),
        Says(
            f"route * dev {DEVICE} *proto 80*",
            rules.FELIX,
            "Another node's block, through the tunnel: the gateway is the outer destination.",
        ),
        rules.CROSS_SUBNET,
        Says(
            f"route * dev {DEVICE} onlink proto bird",
            bird.BIRD,
            "Another node's block, through the tunnel: Calico's filter sets its device, and the "
            "gateway is the outer destination. onlink, as no network of the device has it.",
        ),
    )
    spares: ClassVar[tuple[str, ...]] = ("ipip",)
    ipam: ClassVar[Ipam] = Blocks(tunnel=True)
    dual_stack: ClassVar[bool] = False

    mode: Mode = "Always"
    felix_routes: bool = False
    driver: Driver = "auto"
    tunnels: tuple[str, ...] = ()

    def without(self, lacking: Collection[str]) -> Ipip:
        if self.mode == "Never":
            return self
        if self.driver == "user-space" and "ipip" not in lacking:
            raise BadInput(
                f"The kernel has ipip, and so its own {DEVICE} in every namespace, where a program "
                "cannot have one",
                "leave driver=user-space out",
            )
        chosen: Driver = "user-space" if "ipip" in lacking else "kernel"
        return dataclasses.replace(self, driver=chosen) if self.driver == "auto" else self

    def carrier(self) -> str:
        if self.mode == "Never":
            return ""
        if self.driver == "user-space":
            return f"IP in IP by a program of each node, behind a TUN device {DEVICE}"
        return "IP in IP by the kernel"

    def validate(self, layout: Layout) -> Iterator[str]:
        if self.mode == "Never":
            if self.felix_routes or self.driver != "auto" or self.tunnels:
                yield "Without a tunnel (mode=Never) felix_routes, driver and tunnels do nothing."
            yield from Bgp.validate(self, layout)

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None:
        return Bgp.unreachable(self, layout, source, target) if self.mode == "Never" else None

    def attach(self, layout: Layout, node: NodeSpec) -> Ptp:
        """With the node's address as the source (Felix's DeviceRouteSourceAddress): the kernel's
        tunl0 is older than a namespace's other devices, and so the first of which it would borrow.
        """
        return Ptp(self.pod_mtu(layout, node), sourced=self.mode != "Never")

    def allocator(self) -> Ipam:
        return Blocks(tunnel=self.mode != "Never", tunnels=self.tunnels)

    def pod_mtu(self, layout: Layout, node: NodeSpec | None = None) -> int:
        less = 0 if self.mode == "Never" else OVERHEAD
        return Calico.pod_mtu(self, layout, node) - less

    def tunnel(self) -> str:
        return "" if self.mode == "Never" else DEVICE

    def routing(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        if self.mode == "Never":
            yield from Bgp.routing(self, layout, node)
            return
        yield from self._device(layout, node)
        peers, routes = self.peers(layout, node), tuple(self._remotes(layout, node))
        if self.felix_routes:
            for block in node.pod_cidrs:
                yield Route(destination=str(block), type="blackhole", protocol=FELIX)
            yield from routes
        brings = () if self.felix_routes else (*bird.blackholes(node), *routes)
        yield bird.daemon(layout, node, peers, self.timers, brings, self._filters(node))

    def _device(self, layout: Layout, node: NodeSpec) -> Iterator[Object]:
        mtu, address = self.pod_mtu(layout, node), dict(node.reserved)["tunnel"]
        user_space = self.driver == "user-space"
        # The kernel's own of every namespace, with which no path MTU is found out.
        yield (
            Tun(name=DEVICE, mtu=mtu)
            if user_space
            else IpipLink(name=DEVICE, mtu=mtu, pmtudisc=False, proto=0)
        )
        yield Address(DEVICE, f"{address}/32")
        if user_space:
            config = {"kind": "ipip", "device": DEVICE, "tunnel": str(address)}
            yield Daemon(
                name="ipip",
                command=("python3", "{folder}/tunnel.py", "{folder}/config.json"),
                files=(
                    File("tunnel.py", source(PROGRAM)),
                    File("config.json", json.dumps(config, indent=2) + "\n"),
                ),
                ready=Ready(file="ready"),
            )

    def _remotes(self, layout: Layout, node: NodeSpec) -> Iterator[Route]:
        """BIRD's routes, or Felix's: of these those in the own subnet are onlink too."""
        protocol, metric = (FELIX, 0) if self.felix_routes else ("bird", bird.METRIC)
        for other in layout.others(node):
            bare = self._bare(node, other)
            hop = NextHop(
                link=UPLINK if bare else DEVICE,
                gateway=str(other.address),
                onlink=self.felix_routes or not bare,
            )
            mtu = self.pod_mtu(layout, node) if self.felix_routes and not bare else 0
            for block in other.pod_cidrs:
                destination = str(block)
                yield Route(
                    destination=destination,
                    next_hops=(hop,),
                    protocol=protocol,
                    metric=metric,
                    mtu=mtu,
                )

    def _filters(self, node: NodeSpec) -> bird.Filters:
        """In this order: BIRD looks the gateway up when it is given one."""
        if self.felix_routes:
            learned = f'if ifname = "{DEVICE}" then reject;  # Felix\'s, which `learn` reads'
            return bird.Filters(("reject;",), (learned,))
        far = f" && ! (bgp_next_hop ~ {node.subnet.network})" if self.mode == "CrossSubnet" else ""
        tunnelled = f'ifname = "{DEVICE}"; onlink = true; gw = bgp_next_hop;'
        return bird.Filters((f"if source = RTS_BGP{far} then {{ {tunnelled} }}",))

    def headers(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> Stack:
        if self._bare(source, target):
            return BARE
        return Stack((headers.ip(str(source.address), str(target.address)),))

    def _bare(self, node: NodeSpec, other: NodeSpec) -> bool:
        same = node.subnet == other.subnet
        return self.mode == "Never" or (self.mode == "CrossSubnet" and same)
