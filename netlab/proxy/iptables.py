"""kube-proxy's iptables mode (Kubernetes' pkg/proxy/iptables), its default."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from netlab.plan.explanations import Says
from netlab.plan.routing import Sysctl
from netlab.plan.rulesets import IptablesTable
from netlab.plan.rulesets.iptables import Backend
from netlab.plan.types import Object
from netlab.proxy.base import KubeProxy
from netlab.proxy.iptables_fixed import CHAINS, fixed, jumps
from netlab.proxy.iptables_services import Form, is_large, rules
from netlab.proxy.iptables_tables import tables
from netlab.proxy.iptables_words import EXPLAINS
from netlab.proxy.node_ports import LOCALHOST
from netlab.topology.resolved import Ip, Layout, NodeSpec


@dataclass(frozen=True, slots=True)
class Iptables(KubeProxy):
    """Chains `KUBE-*` in the tables filter, nat and mangle of each family.

    `backend` is whose programs write them; a dataplane's own tables are merged with those of the
    same one, which is nft. `localhost_nodeports` is whether 127.0.0.1 may be among the addresses
    at which NodePorts answer (--iptables-localhost-nodeports). With `tcp_be_liberal` conntrack
    takes packets that are out of a TCP connection's window.
    """

    name: ClassVar[str] = "iptables"
    summary: ClassVar[str] = "kube-proxy's iptables mode, its default: chains for each endpoint"
    explains: ClassVar[tuple[Says, ...]] = EXPLAINS
    serves_localhost: ClassVar[bool] = True

    _: KW_ONLY
    backend: Backend = "nft"
    localhost_nodeports: bool = True
    tcp_be_liberal: bool = False

    def validate(self, layout: Layout) -> Iterator[str]:
        yield from KubeProxy.validate(self, layout)
        if not (self.localhost_nodeports or self.node_ports.has_localhost):
            yield (
                "The proxy's localhost_nodeports has no effect: 127.0.0.1 is not among its "
                "node_port_addresses."
            )
        for node in layout.nodes:
            if any(len(self.local_cidrs(layout, node, ipv6)) > 1 for ipv6 in layout.families):
                yield (
                    f"The proxy's detect_local NodeCIDR takes one pod CIDR of a node, and "
                    f"{node.name} has several; use ClusterCIDR."
                )

    def node(self, layout: Layout, node: NodeSpec) -> Iterable[Object]:
        yield from KubeProxy.node(self, layout, node)
        if self._localhost():
            yield Sysctl("net/ipv4/conf/all/route_localnet", "1")
        if self.tcp_be_liberal:
            yield Sysctl("net/netfilter/nf_conntrack_tcp_be_liberal", "1")
        for ipv6 in layout.families:
            yield from self._tables(layout, node, ipv6)

    def _tables(self, layout: Layout, node: NodeSpec, ipv6: bool) -> Iterator[IptablesTable]:
        form = self._form(layout, node, ipv6)
        written = (
            *jumps(),
            *fixed(localhost=form.localhost, liberal=self.tcp_be_liberal),
            *rules(layout.services, form),
        )
        yield from tables(written, CHAINS, self.backend, ipv6=ipv6)

    def _form(self, layout: Layout, node: NodeSpec, ipv6: bool) -> Form:
        cidrs = self.local_cidrs(layout, node, ipv6)
        prefix = "+" if self.detect_local == "InterfaceNamePrefix" else ""
        return Form(
            ipv6=ipv6,
            node=node.name,
            source=f"-s {cidrs[0]}" if cidrs else "",
            device=f"-i {self.local_device}{prefix}" if self.local_device else "",
            masquerade_all=self.masquerade_all,
            node_ips=self._node_ips(node, ipv6),
            localhost=not ipv6 and self._localhost(),
            large=is_large(layout.services, ipv6),
        )

    def _localhost(self) -> bool:
        """Whether NodePorts answer at 127.0.0.1."""
        return self.localhost_nodeports and self.node_ports.has_localhost

    def refuses_by_iptables(self) -> bool:
        return self.backend == "nft"

    def serves_node_ports(self, layout: Layout, node: NodeSpec, ip: Ip) -> bool:
        if ip.is_loopback:
            return ip.version == 4 and self._localhost()
        return KubeProxy.serves_node_ports(self, layout, node, ip)

    def _node_ips(self, node: NodeSpec, ipv6: bool) -> tuple[Ip, ...] | None:
        """The addresses at which NodePorts answer; None for all (MatchAll)."""
        answering = self.node_ports
        if answering.every(ipv6):
            return None
        localhost = [LOCALHOST] if not ipv6 and self._localhost() else []
        return (*answering.own(node, ipv6), *localhost)
