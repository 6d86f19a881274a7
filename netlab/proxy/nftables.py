"""kube-proxy's nftables mode (Kubernetes' pkg/proxy/nftables)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from ipaddress import ip_network
from typing import ClassVar

from netlab.errors import BadInput, shown
from netlab.plan.explanations import Says
from netlab.plan.types import Object
from netlab.proxy.base import PRIMARY, KubeProxy, meets_pods
from netlab.proxy.nftables_names import Family
from netlab.proxy.nftables_services import Form, Version, contents
from netlab.proxy.nftables_table import table
from netlab.proxy.nftables_words import EXPLAINS
from netlab.topology.resolved import Ip, Layout, Network, NodeSpec, of_family


@dataclass(frozen=True, slots=True)
class Nftables(KubeProxy):
    """A table `kube-proxy` of each family, all of it kube-proxy's own.

    `version` is whose form the rules have: 1.35 has a chain for each endpoint, 1.36 has not.
    `node_port_addresses` is kube-proxy's nodePortAddresses, at which of the node's addresses
    NodePorts answer: the primary ones, or those of networks; () is all but localhost.
    """

    name: ClassVar[str] = "nftables"
    summary: ClassVar[str] = "kube-proxy's nftables mode: verdict maps, one rule for a Service"
    requires: ClassVar[tuple[str, ...]] = (*KubeProxy.requires, "nftables-services")
    explains: ClassVar[tuple[Says, ...]] = EXPLAINS
    refuses_other_ports: ClassVar[bool] = True

    _: KW_ONLY
    version: Version = "1.36"
    node_port_addresses: tuple[str, ...] = (PRIMARY,)

    def validate(self, layout: Layout) -> Iterator[str]:
        yield from KubeProxy.validate(self, layout)
        given = self.node_port_addresses
        if PRIMARY in given and len(given) > 1:
            yield f"The proxy's node_port_addresses are {PRIMARY!r} or networks, not both."
        for network in self._networks():
            if reason := _flaw(network, layout):
                yield f"The proxy's node_port_addresses '{network}' {reason}."

    def node(self, layout: Layout, node: NodeSpec) -> Iterable[Object]:
        yield from KubeProxy.node(self, layout, node)
        for ipv6 in layout.families:
            form = self._form(layout, node, ipv6)
            held = contents(layout.services, node.name, form)
            cidr = of_family(layout.service_cidrs, ipv6)
            yield table(form, held, cidr, self._node_ips(node, ipv6))

    def _form(self, layout: Layout, node: NodeSpec, ipv6: bool) -> Form:
        family = Family(ipv6)
        what, match = f"{family.ip} saddr", _one_of(self.local_cidrs(layout, node, ipv6))
        if self.local_device:
            what = "iifname"
            prefix = "*" if self.detect_local == "InterfaceNamePrefix" else ""
            match = f'"{self.local_device}{prefix}"'
        local, remote = (f"{what} {match}", f"{what} != {match}") if match else ("", "")
        return Form(family, self.version, local, remote, self.masquerade_all)

    def serves_node_ports(self, layout: Layout, node: NodeSpec, ip: Ip) -> bool:
        own = self._node_ips(node, ip.version == 6)
        return not ip.is_loopback if own is None else ip in own

    def _node_ips(self, node: NodeSpec, ipv6: bool) -> tuple[Ip, ...] | None:
        """The addresses at which NodePorts answer; None for all (NodePortAddresses.MatchAll)."""
        own = node.address_of(ipv6)
        if PRIMARY in self.node_port_addresses:
            return (own,)
        networks = [network for network in self._networks() if (network.version == 6) is ipv6]
        if not networks or any(network.prefixlen == 0 for network in networks):
            return None
        return tuple(ip for ip in (own,) if any(ip in network for network in networks))

    def _networks(self) -> Iterator[Network]:
        """Raises BadInput for what is none."""
        for text in self.node_port_addresses:
            if text != PRIMARY:
                yield _network(text)


def _network(text: str) -> Network:
    try:
        parsed: Network = ip_network(text)
    except ValueError:
        raise BadInput(
            f"The proxy's node_port_addresses {shown(text)} is neither {PRIMARY!r} nor a network "
            "such as 192.168.0.0/24."
        ) from None
    return parsed


def _one_of(networks: tuple[str, ...]) -> str:
    return f"{{ {', '.join(networks)} }}" if len(networks) > 1 else "".join(networks)


def _flaw(network: Network, layout: Layout) -> str | None:
    if network.prefixlen and network.is_loopback:
        return "has no effect: in this mode NodePorts never answer at localhost"
    return meets_pods(network, layout)
