"""A plan as a stand-alone shell script of `ip`, `bridge`, `nft` and writes under /proc/sys.

`netlab plan --sh` is the whole lab with no netlab in it: to read what the engine does in commands
everyone knows, and to compare the engine with. The script makes namespaces of its own for
everything, so it changes nothing on the host and leaves nothing behind.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from netlab.errors import BadInput
from netlab.plan.shell_text import CONTAINERS, FINISH, HEADER, SANDBOX, SERVER, SETTINGS
from netlab.plan.types import (
    LOCALHOST,
    LOOPBACK,
    Address,
    Daemon,
    Link,
    Namespace,
    Plan,
    Route,
    Sysctl,
    Vxlan,
)

# What a word may hold where ip, bridge and nft parse it themselves and quoting does not help.
PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./][A-Za-z0-9_@%+=:,./-]*")
# 1 is IN6_ADDR_GEN_MODE_NONE: a pod's devices get no IPv6 link-local address.
NO_LINK_LOCAL = Sysctl("net/ipv6/conf/default/addr_gen_mode", "1")
PER_DEVICE = re.compile(r"net/ipv[46]/(conf|neigh)/(?!all/|default/)")


def render(plan: Plan, server_source: str) -> str:
    """The script. `server_source` is the Python program that default containers run.

    Raises BadInput for a name in the plan which these tools could not read.
    """
    spaces = list(plan.namespaces.values())
    serving = any(_serves(daemon) for space in spaces for daemon in space.daemons)
    tools = ["ip", "bridge", "unshare"]
    tools += ["nft"] if any(space.ruleset for space in spaces) else []
    tools += ["hostname"] if any(space.daemons for space in spaces) else []
    tools += ["python3"] if serving else []
    parts = [
        HEADER.format(title=" ".join(plan.topology.split()), count=len(spaces)),
        SANDBOX.format(tools=" ".join(tools)),
        SETTINGS,
        _spaces(spaces),
        _cables(spaces),
        *(_space(space) for space in spaces),
    ]
    if serving:
        parts.append(SERVER + _here_document('cat > "$dir/server.py"', server_source.splitlines()))
    if any(space.daemons for space in spaces):
        parts += [CONTAINERS, "\n".join(_daemons(spaces)) + "\n"]
    hint = next((space.name for space in spaces if space.role == "pod"), spaces[0].name)
    return "\n".join([*parts, FINISH.format(hint=shlex.quote(hint))])


def _spaces(spaces: list[Namespace]) -> str:
    """Every namespace, and those of its settings that must be there before any device is."""
    lines = ["# ==== The namespaces, and the settings that new devices must find", ""]
    lines.append(_batch("ip", (f"netns add {_word(space.name)}" for space in spaces)))
    for space in spaces:
        early = [setting for setting in space.sysctls if not PER_DEVICE.match(setting.path)]
        early += [NO_LINK_LOCAL] if space.role == "pod" else []
        if early:
            lines.append(_settings(space, early))
    return "\n".join(lines) + "\n"


def _cables(spaces: list[Namespace]) -> str:
    """Every veth, once, with its two ends made in the namespaces they belong to."""
    lines: list[str] = []
    done: set[tuple[str, str]] = set()
    links = {(space.name, link.name): link for space in spaces for link in space.links}
    for (space, name), link in links.items():
        if link.peer is None or (space, name) in done:
            continue
        ends = [(space, link), (link.peer.namespace, links[link.peer.namespace, link.peer.link])]
        ends.reverse()  # what is plugged in (node, pod) first, then where (switch, node)
        done.update((where, end.name) for where, end in ends)
        here, there = (_end(where, end) for where, end in ends)
        lines.append(f"link add {here} type veth peer {there}")
    if not lines:
        return ""
    return (
        "# ==== The cables: veth pairs, both ends made in the namespaces they belong to\n\n"
        + _batch("ip", lines)
    )


def _end(space: str, link: Link) -> str:
    return f"name {_word(link.name)} netns {_word(space)} {_basics(link)}"


def _basics(link: Link) -> str:
    return f"address {_word(link.mac)} mtu {link.mtu} txqueuelen {link.txqlen}"


def _space(space: Namespace) -> str:
    """All of one namespace: its devices, addresses, neighbours, routes, settings, rules."""
    lines = [f"# ==== {_word(space.name)} ({space.role})", ""]
    lines.append(_batch(f"ip -n {space.name}", _ip_lines(space)))
    if space.fdb:
        entries = (
            f"fdb add {_word(entry.mac)} dev {_word(entry.link)} dst {_word(entry.destination)} "
            "self permanent"
            for entry in space.fdb
        )
        lines.append(_batch(f"bridge -n {space.name}", entries))
    late = [setting for setting in space.sysctls if PER_DEVICE.match(setting.path)]
    if late:
        lines.append(_settings(space, late) + "\n")
    if space.ruleset:
        script = "".join(table.script for table in space.ruleset).splitlines()
        lines.append(_here_document(f"ip netns exec {space.name} nft -f -", script))
    return "\n".join(lines)


def _ip_lines(space: Namespace) -> Iterator[str]:
    yield "link set dev lo up"
    # Bridges before their ports; a VXLAN device after what it sends through.
    links = [link for link in space.links if link != LOOPBACK]
    for link in sorted(links, key=lambda link: link.kind != "bridge"):
        name = _word(link.name)
        if link.kind == "bridge":
            yield f"link add name {name} {_basics(link)} type bridge"
        elif link.vxlan:
            yield f"link add name {name} {_basics(link)} type vxlan {_vxlan(link.vxlan)}"
        if link.master:
            yield f"link set dev {name} master {_word(link.master)}"
        if link.hairpin:
            yield f"link set dev {name} type bridge_slave hairpin on"
        if link.up:
            yield f"link set dev {name} up"
    yield from (_address(item) for item in space.addresses if item != LOCALHOST)
    for entry in space.neighbours:
        mac, device = _word(entry.mac), _word(entry.link)
        yield f"neigh add {_word(entry.address)} lladdr {mac} dev {device} nud permanent"
    # Connected routes come with the addresses.
    yield from (_route(item) for item in space.routes if not item.connected)


def _vxlan(vxlan: Vxlan) -> str:
    return (
        f"id {vxlan.vni} dstport {vxlan.port} local {_word(vxlan.local)} dev {_word(vxlan.device)} "
        f"{'learning' if vxlan.learning else 'nolearning'}{' gbp' if vxlan.gbp else ''}"
    )


def _address(address: Address) -> str:
    """A /31 and a /32 have no broadcast address."""
    broadcast = " brd +" if int(address.address.partition("/")[2]) <= 30 else ""
    return f"addr add {_word(address.address)}{broadcast} dev {_word(address.link)}"


def _route(route: Route) -> str:
    destination = "default" if route.destination == "0.0.0.0/0" else _word(route.destination)
    via = f" via {_word(route.gateway)}" if route.gateway else ""
    metric = f" metric {route.metric}" if route.metric else ""
    onlink = " onlink" if route.onlink else ""
    return f"route add {destination}{via} dev {_word(route.link)}{metric}{onlink}"


def _settings(space: Namespace, settings: Iterable[Sysctl]) -> str:
    words = (shlex.quote(f"{setting.path}={setting.value}") for setting in settings)
    return " ".join(["settings", space.name, *words])


def _daemons(spaces: Iterable[Namespace]) -> Iterator[str]:
    """One line for each container, and for each server one that waits for it."""
    ready = []
    for space in spaces:
        for daemon in space.daemons:
            start = [space.name, _word(daemon.name), shlex.quote(daemon.hostname)]
            yield " ".join(["container", *start, *_command(daemon)])
            if _serves(daemon):
                ready.append(f"listening {space.name} {daemon.port:04X}  # port {daemon.port}")
    yield from ready


def _serves(daemon: Daemon) -> bool:
    return daemon.command is None


def _command(daemon: Daemon) -> list[str]:
    if daemon.command is not None:
        return [shlex.quote(word) for word in daemon.command]
    options = {
        "--pod": daemon.hostname,
        "--container": daemon.name,
        "--port": str(daemon.port),
        "--local-port": str(daemon.local_port),
    }
    words = [f"{option} {shlex.quote(value)}" for option, value in options.items()]
    return ["python3", '"$dir/server.py"', *words]


def _word(text: str) -> str:
    if not PLAIN.fullmatch(text):
        raise BadInput(f"The name {text!r} cannot be put into a script of ip commands.")
    return text


def _batch(command: str, lines: Iterable[str]) -> str:
    return _here_document(f"{command} -batch -", lines)


def _here_document(command: str, lines: Iterable[str]) -> str:
    """A command with text on its standard input, in which the shell expands nothing."""
    content = list(lines)
    end = "END"
    while end in content:
        end += "_"
    return "\n".join([f"{command} <<'{end}'", *content, end, ""])
