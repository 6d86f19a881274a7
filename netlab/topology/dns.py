"""Names in a cluster: the pod that answers for them, and the Service by which it is asked.

As kubeadm sets it up (cmd/kubeadm/app/phases/addons/dns): the Service kube-dns in kube-system has
the tenth address of the service CIDR (GetDNSIP in cmd/kubeadm/app/constants), of one family.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from netlab.errors import BadInput
from netlab.topology.model import Cluster, Pod, Service, ServicePort
from netlab.topology.resolved import Ip, Network, ServiceSpec

NAMESPACE, SERVICE = "kube-system", "kube-dns"
PORT = 53
LABEL = "k8s-app=kube-dns"
DNS_POD = Pod("coredns-1", (), NAMESPACE, labels=(LABEL,), dns=True)
_NUMBER = 10  # of its address in the service CIDR
_PORTS = (ServicePort(PORT, 0, "UDP", 0, "dns"), ServicePort(PORT, 0, "TCP", 0, "dns-tcp"))


def has_dns(cluster: Cluster, counts: Iterable[int], *, proxy: bool) -> bool:
    """Whether netlab adds a DNS server; `counts` are the numbers of the nodes' pods.

    Raises BadInput where the cluster says something of it that would change nothing.
    """
    own = any((one.namespace, one.name) == (NAMESPACE, SERVICE) for one in cluster.services)
    if cluster.dns is not None and not proxy:
        raise BadInput(
            "The cluster has no proxy, so that `dns` has no effect",
            "leave it away or give the cluster a proxy",
        )
    if cluster.dns and own:
        raise BadInput(
            f"The topology has a Service {NAMESPACE}/{SERVICE} of its own, so that `dns` has no "
            "effect; leave it away."
        )
    if cluster.dns and not any(counts):
        raise BadInput("No node may have pods, so that the DNS server has no place; give it one.")
    return bool(cluster.dns)


def dns_service(cluster: Cluster, cidr: Network) -> Service:
    """The Service of the server. Where its usual address is taken, it is given another."""
    own = cluster.dns if isinstance(cluster.dns, str) else _usual(cluster.services, cidr)
    return Service(SERVICE, namespace=NAMESPACE, ports=_PORTS, selector=(LABEL,), cluster_ip=own)


def nameserver(
    cluster: Cluster, services: Sequence[ServiceSpec], servers: Collection[str]
) -> Ip | None:
    """Whom pods ask for names; None where there is none. `servers` are pods of netlab's server."""
    found = None if cluster.dns is False else asked(services, servers)
    return found.cluster_ips[0] if found and found.cluster_ips else None


def asked(services: Iterable[ServiceSpec], servers: Collection[str]) -> ServiceSpec | None:
    """The Service that pods ask: kube-dns, netlab's or the topology's. Where there is none, one
    beside it that leads to netlab's servers, as kubespray's coredns.
    """
    own = [one for one in services if one.namespace == NAMESPACE]
    found = next((one for one in own if one.name == SERVICE), None)
    return found or next((one for one in own if _leads_to(one, servers)), None)


def _leads_to(service: ServiceSpec, servers: Collection[str]) -> bool:
    ports = (port for port in service.ports if port.port == PORT)
    return any(end.target in servers for port in ports for end in port.endpoints)


def _usual(services: Sequence[Service], cidr: Network) -> str | None:
    if cidr.num_addresses <= _NUMBER + 1:
        return None
    address = str(cidr[_NUMBER])
    given = (one.cluster_ip for one in services)
    taken = any(address in ([one] if isinstance(one, str) else one or ()) for one in given)
    return None if taken else address
