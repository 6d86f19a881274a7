"""At which of a node's addresses NodePorts answer: kube-proxy's nodePortAddresses.

Follows NewNodePortAddresses in Kubernetes' pkg/proxy/util/nodeport_addresses.go, and what makes the
word `primary` of it in cmd/kube-proxy/app/server.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_network
from typing import Self

from netlab.errors import BadInput, shown
from netlab.topology.resolved import Ip, Layout, Network, NodeSpec

PRIMARY = "primary"  # the node's own address of each family
LOCALHOST = IPv4Address("127.0.0.1")


@dataclass(frozen=True, slots=True)
class NodePortAddresses:
    """Those of `networks`, or the node's own ones alone (`primary`)."""

    primary: bool
    networks: tuple[Network, ...]

    @classmethod
    def read(cls, given: Iterable[str]) -> Self:
        """Raises BadInput for a text that is neither a network nor the word."""
        texts = tuple(given)
        networks = tuple(_network(text) for text in texts if text != PRIMARY)
        return cls(len(networks) < len(texts), networks)

    def flaws(self, layout: Layout, *, localhost: bool) -> Iterator[str]:
        """A sentence for each that cannot be; `localhost` is whether 127.0.0.1 can be among them.

        Which addresses of pods' networks a node has is the dataplane's affair, not known here.
        """
        if self.primary and self.networks:
            yield f"The proxy's node_port_addresses are {PRIMARY!r} or networks, not both."
        for network in self.networks:
            of_pods = (one for one in layout.cluster_cidrs if one.version == network.version)
            if network.prefixlen and network.is_loopback and not localhost:
                why = "has no effect: in this mode NodePorts never answer at localhost"
            elif network.prefixlen and any(network.overlaps(one) for one in of_pods):
                why = "meets the pod network, of whose addresses the dataplane decides"
            else:
                continue
            yield f"The proxy's node_port_addresses '{network}' {why}."

    def every(self, ipv6: bool) -> bool:
        """Whether NodePorts answer at all addresses of a family, also as none is given of it."""
        own = [network for network in self.networks if (network.version == 6) is ipv6]
        return not self.primary and (not own or any(not network.prefixlen for network in own))

    def hold(self, node: NodeSpec, ip: Ip) -> bool:
        """Whether one of a node's addresses is among those that are given."""
        return (self.primary and ip in node.addresses) or any(ip in one for one in self.networks)

    def own(self, node: NodeSpec, ipv6: bool) -> tuple[Ip, ...]:
        """The node's own address of a family, if it is among those that are given."""
        ip = node.address_of(ipv6)
        return (ip,) if self.hold(node, ip) else ()

    @property
    def has_localhost(self) -> bool:
        """Whether 127.0.0.1 is among them (ContainsIPv4Loopback)."""
        return self.every(ipv6=False) or any(LOCALHOST in network for network in self.networks)


def _network(text: str) -> Network:
    try:
        parsed: Network = ip_network(text)
    except ValueError:
        raise BadInput(
            f"The proxy's node_port_addresses {shown(text)} is neither {PRIMARY!r} nor a network "
            "such as 192.168.0.0/24."
        ) from None
    return parsed
