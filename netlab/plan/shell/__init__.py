"""A plan as a stand-alone shell script of `ip`, `bridge`, `nft` and writes under /proc/sys.

`netlab plan --sh` is the whole lab with no netlab in it: to read what the engine does in commands
everyone knows, and to compare the engine with. The script makes namespaces of its own for
everything, so it changes nothing on the host and leaves nothing behind.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from netlab.errors import BadInput
from netlab.plan.links import FALLBACK_DEVICES, Link, Loopback, Peer, Veth, Wireguard
from netlab.plan.names import netns
from netlab.plan.shell import links, processes, routing, rulesets
from netlab.plan.shell.text import (
    CONTAINERS,
    DAEMONS,
    FINISH,
    HEADER,
    IPVS,
    LIBRARY,
    SANDBOX,
    SERVER,
    SETTINGS,
)
from netlab.plan.shell.words import batch, here_document, settings, word
from netlab.plan.types import ATTACHED, Namespace, Plan
from netlab.plan.underlay import NO_LINK_LOCAL

PER_DEVICE = re.compile(r"net/ipv[46]/(conf|neigh)/(?!all/|default/)")


def render(plan: Plan, server_source: str) -> str:
    """The script. `server_source` is the Python program that default containers run.

    Raises BadInput for what these tools could not read or make.
    """
    spaces = [_by_file(space) for space in plan.namespaces.values()]
    serving = any(processes.serves(item) for space in spaces for item in space.containers)
    library = any(processes.needs_packages(item) for space in spaces for item in space.daemons)
    tools = _tools(spaces, serving=serving)
    parts = [
        HEADER.format(title=" ".join(plan.topology.split()), count=len(spaces)),
        LIBRARY if library else "",
        SANDBOX.format(tools=" ".join(tools)),
        IPVS if "ipvsadm" in tools else "",
        SETTINGS,
        _spaces(spaces),
        _cables(spaces),
        _devices(spaces),
        *(_space(space) for space in spaces),
    ]
    if serving:
        parts.append(SERVER + here_document('cat > "$dir/server.py"', server_source.splitlines()))
    if any(space.containers for space in spaces):
        parts += [CONTAINERS, "\n".join(processes.containers(spaces)) + "\n"]
    if any(space.daemons for space in spaces):
        parts += [DAEMONS, "\n".join(processes.daemons(spaces)) + "\n"]
    hint = next((space.name for space in spaces if space.role == "pod"), spaces[0].name)
    return "\n".join([*(part for part in parts if part), FINISH.format(hint=shlex.quote(hint))])


def _by_file(space: Namespace) -> Namespace:
    """A namespace under the name that its file has, as all others that it refers to."""
    links = [
        replace(link, peer=Peer(netns(link.peer.namespace), link.peer.link))
        if isinstance(link, Veth) and link.peer
        else link
        for link in space.links
    ]
    made = [link.link_netns and netns(link.link_netns) for link in links]
    links = [replace(link, link_netns=home) for link, home in zip(links, made, strict=True)]
    return replace(space, name=netns(space.name), links=links)


def _tools(spaces: list[Namespace], *, serving: bool) -> list[str]:
    """The programs that the script calls."""
    tools = ["ip", "bridge", "unshare"]
    tools += rulesets.tools(item for space in spaces for item in space.ruleset)
    containers = [item for space in spaces for item in space.containers]
    tools += ["hostname"] if containers else []
    tools += ["nsenter"] if any(item.ready and item.ready.command for item in containers) else []
    tools += ["python3"] if serving else []
    tools += ["ethtool"] if any(link.offloads for space in spaces for link in space.links) else []
    tools += ["sed"] if any(item.files for space in spaces for item in space.daemons) else []
    if any(isinstance(link, Wireguard) for space in spaces for link in space.links):
        tools.append("wg")
    return tools


def _spaces(spaces: list[Namespace]) -> str:
    """Every namespace, and those of its settings that must be there before any device is."""
    lines = ["# ==== The namespaces, and the settings that new devices must find", ""]
    lines.append(batch("ip", (f"netns add {word(space.name)}" for space in spaces)))
    for space in spaces:
        early = [setting for setting in space.sysctls if not PER_DEVICE.match(setting.path)]
        early += [NO_LINK_LOCAL] if space.role in ATTACHED else []
        if early:
            lines.append(settings(space.name, early))
    return "\n".join(lines) + "\n"


def _cables(spaces: list[Namespace]) -> str:
    """Every veth, once, with its two ends made in the namespaces they belong to."""
    ends = {
        (space.name, link.name): link
        for space in spaces
        for link in space.links
        if isinstance(link, Veth)
    }
    lines: list[str] = []
    done: set[tuple[str, str]] = set()
    for (space, name), link in ends.items():
        if (space, name) in done:
            continue
        other = (link.peer.namespace, link.peer.link) if link.peer else None
        if other not in ends:
            raise BadInput(f"The other end of {name} in {space} is in no namespace of the script.")
        pair = [(space, link), (other[0], ends[other])]
        pair.reverse()  # what is plugged in (node, pod) first, then where (switch, node)
        done.update((where, end.name) for where, end in pair)
        here, there = (_end(where, end) for where, end in pair)
        lines.append(f"link add {here} type veth peer {there}")
    if not lines:
        return ""
    title = "# ==== The cables: veth pairs, both ends made in the namespaces they belong to\n\n"
    return title + batch("ip", lines)


def _end(space: str, link: Link) -> str:
    return f"name {word(link.name)} netns {word(space)} {links.basics(link)}"


def _devices(spaces: list[Namespace]) -> str:
    """All other devices, each made in the namespace where its parent is or its socket stays.

    Those that go to another namespace come last, when all that could be their parent is there.
    """
    homes: dict[tuple[bool, str], list[str]] = {}
    more: list[str] = []
    for space in spaces:
        for link in space.links:
            if link.name in FALLBACK_DEVICES:
                more.append(_unless_there(space.name, link))
            elif not isinstance(link, Veth | Loopback):
                home = (link.link_netns is not None, link.link_netns or space.name)
                homes.setdefault(home, []).extend(links.made(link, space.name))
            if isinstance(link, Wireguard):
                more.append(_keys(space.name, link))
    made = sorted(homes.items(), key=lambda item: item[0][0])  # else in the plan's order
    parts = [batch(f"ip -n {word(home)}", lines) for (_, home), lines in made]
    return "# ==== The other devices\n\n" + "\n".join(parts + more) if parts else ""


def _unless_there(space: str, link: Link) -> str:
    """Where the kernel did not put it into the namespace when that was made."""
    (command,) = links.made(link, space)
    there = f"ip -n {word(space)} link show dev {word(link.name)} > /dev/null 2>&1"
    return f"{there} || ip -n {word(space)} {command}\n"


def _keys(space: str, link: Wireguard) -> str:
    lines = ["[Interface]", f"ListenPort = {link.listen_port}"]
    lines += [f"PrivateKey = {link.private_key}"] if link.private_key else []
    lines += [f"FwMark = {link.fwmark}"] if link.fwmark else []
    for peer in link.peers:
        lines += ["[Peer]", f"PublicKey = {peer.public_key}"]
        lines += [f"PresharedKey = {peer.preshared_key}"] if peer.preshared_key else []
        lines += [f"Endpoint = {peer.endpoint}"] if peer.endpoint else []
        lines += [f"AllowedIPs = {', '.join(peer.allowed_ips)}"] if peer.allowed_ips else []
        lines += [f"PersistentKeepalive = {peer.keepalive}"] if peer.keepalive else []
    command = f"ip netns exec {word(space)} wg setconf {word(link.name)} /dev/stdin"
    return here_document(command, lines)


def _space(space: Namespace) -> str:
    """The rest of one namespace: addresses, neighbours, routes, settings, rules."""
    lines = [f"# ==== {word(space.name)} ({space.role})", ""]
    lines.append(batch(f"ip -n {space.name}", _ip_lines(space)))
    for family, ipv6 in (("-4", False), ("-6", True)):
        if rules := batch(f"ip {family} -n {space.name}", routing.rules(space.rules, ipv6=ipv6)):
            lines.append(rules)
    if space.fdb:
        lines.append(batch(f"bridge -n {space.name}", routing.fdb(space.fdb)))
    late = [setting for setting in space.sysctls if PER_DEVICE.match(setting.path)]
    if late:
        lines.append(settings(space.name, late) + "\n")
    for link in space.links:
        features = " ".join(f"{name} {('off', 'on')[on]}" for name, on in link.offloads)
        if features:
            lines.append(f"ip netns exec {space.name} ethtool -K {word(link.name)} {features}\n")
    lines += [rulesets.script(space.name, item) for item in space.ruleset]
    return "\n".join(lines)


def _ip_lines(space: Namespace) -> Iterator[str]:
    yield "link set dev lo up"
    for link in _masters_first(space):
        yield from links.settled(link)
    yield from routing.addresses(space.addresses)
    yield from routing.neighbours(space.neighbours)
    yield from routing.routes(space.routes, space.addresses)


def _masters_first(space: Namespace) -> Iterable[Link]:
    own = [link for link in space.links if not isinstance(link, Loopback)]
    return sorted(own, key=lambda link: link.master is not None)
