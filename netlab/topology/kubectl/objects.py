"""Kubernetes' objects as far as they say something of its network, by their API's own names.

k8s.io/api: core/v1, discovery/v1; and cilium.io/v2, crd.projectcalico.org/v1.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, field

from netlab.errors import sentence, shown
from netlab.topology.kubectl.documents import Source, items

T = TypeVar("T", bound="Object")


class Camel(Struct, frozen=True, rename="camel"):
    """Base: fields are called as in Kubernetes' API."""


class Meta(Camel, frozen=True):
    name: str
    namespace: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: str | None = None

    def annotation(self, *names: str) -> str:
        """The first of those annotations that is there, else an empty text."""
        return next((value for name in names if (value := self.annotations.get(name))), "")


class Object(Camel, frozen=True, kw_only=True):
    """`place` is the file with the line, for an error about the object."""

    metadata: Meta
    place: str = ""

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}"


class NodeAddress(Camel, frozen=True):
    type: str
    address: str = ""


class NodeFields(Camel, frozen=True):
    pod_cidr: str | None = field(default=None, name="podCIDR")
    pod_cidrs: list[str] | None = field(default=None, name="podCIDRs")


class NodeState(Camel, frozen=True):
    addresses: list[NodeAddress] | None = None


class Node(Object, frozen=True):
    spec: NodeFields = NodeFields()
    status: NodeState = NodeState()


class ContainerPort(Camel, frozen=True):
    container_port: int
    name: str | None = None
    protocol: str | None = None


class Variable(Camel, frozen=True):
    name: str
    value: str | None = None


class Container(Camel, frozen=True):
    name: str
    ports: list[ContainerPort] | None = None


class Alias(Camel, frozen=True):
    ip: str
    hostnames: list[str] | None = None


class PodFields(Camel, frozen=True):
    containers: list[Container] | None = None
    node_name: str | None = None
    host_network: bool = False
    host_aliases: list[Alias] | None = None


class PodIp(Camel, frozen=True):
    ip: str | None = None


class Condition(Camel, frozen=True):
    type: str
    status: str | None = None


class PodState(Camel, frozen=True):
    phase: str | None = None
    pod_ip: str | None = field(default=None, name="podIP")
    pod_ips: list[PodIp] | None = field(default=None, name="podIPs")
    conditions: list[Condition] | None = None


class Pod(Object, frozen=True):
    spec: PodFields = PodFields()
    status: PodState = PodState()

    @property
    def addresses(self) -> tuple[str, ...]:
        found = tuple(one.ip for one in self.status.pod_ips or () if one.ip)
        return found or ((self.status.pod_ip,) if self.status.pod_ip else ())


class ServicePort(Camel, frozen=True):
    port: int
    name: str | None = None
    protocol: str | None = None
    target_port: int | str | None = None
    node_port: int | None = None


class ClientIp(Camel, frozen=True):
    timeout_seconds: int | None = None


class AffinityConfig(Camel, frozen=True):
    client_ip: ClientIp | None = field(default=None, name="clientIP")


class ServiceFields(Camel, frozen=True):
    type: str | None = None
    ports: list[ServicePort] | None = None
    selector: dict[str, str] | None = None
    cluster_ip: str | None = field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = field(default=None, name="clusterIPs")
    external_ips: list[str] | None = field(default=None, name="externalIPs")
    session_affinity: str | None = None
    session_affinity_config: AffinityConfig | None = None
    external_traffic_policy: str | None = None
    internal_traffic_policy: str | None = None
    publish_not_ready_addresses: bool = False


class Ingress(Camel, frozen=True):
    ip: str | None = None


class LoadBalancer(Camel, frozen=True):
    ingress: list[Ingress] | None = None


class ServiceState(Camel, frozen=True):
    load_balancer: LoadBalancer | None = None


class Service(Object, frozen=True):
    spec: ServiceFields = ServiceFields()
    status: ServiceState = ServiceState()


class Conditions(Camel, frozen=True):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(Camel, frozen=True):
    addresses: list[str] | None = None
    conditions: Conditions | None = None


class EndpointPort(Camel, frozen=True):
    port: int | None = None
    name: str | None = None
    protocol: str | None = None


class EndpointSlice(Object, frozen=True):
    address_type: str | None = None
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None

    @property
    def service(self) -> str:
        """Of which Service it is, as `NAMESPACE/NAME`."""
        return f"{self.namespace}/{self.metadata.labels.get('kubernetes.io/service-name')}"


class ConfigMap(Object, frozen=True):
    data: dict[str, str] | None = None

    def value(self, key: str) -> str:
        return (self.data or {}).get(key) or ""


class Cidrs(Camel, frozen=True):
    cidrs: list[str] | None = None


class ServiceCidr(Object, frozen=True):
    spec: Cidrs = Cidrs()


class CiliumIpam(Camel, frozen=True):
    pod_cidrs: list[str] | None = field(default=None, name="podCIDRs")


class CiliumAddress(Camel, frozen=True):
    type: str | None = None
    ip: str | None = None


class CiliumHealth(Camel, frozen=True):
    ipv4: str | None = None


class CiliumNodeFields(Camel, frozen=True):
    addresses: list[CiliumAddress] | None = None
    ipam: CiliumIpam = CiliumIpam()
    health: CiliumHealth = CiliumHealth()


class CiliumNode(Object, frozen=True):
    spec: CiliumNodeFields = CiliumNodeFields()


class PoolFields(Camel, frozen=True):
    cidr: str
    ipip_mode: str | None = None
    vxlan_mode: str | None = None
    nat_outgoing: bool = False
    disabled: bool = False


class IpPool(Object, frozen=True):
    spec: PoolFields


class AffinityFields(Camel, frozen=True):
    cidr: str
    node: str


class BlockAffinity(Object, frozen=True):
    spec: AffinityFields


class DaemonSet(Object, frozen=True):
    pass


# Each kind with the API group in which it is meant: others have kinds of the same names.
_KINDS: dict[tuple[str, str], type[Object]] = {
    ("", "Node"): Node,
    ("", "Pod"): Pod,
    ("", "Service"): Service,
    ("", "ConfigMap"): ConfigMap,
    ("discovery.k8s.io", "EndpointSlice"): EndpointSlice,
    ("networking.k8s.io", "ServiceCIDR"): ServiceCidr,
    ("cilium.io", "CiliumNode"): CiliumNode,
    ("crd.projectcalico.org", "IPPool"): IpPool,
    ("crd.projectcalico.org", "BlockAffinity"): BlockAffinity,
    ("apps", "DaemonSet"): DaemonSet,
}


class Dump:
    """The objects of all files, each once, and the files' whole text."""

    def __init__(self, given: Iterable[Source]) -> None:
        self._found: dict[tuple[type[Object], str], Object] = {}
        texts = []
        for one in given:
            texts.append(one.text)
            self._read(one)
        self.text = "\n".join(texts)

    def of(self, kind: type[T]) -> list[T]:
        """The objects of a kind, in the order in which they came."""
        return [one for one in self._found.values() if isinstance(one, kind)]

    def config(self, name: str) -> ConfigMap | None:
        """The first ConfigMap of that name."""
        return next((one for one in self.of(ConfigMap) if one.name == name), None)

    def _read(self, given: Source) -> None:
        """A later file replaces what is of an earlier one; in one file an object is there once."""
        seen: dict[tuple[type[Object], str], Any] = {}
        for value, line in items(given):
            kind = _KINDS.get((value["apiVersion"].rpartition("/")[0], value["kind"]))
            if kind is None:
                continue
            found = _converted(given, value, line, kind)
            key = (kind, found.full_name)
            if key in seen and seen[key] != value:
                raise given.error(
                    line, f"there are two of the {value['kind']} {shown(found.full_name)}"
                )
            seen[key] = value
            self._found[key] = found


def _converted(given: Source, value: dict[str, Any], line: int, kind: type[Object]) -> Object:
    try:
        place = f"{given.name} line {line}"
        return msgspec.convert(value | {"place": place}, kind, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        meta = value.get("metadata")
        name = f" {shown(meta['name'])}" if isinstance(meta, dict) and "name" in meta else ""
        reason = sentence(str(error))
        raise given.error(
            line, f"the {value['kind']}{name} is not as Kubernetes has it ({reason})"
        ) from None
