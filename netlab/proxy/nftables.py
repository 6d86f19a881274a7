"""kube-proxy's nftables mode (Kubernetes' pkg/proxy/nftables)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from netlab.plan.explanations import Says
from netlab.plan.types import Object
from netlab.proxy.base import KubeProxy
from netlab.proxy.nftables_names import Family
from netlab.proxy.nftables_services import Form, Version, contents
from netlab.proxy.nftables_table import table
from netlab.proxy.nftables_words import EXPLAINS
from netlab.proxy.node_ports import PRIMARY
from netlab.topology.resolved import Ip, Layout, NodeSpec, of_family


@dataclass(frozen=True, slots=True)
class Nftables(KubeProxy):
    """A table `kube-proxy` of each family, all of it kube-proxy's own.

    `version` is whose form the rules have: 1.35 has a chain for each endpoint, 1.36 has not.
    NodePorts answer at the node's primary addresses alone, unless `node_port_addresses` says other.
    """

    name: ClassVar[str] = "nftables"
    summary: ClassVar[str] = "kube-proxy's nftables mode: verdict maps, one rule for a Service"
    requires: ClassVar[tuple[str, ...]] = (*KubeProxy.requires, "nftables-services")
    explains: ClassVar[tuple[Says, ...]] = EXPLAINS
    refuses_other_ports: ClassVar[bool] = True

    _: KW_ONLY
    version: Version = "1.36"
    node_port_addresses: tuple[str, ...] = (PRIMARY,)

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

    def _node_ips(self, node: NodeSpec, ipv6: bool) -> tuple[Ip, ...] | None:
        """The addresses at which NodePorts answer; None for all (NodePortAddresses.MatchAll)."""
        answering = self.node_ports
        return None if answering.every(ipv6) else answering.own(node, ipv6)


def _one_of(networks: tuple[str, ...]) -> str:
    return f"{{ {', '.join(networks)} }}" if len(networks) > 1 else "".join(networks)
