"""kube-proxy's IPVS mode (Kubernetes' pkg/proxy/ipvs), which it calls deprecated since 1.35."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from ipaddress import ip_interface
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
from netlab.proxy.ipvs_rules import CHAINS, Form
from netlab.proxy.ipvs_servers import bound, each_of, virtual_servers
from netlab.proxy.ipvs_sets import entries, ipsets
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

    def node(self, layout: Layout, node: NodeSpec) -> Iterable[Object]:
        yield from KubeProxy.node(self, layout, node)
        yield from self._settings()
        # Down, as kube-proxy leaves it: the kernel answers for its addresses all the same.
        yield Dummy(name=DEVICE, mac=mac(node.name, DEVICE), up=False)
        for ipv6 in layout.families:
            yield from self._family(layout, node, ipv6)

    def _family(self, layout: Layout, node: NodeSpec, ipv6: bool) -> Iterator[Object]:
        """Addresses, sets and chains of one family; each has a proxier of its own."""
        services = layout.services
        addresses = bound(services, (*node.addresses, *node.gateways), ipv6)
        yield from (Address(DEVICE, f"{ip}/{ip.max_prefixlen}") for ip in addresses)
        answering, own = self.node_ports, (*each_of(node.addresses, ipv6), *addresses)
        with_ports = answering.every(ipv6) or any(answering.hold(node, ip) for ip in own)
        held = entries(services, node, addresses, ipv6=ipv6, node_ports=with_ports)
        yield from ipsets(held, ipv6)
        form = Form(
            ipv6=ipv6,
            filled={name for name, some in held.items() if some},
            masquerade_all=self.masquerade_all,
            local=self._local(layout, node, ipv6),
        )
        yield from tables(form.lines(), CHAINS, self.backend, ipv6=ipv6)

    def at_addresses(
        self, layout: Layout, node: NodeSpec, addresses: Sequence[Address]
    ) -> Iterable[Object]:
        """Virtual servers: each NodePort has one at every address at which it answers."""
        servers = (
            server
            for ipv6 in layout.families
            for server in virtual_servers(
                layout.services, node, self._where(node, addresses, ipv6), self.scheduler, ipv6
            )
        )
        yield IpvsTable(servers=tuple(servers))

    def _where(self, node: NodeSpec, addresses: Iterable[Address], ipv6: bool) -> tuple[Ip, ...]:
        """All that no Service has, or those that were given (GetNodeIPs), Services' too."""
        answering = self.node_ports
        if answering.every(ipv6):
            return _at(ipv6, (one for one in addresses if one.link != DEVICE))
        return tuple(ip for ip in _at(ipv6, addresses) if answering.hold(node, ip))

    def _settings(self) -> Iterator[Sysctl]:
        yield from (Sysctl(f"net/ipv4/vs/{name}", "1") for name in _SETTINGS)
        yield Sysctl("net/ipv4/ip_forward", "1")
        if self.strict_arp:
            yield Sysctl("net/ipv4/conf/all/arp_ignore", "1")
            yield Sysctl("net/ipv4/conf/all/arp_announce", "2")

    def _local(self, layout: Layout, node: NodeSpec, ipv6: bool) -> tuple[str, str]:
        """What matches what local pods do not send: a source, or a device."""
        if cidrs := self.local_cidrs(layout, node, ipv6):
            return f"! -s {cidrs[0]}", ""
        prefix = "+" if self.detect_local == "InterfaceNamePrefix" else ""
        return "", f"! -i {self.local_device}{prefix}"


def _at(ipv6: bool, addresses: Iterable[Address]) -> tuple[Ip, ...]:
    """Those of the family, each once: no loopback, and none of IPv6's that a link has by itself.

    As isValidForSet in Kubernetes' pkg/proxy/ipvs/netlink_linux.go.
    """
    ips = each_of((ip_interface(one.address).ip for one in addresses), ipv6)
    own = (ip for ip in ips if not ip.is_loopback and not (ipv6 and ip.is_link_local))
    return tuple(dict.fromkeys(own))
