"""Nodes with their addresses, the pods on them, and the networks that both are in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface, ip_network

from netlab.errors import BadInput
from netlab.topology.kubectl.dataplanes import CALICO, Found
from netlab.topology.kubectl.notes import Notes
from netlab.topology.kubectl.objects import Dump, Node, Pod
from netlab.topology.kubectl.ranges import network_of, said_mask, smallest
from netlab.topology.resolved import Ip, Network

BLOCK = 26  # the length of Calico's blocks where none is said
_CONTROL = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_ENDED = ("Succeeded", "Failed")
_LONGEST = 29  # of an underlay subnet


@dataclass(frozen=True, slots=True)
class Place:
    """A node: its InternalIPs, one a family; its pod CIDRs; its pods, each with its addresses."""

    name: str
    addresses: tuple[Ip, ...]
    control_plane: bool = False
    pods: tuple[tuple[Pod, tuple[Ip, ...]], ...] = ()
    cidrs: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Places:
    """All nodes; `hosts` are pods in the network of their node, by namespace and name."""

    nodes: tuple[Place, ...]
    hosts: Mapping[str, tuple[Pod, str]]


def find_places(dump: Dump, notes: Notes) -> Places:
    """The nodes with the pods that have a network of their own. Raises BadInput without nodes."""
    nodes = [_node(node, notes) for node in dump.of(Node)]
    if not nodes:
        raise BadInput(
            "There is no node in the files", "give what `kubectl get nodes -o yaml` prints too"
        )
    owners = {ip: node.name for node in nodes for ip in node.addresses}
    own: dict[str, list[tuple[Pod, tuple[Ip, ...]]]] = {node.name: [] for node in nodes}
    hosts: dict[str, tuple[Pod, str]] = {}
    left: dict[str, list[str]] = {}
    for pod in dump.of(Pod):
        node, ips = pod.spec.node_name or "", ips_of(pod.addresses)
        if pod.status.phase in _ENDED:
            left.setdefault("ended", []).append(pod.full_name)
        elif not node or not (ips or pod.spec.host_network):
            left.setdefault("without an address yet", []).append(pod.full_name)
        elif node not in own:
            left.setdefault("on nodes that are not in the files", []).append(pod.full_name)
        elif pod.spec.host_network or any(ip in owners for ip in ips):
            hosts[pod.full_name] = (pod, node)
        else:
            own[node].append((pod, ips))
    for why, names in left.items():
        notes.left_out(names, "pod", why)
    notes.left_out(list(hosts), "pod", "with hostNetwork, in the network of their node")
    return Places(tuple(replace(one, pods=tuple(own[one.name])) for one in nodes), hosts)


def _node(node: Node, notes: Notes) -> Place:
    found: dict[int, Ip] = {}
    for ip in ips_of(
        one.address for one in node.status.addresses or () if one.type == "InternalIP"
    ):
        found.setdefault(ip.version, ip)
    if 4 not in found:
        notes.say(f"The node {node.name} has no InternalIP of IPv4, and gets one of the underlay.")
    control = any(label in node.metadata.labels for label in _CONTROL)
    return Place(node.name, tuple(found[version] for version in sorted(found)), control)


def ips_of(texts: Iterable[str]) -> tuple[Ip, ...]:
    """The addresses in some texts; what is none is passed over."""
    found = []
    for text in texts:
        try:
            found.append(ip_address(text))
        except ValueError:
            continue
    return tuple(found)


def with_cidrs(given: Places, dump: Dump, found: Found, notes: Notes) -> Places:
    """The nodes with their pod CIDRs: as their agent says or Kubernetes, or as their pods are."""
    objects = {node.name: node for node in dump.of(Node)}
    lengths = {
        version: BLOCK if found.blocks and version == 4 else said_mask(dump, version, found.cilium)
        for version in (4, 6)
    }
    nodes = [
        replace(one, cidrs=_cidrs(one, objects[one.name], found, lengths, notes))
        for one in given.nodes
    ]
    return replace(given, nodes=tuple(_in_their_cidrs(one, found, notes) for one in nodes))


def _cidrs(
    place: Place, node: Node, found: Found, lengths: Mapping[int, int], notes: Notes
) -> tuple[Network, ...]:
    texts = found.cidrs.get(node.name) or ()
    if not texts and not found.blocks:
        texts = tuple(node.spec.pod_cidrs or filter(None, [node.spec.pod_cidr]))
    said = [one for one in map(network_of, texts) if one is not None]
    own = ips_of(one[node.name] for one in found.own.values() if node.name in one)
    ips = [*own, *(ip for _, ips in place.pods for ip in ips)]
    result: list[Network] = []
    for version in (4, 6):
        length = lengths[version] or (64 if version == 6 else 24)
        mine = [ip for ip in ips if ip.version == version]
        of_family = [one for one in said if one.version == version]
        if found.blocks:
            result += of_family
            result += dict.fromkeys(_around(ip, length) for ip in mine if not _in(ip, of_family))
        elif mine and not any(_in(ip, of_family) for ip in mine):
            chosen = Counter(_around(ip, length) for ip in mine).most_common(1)[0][0]
            why = f"are not in its pod CIDR {of_family[0]}" if of_family else "say so"
            notes.say(f"The pod CIDR of {node.name} is taken to be {chosen}, as its pods {why}.")
            result.append(chosen)
        elif of_family:  # of several that with most pods
            result.append(max(of_family, key=lambda one: sum(ip in one for ip in mine)))
    return tuple(result)


def _around(ip: Ip, length: int) -> Network:
    return ip_network(f"{ip}/{length}", strict=False)


def _in(ip: Ip, networks: Iterable[Network]) -> bool:
    return any(ip in one for one in networks)


def _in_their_cidrs(place: Place, found: Found, notes: Notes) -> Place:
    """Pods without the addresses that they cannot have: others are given out in their stead."""
    families = {one.version for one in place.cidrs}
    pods = []
    for pod, ips in place.pods:
        kept = tuple(ip for ip in ips if ip.version in families and _possible(ip, place, found))
        for ip in ips:
            if ip.version in families and ip not in kept:
                cidrs = ", ".join(str(one) for one in place.cidrs)
                notes.say(
                    f"The pod {pod.full_name} gets another address than {ip}, which no pod of "
                    f"{place.name} can have in {cidrs}."
                )
        pods.append((pod, kept))
    return replace(place, pods=tuple(pods))


def _possible(ip: Ip, place: Place, found: Found) -> bool:
    cidr = next((one for one in place.cidrs if ip in one), None)
    if cidr is None:
        return False
    if found.blocks:
        return True
    ends = (cidr[0], cidr[-1]) if cidr.version == 4 else (cidr[0],)
    return ip not in ends and not (found.gateway_first and ip == cidr[1])


def underlay(given: Places, dump: Dump, found: Found, dual: bool, notes: Notes) -> list[Network]:
    """The nodes' networks, as many of IPv4 as there are segments, then those of IPv6."""
    ips = [ip for node in given.nodes for ip in node.addresses if ip.version == 4]
    if not ips:
        return []
    said = _said_networks(dump, ips)
    networks = said or list(dict.fromkeys(_around(ip, 24) for ip in ips))
    whole = smallest([ip_network(ip) for ip in ips], 24)
    if found.one_segment and len(networks) > 1:
        networks = [whole]
    networks = _without_clashes(networks, ips)
    names = ", ".join(map(str, networks[:3])) + (" and others" if len(networks) > 3 else "")
    if len(networks) > 1:
        notes.say(
            f"The nodes are in {len(networks)} networks ({names}), which are taken for segments "
            f"with a router between; --set underlay={whole} makes one of them."
        )
    elif not said:
        notes.say(f"The nodes are taken to be on one segment, {names}; --set underlay=… for more.")
    return networks + (_of_ipv6(given, networks) if dual else [])


def _said_networks(dump: Dump, ips: Sequence[Ip]) -> list[Network]:
    """Those that Calico's nodes write with their addresses, where all do."""
    found = []
    for node in dump.of(Node):
        text = node.metadata.annotation(f"{CALICO}IPv4Address")
        try:
            found.append(ip_interface(text))
        except ValueError:
            return []
    usable = all(one.ip in ips and one.network.prefixlen <= _LONGEST for one in found)
    networks = [one.network for one in found]
    apart = all(one == two or not one.overlaps(two) for one in networks for two in networks)
    return list(dict.fromkeys(networks)) if usable and apart else []


def _without_clashes(networks: Sequence[Network], ips: Sequence[Ip]) -> list[Network]:
    """As few networks, made wider where a node has an address at their end: that of the router."""
    found: list[Network] = []
    for network in networks:
        while any(ip in (network[0], network[-2], network[-1]) for ip in ips):
            network = network.supernet()
        found.append(network)
    return [
        one
        for number, one in enumerate(found)
        if not any(
            one.subnet_of(two) and (one != two or other < number)  # type: ignore[arg-type]
            for other, two in enumerate(found)
            if other != number
        )
    ]


def _of_ipv6(given: Places, networks: Sequence[Network]) -> list[Network]:
    """For each segment the network of its nodes' IPv6 addresses; none where that is not clear."""
    result: list[Network] = []
    for network in networks:
        own = [
            ip_network(ip)
            for node in given.nodes
            if any(ip in network for ip in node.addresses)
            for ip in node.addresses
            if ip.version == 6
        ]
        if not own:
            return []
        result.append(smallest(own, 64))
    clear = not any(one.overlaps(two) for one in result for two in result if one is not two)
    return result if clear else []
