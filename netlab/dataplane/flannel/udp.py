"""Flannel's UDP backend (flannel pkg/backend/udp): a program of each node carries the packets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from netlab.daemons import source
from netlab.dataplane.flannel.base import Flannel
from netlab.dataplane.flannel.rules import FLANNELD, TUNNEL_ADDRESS
from netlab.plan import headers
from netlab.plan.dataplane import POD_TTL
from netlab.plan.explanations import NETLAB, Says
from netlab.plan.headers import Stack
from netlab.plan.links import Tun
from netlab.plan.processes import Daemon, File, Ready
from netlab.plan.routing import Address, route
from netlab.plan.types import Object
from netlab.topology.resolved import Layout, NodeSpec

DEVICE = "flannel0"
OVERHEAD = 28  # bytes: IPv4 20, UDP 8; the packet has no header of its own
STRICT, FAST = ("tunnel",), ("offload", "segments", "tunnel")  # a program, and what it imports


@dataclass(frozen=True, slots=True)
class Udp(Flannel):
    """All nodes use one `port`: a lease does not tell another's.

    The whole cluster network is routed into the TUN device; the node's own part of it is more
    specific. The program takes one from the TTL on either side, so that a reply of a pod on another
    node arrives with 60.

    `strict` is the real one's way, packet by packet. Without it the program hands over what it has
    for one node together (UDP_SEGMENT, UDP_GRO) and writes TCP's segments into the TUN device
    joined (IFF_VNET_HDR): TCP is more than twice as fast, single packets are a little slower, pods
    see no difference. On a wire each packet would have a datagram of its own, and no fragment. But
    from veth to veth nothing cuts them: a capture on eth0 or the switch shows one UDP datagram of
    up to 65,507 bytes that holds many packets, as it shows TCP's segments of one pod as one without
    a tunnel. Of segments that are joined, the first one's TCP checksum alone is verified.
    """

    name: ClassVar[str] = "flannel-udp"
    summary: ClassVar[str] = "packets in UDP by a program of each node, port 8285"
    explains: ClassVar[tuple[Says, ...]] = (
        Says(
            f"link {DEVICE}",
            FLANNELD,
            "A TUN device: packets for other nodes' pods go out of the kernel here, to flanneld's "
            "proxy, and come in again.",
        ),
        TUNNEL_ADDRESS,
        Says(
            f"route * dev {DEVICE}",
            FLANNELD,
            "The whole cluster network goes to the proxy, which knows the nodes; the node's own "
            "pods are on cni0, whose network is longer and wins.",
        ),
        Says(
            "daemon flanneld",
            NETLAB,
            "A program of netlab's in the place of flanneld's proxy (proxy_amd64.c): it reads the "
            "TUN device, and sends each packet by UDP to the node whose pods it is for.",
        ),
    )
    requires: ClassVar[tuple[str, ...]] = ("tun",)
    dual_stack: ClassVar[bool] = False

    port: int = 8285
    strict: bool = True

    def validate(self, layout: Layout) -> Iterator[str]:
        yield from Flannel.validate(self, layout)
        if not 1 <= self.port <= 65535:
            yield f"The UDP port {self.port} must lie between 1 and 65535."

    def pod_mtu(self, layout: Layout, node: NodeSpec | None = None) -> int:
        return self.outer_mtu(layout, node) - OVERHEAD

    def devices(self, layout: Layout, node: NodeSpec, ipv6: bool) -> Iterator[Object]:
        """The device's address is the pod network's .0, and nobody's; the program that reads it."""
        mtu, tunnel = self.pod_mtu(layout, node), str(node.pod_cidr[0])
        yield Tun(name=DEVICE, mtu=mtu, vnet_header=not self.strict)
        yield Address(DEVICE, f"{tunnel}/32")
        yield route(str(layout.cluster_cidr), DEVICE)
        config = {
            "kind": "udp",
            "device": DEVICE,
            "mtu": mtu,
            "address": str(node.address),
            "port": self.port,
            "tunnel": tunnel,
        }
        programs = STRICT if self.strict else FAST
        routes = {str(other.pod_cidr): str(other.address) for other in layout.others(node)}
        yield Daemon(
            name="flanneld",
            command=("python3", f"{{folder}}/{programs[0]}.py", "{folder}/config.json"),
            files=(
                *(File(f"{name}.py", source(name)) for name in programs),
                File("config.json", json.dumps(config, indent=2) + "\n"),
                File("routes.json", json.dumps(routes, indent=2) + "\n"),
            ),
            ready=Ready(udp=self.port),
            reloads=("routes.json",),
        )

    def remote(
        self, layout: Layout, node: NodeSpec, other: NodeSpec, ipv6: bool
    ) -> Iterator[Object]:
        """Nothing of the kernel's: the program knows where other nodes are."""
        return iter(())

    def headers(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> Stack:
        return headers.ip(str(source.address), str(target.address)) / headers.Udp(self.port)

    def wire_ttl(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> int:
        return POD_TTL - 1
