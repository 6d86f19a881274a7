"""BIRD as Calico configures it (node/filesystem/etc/calico/confd/templates), in BIRD 2's language.

Calico runs a fork of BIRD 1.6, one process for each family; Debian's bird2 is one for both, with
protocols of their own for either, and sessions over both as Calico has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from netlab.plan.explanations import Says
from netlab.plan.processes import Daemon, File, Owner, Ready
from netlab.plan.routing import NextHop, Route
from netlab.topology.resolved import Layout, NodeSpec

AS_NUMBER = 64512  # Calico's default (confd/pkg/backends/calico/client.go)
METRIC = 1024  # of BIRD's routes in the kernel, from v3.32 on
CLUSTER_ID = "244.0.0.1"  # of the route reflectors, as in Calico's own documentation
REMEDY = (
    "run netlab by `sudo ./bootstrap netlab …`, which unpacks Debian's package bird2 into its own "
    "folder, or put bird and birdc on PATH"
)
BIRD = "BIRD"
EXPLAINS = (
    Says(
        "daemon bird",
        "calico-node",
        "It runs BIRD and confd, which writes its configuration: BGP tells the other nodes of the "
        "own blocks. In Calico a BIRD 1.6 for each family, here Debian's BIRD 2 for both.",
    ),
    Says(
        "route blackhole * proto bird*",
        BIRD,
        "A block of the node's own, as a static route: what no pod has of it ends here, and does "
        "not leave by the default route. Pods' host routes are longer and win.",
    ),
    Says(
        "route * via * proto bird*",
        BIRD,
        "Another node's block, heard by BGP: the node that owns it is the gateway, or the router "
        "where that is on another segment. One route for each block, not for each pod.",
    ),
)
Timers = Literal["short", "calico"]
# Calico's: BIRD's defaults of hold and keepalive, and its template's of the rest; in seconds.
TIMERS: dict[Timers, str] = {
    "short": "hold time 3; keepalive time 1; connect delay time 1; connect retry time 1; "
    "error wait time 1, 2;",
    "calico": "hold time 240; keepalive time 80; connect delay time 2; connect retry time 5; "
    "error wait time 5, 30; graceful restart; graceful restart time 120;",
}
# Until all are there: BIRD's own delays are random, and with graceful restart it waits for peers.
SECONDS: dict[Timers, float] = {"short": 30, "calico": 250}


@dataclass(frozen=True, slots=True)
class Peer:
    """A node with which there is a session. `kind` is Calico's word before its address: `Mesh` or
    `Node`; `client`: this node reflects routes to it."""

    node: NodeSpec
    kind: str
    client: bool = False

    def session(self, ipv6: bool) -> str:
        """The name of the protocol, made from the peer's address."""
        digits = str(self.node.address_of(ipv6)).replace(".", "_").replace(":", "_")
        return f"{self.kind}_{digits}"


@dataclass(frozen=True, slots=True)
class Filters:
    """Lines of Calico's filters that its tunnels need: for the kernel's routes, and for peers."""

    kernel: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()


def daemon(
    layout: Layout,
    node: NodeSpec,
    peers: Sequence[Peer],
    timers: Timers,
    brings: Sequence[Route],
    filters: Filters = Filters(),
) -> Daemon:
    """The BIRD of a node; `brings` are the routes that it must write into the kernel."""
    control = ("-s", "{folder}/bird.ctl")
    asked: tuple[str, ...] = ("birdc", *control, "show", "status")
    if not brings:  # then nothing in the kernel tells when it is through
        established = 'test "$(birdc -s {folder}/bird.ctl show protocols | grep -c Established)"'
        asked = ("sh", "-c", f"{established} -ge {len(peers) * len(layout.families)}")
    config = _config(layout, node, peers, timers, filters)
    recovers = ("-R",) if timers == "calico" else ()
    return Daemon(
        name="bird",
        command=("bird", "-f", *recovers, "-c", "{folder}/bird.cfg", *control),
        files=(File("bird.cfg", "\n".join(config) + "\n"),),
        # Without a session BIRD listens nowhere.
        ready=Ready(tcp=179 if peers else 0, command=asked, seconds=SECONDS[timers]),
        owns=Owner(protocols=("bird",)),
        brings=tuple(brings),
        needs=(("bird", REMEDY), ("birdc", REMEDY)),
        reloads=("bird.cfg",),  # confd's reload_cmd: `sv hup bird`
    )


def blackholes(node: NodeSpec) -> Iterator[Route]:
    """For what is not given out of the node's own blocks (bird_aggr.cfg.template)."""
    for block in node.pod_cidrs:
        if block.prefixlen < block.max_prefixlen:
            destination = str(block)
            yield Route(destination=destination, type="blackhole", protocol="bird", metric=METRIC)


def learned(layout: Layout, node: NodeSpec) -> Iterator[Route]:
    """The routes to the other nodes' blocks that BIRD makes of what it hears.

    To a next hop on another segment it finds its way by the default route: the packet goes to the
    router, which knows nothing of pods.
    """
    for other in layout.others(node):
        near = other.subnet == node.subnet
        for block in other.pod_cidrs:
            ipv6 = block.version == 6
            router = next(ip for ip in node.subnet.gateways if ip.version == block.version)
            gateway = str(other.address_of(ipv6) if near else router)
            yield Route(
                destination=str(block),
                next_hops=(NextHop(link="eth0", gateway=gateway),),
                protocol="bird",
                metric=METRIC,
            )


def _config(
    layout: Layout, node: NodeSpec, peers: Sequence[Peer], timers: Timers, filters: Filters
) -> Iterator[str]:
    restart = " graceful restart;" if timers == "calico" else ""
    yield f"# {node.name}, after Calico v3.32's bird.cfg.template and bird_aggr.cfg.template"
    yield f"router id {node.address};"
    yield "protocol device { scan time 2; }"
    channels = " ".join(f"{_family(ipv6)};" for ipv6 in layout.families)
    yield f'protocol direct {{ {channels} interface -"cali*", -"kube-ipvs*", "*"; }}'
    for ipv6 in layout.families:
        yield from _of_family(layout, node, ipv6, restart, filters)
        yield from _sessions(node, peers, ipv6, timers)


def _family(ipv6: bool) -> str:
    return "ipv6" if ipv6 else "ipv4"


def _of_family(
    layout: Layout, node: NodeSpec, ipv6: bool, restart: str, filters: Filters
) -> Iterator[str]:
    """What the node tells of itself, what its kernel gets, and what its peers get."""
    family, pool = _family(ipv6), layout.cluster_cidr_of(ipv6)
    blocks = node.cidrs_of(ipv6)
    yield f"protocol static blocks_{family} {{ {family};"
    for block in blocks:
        yield f"  route {block} blackhole;"
    yield "}"
    yield f"filter to_kernel_{family} {{"
    yield "  if source = RTS_DEVICE then reject;  # BIRD 1.6 leaves them out by itself"
    yield from (f"  {line}" for line in filters.kernel)
    yield f"  krt_metric = {METRIC};"
    yield "  accept;"
    yield "}"
    yield f"protocol kernel kernel_{family} {{"
    yield f"  learn; persist; scan time 2; merge paths on; metric 0;{restart}"
    yield f"  {family} {{ import all; export filter to_kernel_{family}; }};"
    yield "}"
    yield f"filter to_peers_{family} {{"
    yield from (f"  {line}" for line in filters.peers)
    for block in blocks:
        yield f"  if net = {block} then accept;"
        yield f"  if net ~ {block} then reject;  # one route for each block, not for each pod"
    yield f"  if net ~ {pool} then accept;"
    yield "  reject;"
    yield "}"


def _sessions(node: NodeSpec, peers: Sequence[Peer], ipv6: bool, timers: Timers) -> Iterator[str]:
    family, own = _family(ipv6), str(node.address_of(ipv6))
    yield f"template bgp node_{family} {{"
    yield f"  local {own} as {AS_NUMBER}; multihop;"
    yield f"  {TIMERS[timers]}"
    channel = f"import all; export filter to_peers_{family}; gateway recursive; add paths on;"
    yield f"  {family} {{ {channel} }};"
    yield "}"
    for peer in peers:
        address = str(peer.node.address_of(ipv6))
        words = [f"neighbor {address} as {AS_NUMBER};"]
        # Exactly one side connects, by the order of the addresses as text.
        words += ["passive on;"] if peer.kind == "Mesh" and address > own else []
        words += [f"rr client; rr cluster id {CLUSTER_ID};"] if peer.client else []
        yield f"protocol bgp {peer.session(ipv6)} from node_{family} {{ {' '.join(words)} }}"
