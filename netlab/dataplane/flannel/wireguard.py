"""Flannel's WireGuard backend (flannel pkg/backend/wireguard): packets encrypted between nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from typing import ClassVar, Literal

from netlab.dataplane.flannel.base import Flannel
from netlab.dataplane.flannel.rules import FLANNELD, TUNNEL_ADDRESS
from netlab.errors import shown
from netlab.plan import headers
from netlab.plan.explanations import Says
from netlab.plan.headers import Stack
from netlab.plan.links import Wireguard as WireguardLink
from netlab.plan.links import WireguardPeer
from netlab.plan.routing import Address, route
from netlab.plan.types import Object
from netlab.plan.wireguard import is_key, private_key, public_key
from netlab.topology.resolved import Ip, Layout, NodeSpec

DEVICE, DEVICE6 = "flannel-wg", "flannel-wg-v6"
# What flannel takes off the underlay's MTU: IPv6 40 (IPv4 20), UDP 8, WireGuard 32.
OVERHEAD = 80
PORT, PORT6 = 51820, 51821
KEEPALIVE_MAX = 65535  # seconds
# What flannel takes for private (pkg/ip), by which the mode `auto` chooses.
_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))


@dataclass(frozen=True, slots=True)
class Wireguard(Flannel):
    """Options are flannel's `ListenPort`, `ListenPortV6`, `PSK` (as `wg genpsk` makes one),
    `PersistentKeepaliveInterval` in seconds, and `Mode`: in a dual-stack cluster `separate` has a
    tunnel for each family, and the others one for both, over IPv4, over IPv6, or `auto`, over that
    by which a node is most likely reached.

    A node has one private key for all of its devices. Flannel draws it and keeps it in
    /run/flannel/wgkey; here it is made from `seed` and the node's name. A peer's allowed addresses
    are what its node has of the cluster network, so a packet from anywhere else is dropped.
    """

    name: ClassVar[str] = "flannel-wireguard"
    summary: ClassVar[str] = "WireGuard: encrypted, in UDP port 51820"
    explains: ClassVar[tuple[Says, ...]] = (
        Says(
            f"link {DEVICE}*",
            FLANNELD,
            "The node's end of the encrypted tunnels: a key of its own, and for each other node a "
            "peer with that node's key, address and pod network.",
        ),
        TUNNEL_ADDRESS,
        Says(
            f"route * dev {DEVICE}*",
            FLANNELD,
            "The whole cluster network goes into the device, where the peers' allowed addresses "
            "tell the node; the node's own pods are on cni0, whose network is longer and wins.",
        ),
    )
    requires: ClassVar[tuple[str, ...]] = ("wireguard",)

    listen_port: int = PORT
    listen_port_v6: int = PORT6
    psk: str = ""
    persistent_keepalive_interval: int = 0
    mode: Literal["separate", "auto", "ipv4", "ipv6"] = "separate"

    def draws(self) -> bool:
        return True

    def validate(self, layout: Layout) -> Iterator[str]:
        yield from Flannel.validate(self, layout)
        for port in (self.listen_port, self.listen_port_v6):
            if not 1 <= port <= 65535:
                yield f"The UDP port {port} must lie between 1 and 65535."
        if self.psk and not is_key(self.psk):
            yield f"The PSK {shown(self.psk)} is not 32 bytes in base64; `wg genpsk` makes one."
        if not 0 <= self.persistent_keepalive_interval <= KEEPALIVE_MAX:
            yield f"The keepalive interval must lie between 0 and {KEEPALIVE_MAX} seconds."
        yield from self._dual_stack(layout) if layout.dual_stack else self._without_effect()

    def _without_effect(self) -> Iterator[str]:
        for option, value, usual in (
            ("mode", self.mode, "separate"),
            ("listen_port_v6", self.listen_port_v6, PORT6),
        ):
            if value != usual:
                yield f"The option {option} has no effect where the cluster has no IPv6."

    def _dual_stack(self, layout: Layout) -> Iterator[str]:
        if (mtu := self.outer_mtu(layout)) < 1280 + OVERHEAD:
            yield (
                f"The underlay MTU {mtu} leaves IPv6 inside WireGuard less than its minimum of "
                f"1280 bytes; use {1280 + OVERHEAD} or more."
            )
        if self.mode == "separate" and self.listen_port == self.listen_port_v6:
            yield f"The devices {DEVICE} and {DEVICE6} cannot both listen on {self.listen_port}."
        over6 = False
        for node in layout.nodes:
            for other in layout.others(node):
                one, back = self._over6(node, other, False), self._over6(other, node, False)
                over6 |= one
                if one != back:
                    yield (
                        f"The mode {self.mode} has {node.name} and {other.name} speak to each "
                        "other by different families, so that their endpoints change all the "
                        "time; use ipv4 or ipv6."
                    )
        if over6 and self.listen_port != self.listen_port_v6:
            yield self._unheard()
        if not over6 and self.mode != "separate" and self.listen_port_v6 != PORT6:
            yield "The option listen_port_v6 has no effect where all nodes are reached by IPv4."

    def _unheard(self) -> str:
        """What flannel's pull request 2200 brought: before, the peer's port was one's own."""
        return (
            f"Flannel announces UDP port {self.listen_port_v6} for IPv6, but with one tunnel for "
            f"both families listens on {self.listen_port} alone; give listen_port_v6 the same "
            "value as listen_port, or --force to see it fail."
        )

    def unreachable(self, layout: Layout, source: NodeSpec, target: NodeSpec) -> str | None:
        single = self.mode != "separate" and self.listen_port != self.listen_port_v6
        if single and layout.dual_stack and self._over6(source, target, False):
            return f"nobody listens on UDP port {self.listen_port_v6} of {target.name}"
        return None

    def pod_mtu(self, layout: Layout, node: NodeSpec | None = None) -> int:
        return self.outer_mtu(layout, node) - OVERHEAD

    def path_mtu(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> int:
        """WireGuard lets its own packets be fragmented, so the underlay is no limit."""
        return min(self.pod_mtu(layout, node) for node in (source, target))

    def devices(self, layout: Layout, node: NodeSpec, ipv6: bool) -> Iterator[Object]:
        """The whole cluster network is routed into the device, whose address is the pod network's
        .0, and nobody's: the source of packets from the node itself.
        """
        device = self._device(ipv6)
        if device == DEVICE6 or not ipv6:
            yield WireguardLink(
                name=device,
                mtu=self.pod_mtu(layout, node),
                txqlen=0,
                private_key=self._key(node),
                listen_port=self.listen_port_v6 if device == DEVICE6 else self.listen_port,
                peers=tuple(self._peers(layout, node, ipv6)),
                addr_gen_mode="none",  # the device itself sees to that when it comes up
            )
        own = node.cidrs_of(ipv6)[0][0]
        yield Address(device, f"{own}/{128 if ipv6 else 32}", nodad=ipv6)
        yield route(str(layout.cluster_cidr_of(ipv6)), device)

    def _peers(self, layout: Layout, node: NodeSpec, ipv6: bool) -> Iterator[WireguardPeer]:
        """Of two peers with the same network (a forced lab) the kernel gives it to the last."""
        families = (ipv6,) if self.mode == "separate" else layout.families
        allowed = {
            other.name: [str(other.cidrs_of(family)[0]) for family in families]
            for other in layout.others(node)
        }
        owners = {cidr: name for name, cidrs in allowed.items() for cidr in cidrs}
        for other in layout.others(node):
            yield WireguardPeer(
                public_key=public_key(self._key(other)),
                endpoint=self._endpoint(other, self._over6(node, other, ipv6)),
                allowed_ips=tuple(c for c in allowed[other.name] if owners[c] == other.name),
                keepalive=self.persistent_keepalive_interval,
                preshared_key=self.psk,
            )

    def remote(
        self, layout: Layout, node: NodeSpec, other: NodeSpec, ipv6: bool
    ) -> Iterator[Object]:
        """No route of its own: which node a packet is for, the peers' allowed addresses tell."""
        return iter(())

    def headers(self, layout: Layout, source: NodeSpec, target: NodeSpec, ipv6: bool) -> Stack:
        over6 = self._over6(source, target, ipv6)
        outer = headers.ip(str(source.address_of(over6)), str(target.address_of(over6)))
        return outer / headers.Udp(self._port(over6)) / headers.Wireguard()

    def _over6(self, node: NodeSpec, other: NodeSpec, ipv6: bool) -> bool:
        """Whether packets of a family to another node are carried by IPv6 (selectMode)."""
        if self.mode == "separate":
            return ipv6
        if self.mode != "auto":
            return self.mode == "ipv6"
        public = not _is_private(other.address)
        by_ipv6 = not any(_is_private(one.addresses[-1]) for one in (node, other))
        return by_ipv6 and not public and len(other.addresses) > 1

    def _device(self, ipv6: bool) -> str:
        return DEVICE6 if ipv6 and self.mode == "separate" else DEVICE

    def _port(self, over6: bool) -> int:
        return self.listen_port_v6 if over6 else self.listen_port

    def _endpoint(self, node: NodeSpec, over6: bool) -> str:
        address = node.address_of(over6)
        return f"[{address}]:{self._port(True)}" if over6 else f"{address}:{self._port(False)}"

    def _key(self, node: NodeSpec) -> str:
        return private_key(f"{self.seed}/{node.name}")


def _is_private(address: Ip) -> bool:
    return any(address in network for network in _PRIVATE)
