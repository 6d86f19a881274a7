"""Layout and dataplane to Plan: the underlay, nodes and pods on it, then what the dataplane adds.

The underlay, router, nodes and external client are netlab's; everything else in a node or pod is
the dataplane's file to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

import msgspec

from netlab.errors import BadInput, shown
from netlab.plan import dns, underlay
from netlab.plan.attach import Attach
from netlab.plan.dataplane import Dataplane
from netlab.plan.explanations import KERNEL, NETLAB, Says
from netlab.plan.limits import refuse_impossible
from netlab.plan.links import LOOPBACK, Link
from netlab.plan.names import host_name, netns
from netlab.plan.processes import Container, Daemon, Ready
from netlab.plan.proxy import Proxy
from netlab.plan.routing import (
    LOCALHOST,
    LOCALHOST6,
    Address,
    FdbEntry,
    Neighbour,
    Route,
    Rule,
    Sysctl,
    connected,
)
from netlab.plan.rulesets import IptablesTable, Ruleset, merged
from netlab.plan.rulesets.iptables import BUILTIN
from netlab.plan.types import Namespace, Object, Plan, Role
from netlab.topology.resolved import ContainerSpec, Ip, Layout, NodeSpec, PodSpec

# Which list of a namespace an object goes to.
_LISTS: tuple[tuple[type, str], ...] = (
    (Link, "links"),
    (Address, "addresses"),
    (Route, "routes"),
    (Rule, "rules"),
    (Neighbour, "neighbours"),
    (FdbEntry, "fdb"),
    (Sysctl, "sysctls"),
    (Ruleset, "ruleset"),
    (Daemon, "daemons"),
    (Container, "containers"),
)
RUNTIME = "container runtime"
EXPLAINS = (
    Says(
        "namespace *",
        RUNTIME,
        "A pod's network namespace. kubelet asks the runtime (containerd, CRI-O) for it before any "
        "container starts; there the pause container holds it, here netlab.",
        role="pod",
    ),
    Says(
        "container *",
        NETLAB,
        "A small server of netlab, which says who it is: a container that was given no command.",
        role=None,
        when=lambda container: container.command is None,
    ),
    Says(
        "container *",
        RUNTIME,
        "Started as kubelet asks it to, in the pod's network namespace, with the files under /etc "
        "and the variables that kubelet gives it.",
        role="pod",
    ),
)
BY_KERNEL = (
    Says("link lo", KERNEL, "Every network namespace is born with its loopback device.", role=None),
    *(
        Says(
            str(address),
            KERNEL,
            "Comes when the loopback device is up: the runtime's loopback CNI plugin does that in "
            "a pod, the system's start on a machine.",
            role=None,
        )
        for address in (LOCALHOST, LOCALHOST6)
    ),
    Says(
        "rule* 0: from all lookup 255",
        KERNEL,
        "Every namespace is born with it: first the table `local`, which says what is for the "
        "machine itself.",
        role=None,
    ),
    Says(
        "rule* 32766: from all lookup 254",
        KERNEL,
        "Every namespace is born with it: then the table `main`, to which `ip route` adds.",
        role=None,
    ),
    Says(
        "rule 32767: from all lookup 253",
        KERNEL,
        "Every namespace is born with it: last the table `default`, which is empty.",
        role=None,
    ),
    Says(
        "ip*tables-* table *",
        KERNEL,
        "A table of iptables, there with its first rule; several programs have chains in it.",
        role=None,
        when=lambda item: isinstance(item, IptablesTable),
    ),
    *(
        Says(
            f"ip*tables-* table {table} chain {chain}",
            KERNEL,
            "A chain that the table is born with: packets enter by it.",
            role=None,
        )
        for table, chains in BUILTIN.items()
        for chain in chains
    ),
)
# Of the routes that are made with an address (`connected`, `local_routes`).
WITH_ADDRESS = (
    Says(
        "route local *",
        KERNEL,
        "In the table `local`, made with the address: packets to it are for the machine itself.",
        role=None,
    ),
    Says(
        "route broadcast *",
        KERNEL,
        "In the table `local`, made with the address: the broadcast address of its network.",
        role=None,
    ),
    Says(
        "route *",
        KERNEL,
        "The connected route: made with the address, as its prefix says what is on the segment.",
        role=None,
    ),
)
IPV6_MTU_MIN = 1280  # bytes; a device with less has no IPv6 at all (net/ipv6/addrconf.c)


def compile_plan(
    topology: str,
    layout: Layout,
    dataplane: Dataplane,
    proxy: Proxy | None = None,
    *,
    force: bool = False,
) -> Plan:
    """The plan of a whole lab.

    Raises BadInput when the dataplane or the proxy refuses the cluster, unless `force`.
    """
    reason = next(flaws(layout, dataplane, proxy), None)
    if reason and not force:
        raise BadInput(reason)
    if layout.dual_stack and not dataplane.dual_stack:
        raise BadInput(
            f"{dataplane.name} carries IPv4 only", "give one cluster CIDR, or use another dataplane"
        )
    plan = Plan(topology, (), _underlay(layout))
    for node in layout.nodes:
        _node(plan, layout, dataplane, proxy, node)
    for space in plan.namespaces.values():
        if force:
            _replace(space)
        space.ruleset = merged(space.ruleset)
        _by_the_kernel(space)
    plan.requires = _requires(plan, (*dataplane.requires, *(proxy.requires if proxy else ())))
    for space in plan.namespaces.values():
        refuse_impossible(space)
    return plan


def flaws(layout: Layout, dataplane: Dataplane, proxy: Proxy | None) -> Iterator[str]:
    """Why the dataplane and the proxy refuse a cluster."""
    yield from dataplane.validate(layout)
    if proxy:
        yield from proxy.validate(layout)


def _underlay(layout: Layout) -> dict[str, Namespace]:
    spaces = {subnet.switch: underlay.switch(subnet) for subnet in layout.segments}
    router = underlay.router(layout, spaces)
    spaces[router.name] = router
    if layout.external:
        port = spaces[layout.external.subnet.switch]
        spaces[layout.external.name] = space = underlay.external(layout, layout.external, port)
        put(space, dns.outside(layout))
    return spaces


def _node(
    plan: Plan, layout: Layout, dataplane: Dataplane, proxy: Proxy | None, node: NodeSpec
) -> None:
    spaces = plan.namespaces
    port = spaces[node.subnet.switch]
    space = underlay.host(node.name, "node", layout, node.subnet, node.addresses, port, node.mtu)
    spaces[node.name] = space
    attach = dataplane.attach(layout, node)
    names = (host_name(node.name), node.name, "")
    put(space, (_container(one, names, node.addresses) for one in node.containers))
    routing = (dataplane.node(layout, node), attach.node(layout, node))
    services = (proxy.node(layout, node),) if proxy else ()
    for objects in (*routing, *services) if dataplane.inserts else (*services, *routing):
        put(space, objects)
    for pod in node.pods:
        _attach(plan, layout, node, _pod(layout, pod, "pod"), attach, pod)
    for endpoint in dataplane.endpoints(layout, node):
        _refuse_taken(layout, spaces, endpoint.spec.name)
        own = _pod(layout, endpoint.spec, "endpoint")
        _attach(plan, layout, node, own, endpoint.attach, endpoint.spec)
    if proxy:
        put(space, proxy.at_addresses(layout, node, tuple(space.addresses)))


def _attach(
    plan: Plan, layout: Layout, node: NodeSpec, own: Namespace, attach: Attach, pod: PodSpec
) -> None:
    plan.namespaces[pod.name] = own
    attached = attach.pod(layout, node, pod)
    put(own, attached.pod)
    put(plan.namespaces[node.name], attached.node)
    plan.attachments.append(attached.attachment)


def _refuse_taken(layout: Layout, spaces: Iterable[str], name: str) -> None:
    """The name of an endpoint is the dataplane's, so that no other may have it."""
    taken = {*spaces, *(node.name for node in layout.nodes), *(pod.name for pod in layout.pods)}
    if netns(name) in map(netns, taken):
        raise BadInput(
            f"Two namespaces of the lab would be named {shown(name)}, one of them the dataplane's",
            "give the pod or node another name",
        )


def put(space: Namespace, objects: Iterable[Object]) -> None:
    """Put objects into the lists of a namespace; an object given twice is there once."""
    for item in objects:
        field = next((name for kind, name in _LISTS if isinstance(item, kind)), None)
        if field is None:
            raise BadInput(
                f"The dataplane gave {shown(item)} for {space.name}, which is no object of a plan."
            )
        own = getattr(space, field)
        if field != "sysctls" or item not in own:
            own.append(item)


def _pod(layout: Layout, pod: PodSpec, role: Role) -> Namespace:
    aliases = tuple((one.ip, *one.hostnames) for one in pod.host_aliases)
    names = (host_name(pod.own_name), pod.name, pod.namespace)
    server = str(layout.nameserver or "")
    containers = [_container(one, names, pod.addresses, aliases, server) for one in pod.containers]
    daemons = [dns.server(layout)] if pod.dns else []
    return Namespace(pod.name, role, ipv6=True, containers=containers, daemons=daemons)


def _container(
    spec: ContainerSpec,
    names: tuple[str, str, str],
    addresses: Iterable[Ip],
    aliases: tuple[tuple[str, ...], ...] = (),
    nameserver: str = "",
) -> Container:
    """`names` are its host's name, what the lab calls it and its Kubernetes namespace."""
    host, known_as, namespace = names
    return Container(
        spec.name,
        host,
        spec.command,
        spec.port,
        spec.local_port,
        "" if host == known_as else known_as,
        env=spec.env,
        ready=Ready(**asdict(spec.ready)) if spec.ready else None,
        addresses=tuple(map(str, addresses)),
        aliases=aliases,
        namespace=namespace,
        nameserver=nameserver,
    )


def _replace(space: Namespace) -> None:
    """Of what has one key the last stays: where networks overlap, daemons replace each other's."""
    space.routes = list({way.key: way for way in space.routes}.values())
    space.neighbours = list({entry.key: entry for entry in space.neighbours}.values())


def _by_the_kernel(space: Namespace) -> None:
    """What the kernel makes by itself, so that breaking it shows."""
    space.links = [
        msgspec.structs.replace(link, addr_gen_mode=None) if link.mtu < IPV6_MTU_MIN else link
        for link in space.links
    ]
    # Last, so that the first device is the one that matters.
    space.links.append(LOOPBACK)
    space.addresses.append(LOCALHOST)
    if space.ipv6:
        space.addresses.append(LOCALHOST6)
    # A device that is down has addresses, but no routes to their networks (kube-ipvs0).
    down = {link.name for link in space.links if not link.up}
    space.routes += [
        way
        for address in space.addresses
        if address.link not in down and (way := connected(address))
    ]


def _requires(plan: Plan, named: Iterable[str]) -> tuple[str, ...]:
    """The kernel's features that the plan's objects take, and those that were named."""
    spaces = plan.namespaces.values()
    kinds = (link.kind for space in spaces for link in space.links)
    found = [kind for kind in kinds if kind not in ("loopback", "other")]
    found += [name for space in spaces for item in space.ruleset for name in item.requires]
    return tuple(dict.fromkeys([*found, *named]))
