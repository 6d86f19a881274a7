"""The ranges of a cluster: from its components' flags and configurations, or else guessed.

A flag is found wherever it stands: in a pod's command line, in a ConfigMap, in a log.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from netlab.topology.kubectl.notes import Notes
from netlab.topology.kubectl.objects import Dump, IpPool, ServiceCidr
from netlab.topology.resolved import Ip, Network

# Between a flag or key and its value: `--flag=value`, `"flag": "value"`, `flag: value`, two words
# of a command in JSON or YAML, and kubeadm's `name: flag` with its `value: …` below.
_QUOTES = r"""["'\\]{0,4}"""
BETWEEN = rf"{_QUOTES}(?:[=:,\s]|\\n){{0,40}}(?:-\s+|{_QUOTES}value{_QUOTES}:\s*)?{_QUOTES}"
_CIDRS = r"((?:[0-9a-fA-F.:]+/\d{1,3}[, ]?)+)"
_SERVICE = ("service-cluster-ip-range", "serviceSubnet", "service-cidr")
_CLUSTER = ("cluster-cidr", "podSubnet", "clusterCIDR")
_CILIUM = ("cluster-pool-ipv4-cidr", "clusterPoolIPv4PodCIDRList")
_MASKS = {4: ("node-cidr-mask-size-ipv4", "node-cidr-mask-size"), 6: ("node-cidr-mask-size-ipv6",)}
_CILIUM_MASK = ("cluster-pool-ipv4-mask-size",)
_PORTS = ("service-node-port-range", "node-port-range")
# What installers take where nobody says otherwise.
# Of kubeadm with flannel, kubespray, k3s, Calico and Cilium.
_USUAL_CLUSTER = (
    "10.244.0.0/16",
    "10.233.64.0/18",
    "10.42.0.0/16",
    "192.168.0.0/16",
    "10.0.0.0/8",
)
# Of Services, whose they are, and where pods are there (kubeadm has no range of its own for them).
_USUAL_SERVICES = (
    ("10.233.0.0/18", "kubespray", "10.233.64.0/18"),
    ("10.43.0.0/16", "k3s", "10.42.0.0/16"),
    ("10.152.183.0/24", "MicroK8s", "10.1.0.0/16"),
    ("10.96.0.0/12", "kubeadm", ""),
)
DEFAULT_PORTS = (30000, 32767)


@dataclass(frozen=True, slots=True)
class Ranges:
    """As the fields of a Cluster; networks are one a family, IPv4 first."""

    cluster: tuple[Network, ...]
    services: tuple[Network, ...]
    masks: dict[int, int]
    node_ports: tuple[int, int]


def values(text: str, keys: Iterable[str], value: str) -> list[str]:
    """The values of the first of the keys that has any, the most frequent first."""
    pattern = re.compile(BETWEEN + value)
    for key in keys:
        if found := Counter(_after(text, key, pattern)):
            return [one for one, _ in found.most_common()]
    return []


def _after(text: str, key: str, pattern: re.Pattern[str]) -> Iterator[str]:
    """What follows a key: `find` is much quicker through a large text than a pattern."""
    position = text.find(key)
    while position >= 0:
        end = position + len(key)
        inside = position > 0 and (text[position - 1].isalnum() or text[position - 1] == "_")
        if not inside and (match := pattern.match(text, end)):
            yield match[1]
        position = text.find(key, end)


def _networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The first network of each family, IPv4 first; text that is none is passed over."""
    found: dict[int, Network] = {}
    for text in texts:
        for part in re.split(r"[, ]", text):
            network = network_of(part)
            if network is not None:
                found.setdefault(network.version, network)
    return tuple(found[version] for version in sorted(found))


def network_of(text: str) -> Network | None:
    """A network in a dump; None for what is none."""
    if "/" not in text:
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _disagreeing(notes: Notes, what: str, texts: Sequence[str]) -> None:
    if len(texts) > 1:
        notes.say(
            f"The {what} is said to be {' and '.join(texts[:3])}; {texts[0]} is taken, which "
            "stands there most often."
        )


def cluster_cidrs(dump: Dump, cilium: bool) -> tuple[Network, ...]:
    """What is said of the pod network."""
    pools = _networks(one.spec.cidr for one in dump.of(IpPool) if not one.spec.disabled)
    said = _networks(values(dump.text, _CILIUM, _CIDRS)) if cilium else pools
    return said or _networks(values(dump.text, _CLUSTER, _CIDRS)) or pools


@dataclass(frozen=True, slots=True)
class Known:
    """What is in use of the ranges: nodes' pod CIDRs, ClusterIPs, nodes' addresses and NodePorts.

    `api` is the ClusterIP of the Service `kubernetes`, always the first of the service CIDR.
    """

    pods: tuple[Network, ...]
    cluster_ips: tuple[Ip, ...]
    api: Ip | None
    nodes: tuple[Ip, ...]
    node_ports: tuple[int, ...]

    @property
    def families(self) -> list[int]:
        return sorted({4, *(one.version for one in self.pods)})


def find_ranges(dump: Dump, notes: Notes, known: Known, cilium: bool) -> Ranges:
    """All ranges, those that are not said guessed so that they hold what is known."""
    services = _service_cidrs(dump, notes, known)
    others = (*services, *(ip_network(ip) for ip in known.nodes))
    said = cluster_cidrs(dump, cilium)
    cluster = tuple(
        _cluster_cidr(version, said, known, others, notes) for version in known.families
    )
    masks: dict[int, int] = {one.version: _mask(dump, one, known.pods, cilium) for one in cluster}
    return Ranges(cluster, services, masks, _node_ports(dump, known.node_ports, notes))


def _service_cidrs(dump: Dump, notes: Notes, known: Known) -> tuple[Network, ...]:
    objects = [cidr for one in dump.of(ServiceCidr) for cidr in one.spec.cidrs or ()]
    texts = values(dump.text, _SERVICE, _CIDRS)
    _disagreeing(notes, "service CIDR", texts)
    said = _holding(_networks([*objects, *texts]), known.cluster_ips, "service CIDR", notes)
    found = {one.version: one for one in said}
    if 4 not in found:
        ips = [ip for ip in known.cluster_ips if ip.version == 4]
        found[4] = _guessed_services(ips, known, notes)
    return tuple(found[version] for version in known.families if version in found)


def _cluster_cidr(
    version: int,
    said: Sequence[Network],
    known: Known,
    others: Sequence[Network],
    notes: Notes,
) -> Network:
    """The pod network of one family: what is said, where it holds all pod CIDRs and no other."""
    own = [one for one in known.pods if one.version == version]
    given = next((one for one in said if one.version == version), None)
    if given is None:
        problem = "is not in the files"
    elif not all(_inside(one, given) for one in own):
        problem = f"{given} does not hold all pod CIDRs"
    elif other := next((one for one in others if _overlap(one, given)), None):
        problem = f"{given} overlaps with {other}"
    else:
        return given
    guess = _guessed_cluster(version, own, others)
    holding = ", which holds all pod CIDRs" if own else ""
    notes.say(
        f"The cluster CIDR {problem}: {guess} is assumed{holding}; --set cluster_cidr=… for "
        "another."
    )
    return guess


def _inside(one: Network, whole: Network) -> bool:
    return one[0] in whole and one[-1] in whole


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _holding(
    given: tuple[Network, ...], ips: Sequence[Ip], what: str, notes: Notes
) -> tuple[Network, ...]:
    """Those networks that hold all addresses of their family; others are said to be wrong."""
    for one in given:
        if strange := [ip for ip in ips if ip.version == one.version and ip not in one]:
            notes.say(f"The {what} {one} does not hold {strange[0]}, so that another is assumed.")
    wrong = {one for one in given for ip in ips if ip.version == one.version and ip not in one}
    return tuple(one for one in given if one not in wrong)


def _guessed_services(ips: Sequence[Ip], known: Known, notes: Notes) -> Network:
    """The first usual range that holds the ClusterIPs; without any, that of the same installer."""
    said = "The service CIDR is not in the files:"
    other = "--set service_cidr=… for another."
    for text, whose, pods in _USUAL_SERVICES:
        network = ip_network(text)
        if not ips and pods and not any(_inside(one, ip_network(pods)) for one in known.pods):
            continue
        if all(ip in network for ip in ips) and known.api in (None, network[1]):
            notes.say(f"{said} {network} is assumed, that of {whose}; {other}")
            return network
    start = known.api - 1 if known.api is not None else min(ips)
    guess = smallest([ip_network(start), *(ip_network(ip) for ip in ips)], 24)
    notes.say(f"{said} {guess} is assumed, which holds all ClusterIPs; {other}")
    return guess


def _guessed_cluster(version: int, own: Sequence[Network], others: Sequence[Network]) -> Network:
    """The smallest usual network that holds nodes' CIDRs and nothing else, or the smallest one."""
    usual = [ip_network(text) for text in _USUAL_CLUSTER if version == 4]
    for network in sorted(usual, key=lambda one: -one.prefixlen):
        holds = own and all(_inside(one, network) for one in own)
        if holds and not any(_overlap(network, one) for one in others):
            return network
    if not own:
        return next(one for one in usual if not any(_overlap(one, two) for two in others))
    return smallest(own, 56 if version == 6 else 20)


def smallest(networks: Sequence[Network], longest: int) -> Network:
    """The smallest network that holds all of some of one family, not longer than that."""
    first = networks[0]
    length = min(longest, *(one.prefixlen for one in networks))
    while True:
        whole: Network = ip_network(f"{first.network_address}/{length}", strict=False)
        if all(one[0] in whole and one[-1] in whole for one in networks):
            return whole
        length -= 1


def _mask(dump: Dump, cluster: Network, pods: Sequence[Network], cilium: bool) -> int:
    """The length of nodes' CIDRs: as is said, or as they have it."""
    ipv6 = cluster.version == 6
    own = Counter(one.prefixlen for one in pods if one.version == cluster.version)
    said = said_mask(dump, cluster.version, cilium)
    for length in (said, *(one for one, _ in own.most_common(1)), 64 if ipv6 else 24):
        if length and cluster.prefixlen <= length <= (126 if ipv6 else 30):
            return length
    return min(cluster.prefixlen + 8, 30)


def said_mask(dump: Dump, version: int, cilium: bool) -> int:
    """The length of nodes' CIDRs of a family, where it is said; else 0."""
    keys = (*(_CILIUM_MASK if cilium and version == 4 else ()), *_MASKS[version])
    return next((int(one) for one in values(dump.text, keys, r"(\d{1,3})(?!\d)")), 0)


def _node_ports(dump: Dump, ports: Sequence[int], notes: Notes) -> tuple[int, int]:
    first, last = DEFAULT_PORTS
    for text in values(dump.text, _PORTS, r"(\d{1,5}[-,]\d{1,5})")[:1]:
        first, last = map(int, re.split("[-,]", text))
    if ports and not first <= min(ports) <= max(ports) <= last:
        first, last = min(first, *ports), max(last, *ports)
        notes.say(f"There are NodePorts beyond the range that is known: {first}-{last} is assumed.")
    return first, last
