"""kube-proxy's IPVS mode (Kubernetes' pkg/proxy/ipvs), which it calls deprecated since 1.35."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from ipaddress import IPv4Interface, ip_interface
from typing import ClassVar, Literal

from netlab.plan.explanations import Says
from netlab.plan.links import Dummy
from netlab.plan.names import mac
from netlab.plan.routing import Address, Sysctl
from netlab.plan.rulesets import IpvsTable
from netlab.plan.rulesets.iptables import Backend
from netlab.plan.types import Object
from netlab.proxy.base import KubeProxy
from netlab.proxy.iptables_tables import tables
from netlab.proxy.ipvs_rules import CHAINS, rules
from netlab.proxy.ipvs_servers import bound, virtual_servers
from netlab.proxy.ipvs_sets import ipsets
from netlab.proxy.ipvs_words import EXPLAINS
from netlab.topology.resolved import Ip, Layout, NodeSpec

DEVICE = "kube-ipvs0"  # defaultDummyDevice
Scheduler = Literal[
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh", "fo", "ovf"
]
# conn_reuse_mode is set on kernels before 5.9 alone.
_SETTINGS = ("conntrack", "expire_nodest_conn", "expire_quiescent_template")


@dataclass(frozen=True, slots=True)
class Ipvs(KubeProxy):
    """Virtual servers in the kernel's IPVS, ip sets, and a few chains `KUBE-*` that look into them.

    `scheduler` is how a virtual server chooses among its real ones. With `strict_arp` a node
    answers ARP for an address only where it has it. `backend` is whose programs write the chains.
    A ping of a ClusterIP is refused, by KUBE-IPVS-FILTER, though the node has the address; before
    kube-proxy had that chain (kubernetes/kubernetes#108460, 2022) it was answered.
    With kube-proxy a real server that goes is drained first; here it is removed at once.
    """

    name: ClassVar[str] = "ipvs"
    summary: ClassVar[str] = "kube-proxy's IPVS mode: virtual servers, and addresses on a device"
    explains: ClassVar[tuple[Says, ...]] = EXPLAINS
    no_ping: ClassVar[str] = (
        f"{DEVICE} has the ClusterIP, and KUBE-IPVS-FILTER refuses all but its ports"
    )
    refuses_other_ports: ClassVar[bool] = True
    falls_back: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = (*KubeProxy.requires, "dummy", "ip_vs", "ipset")

    _: KW_ONLY
    scheduler: Scheduler = "rr"
    strict_arp: bool = False
    backend: Backend = "nft"

    def validate(self, layout: Layout) -> Iterator[str]:
        yield from KubeProxy.validate(self, layout)
        if any(layout.families):
            yield (
                "The proxy ipvs balances IPv4 alone: give one cluster CIDR of IPv4, or use another "
                "proxy."
            )

    def node(self, layout: Layout, node: NodeSpec) -> Iterable[Object]:
        yield from KubeProxy.node(self, layout, node)
        yield from self._settings()
        services = layout.services
        # Down, as kube-proxy leaves it: the kernel answers for its addresses all the same.
        yield Dummy(name=DEVICE, mac=mac(node.name, DEVICE), up=False)
        addresses = bound(services, (*node.addresses, *node.gateways))
        yield from (Address(DEVICE, f"{ip}/32") for ip in addresses)
        answering = self.node_ports
        with_ports = answering.every(ipv6=False) or any(
            answering.hold(node, ip) for ip in (*node.addresses, *addresses)
        )
        sets = ipsets(services, node, addresses, node_ports=with_ports)
        yield from sets
        filled = {item.name for item in sets if item.entries}
        lines = rules(filled, masquerade_all=self.masquerade_all, local=self._local(layout, node))
        yield from tables(lines, CHAINS, self.backend, ipv6=False)

    def at_addresses(
        self, layout: Layout, node: NodeSpec, addresses: Sequence[Address]
    ) -> Iterable[Object]:
        """Virtual servers: each NodePort has one at every address at which it answers."""
        where = self._where(node, addresses)
        servers = virtual_servers(layout.services, node, where, self.scheduler)
        yield IpvsTable(servers=tuple(servers))

    def _where(self, node: NodeSpec, addresses: Iterable[Address]) -> tuple[Ip, ...]:
        """All that no Service has, or those that were given (GetNodeIPs), Services' too."""
        answering = self.node_ports
        if answering.every(ipv6=False):
            return _not_loopback(one for one in addresses if one.link != DEVICE)
        return tuple(ip for ip in _not_loopback(addresses) if answering.hold(node, ip))

    def _settings(self) -> Iterator[Sysctl]:
        yield from (Sysctl(f"net/ipv4/vs/{name}", "1") for name in _SETTINGS)
        yield Sysctl("net/ipv4/ip_forward", "1")
        if self.strict_arp:
            yield Sysctl("net/ipv4/conf/all/arp_ignore", "1")
            yield Sysctl("net/ipv4/conf/all/arp_announce", "2")

    def _local(self, layout: Layout, node: NodeSpec) -> tuple[str, str]:
        """What matches what local pods do not send: a source, or a device."""
        if cidrs := self.local_cidrs(layout, node, ipv6=False):
            return f"! -s {cidrs[0]}", ""
        prefix = "+" if self.detect_local == "InterfaceNamePrefix" else ""
        return "", f"! -i {self.local_device}{prefix}"


def _not_loopback(addresses: Iterable[Address]) -> tuple[Ip, ...]:
    """The IPv4 ones, each once."""
    parsed = (ip_interface(one.address) for one in addresses)
    own = (one.ip for one in parsed if isinstance(one, IPv4Interface) and not one.is_loopback)
    return tuple(dict.fromkeys(own))
