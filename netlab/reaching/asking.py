"""From what a program asks to an action, and to what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, get_args

from netlab.errors import BadInput, shown, unknown
from netlab.plan.probing.actions import Application, Echo, Request
from netlab.reaching.result import Question, Reach

if TYPE_CHECKING:
    from netlab.probe.engines.follow import Followed
    from netlab.running import Lab, Target

_APPLICATIONS = get_args(Application)


def ask(
    start: Target,
    target: str | Target,
    port: int | None,
    protocol: str | None,
    source: str | None,
    timeout: float,
    *,
    expected: bool,
) -> Reach:
    """Send the packet. Raises as `Target.reaches` says."""
    spoken = protocol or ("icmp" if port is None else "tcp")
    _check(spoken, port, source, timeout)
    name, address = addressed(start.lab, target, port)
    if source and (":" in source) is not (":" in address):
        raise BadInput(f"{source} and {address} are of two address families.")
    question = Question(start, name, address, spoken, port, timeout)
    return Reach(question, _followed(start, question, source or ""), expected)


def _check(protocol: str, port: int | None, source: str | None, timeout: float) -> None:
    if protocol == "icmp":
        if port is not None:
            raise BadInput("ICMP has no ports", "leave `port` or `protocol` out")
    elif protocol not in _APPLICATIONS:
        raise unknown("protocol", protocol, ["icmp", *_APPLICATIONS])
    elif port is None or not 0 < port < 65536:
        raise BadInput(f"`port` is {shown(port)}", f"say which one is asked by {protocol}, as 8080")
    if not timeout > 0:
        raise BadInput(f"`timeout` is {shown(timeout)}", "give the seconds that an answer may take")
    if source is not None and not _is_address(source):
        raise BadInput(f"`source` is {shown(source)}", "give an address of the one that asks")


def addressed(lab: Lab, target: str | Target, port: int | None) -> tuple[str, str]:
    """What the target is called, and its address. Raises BadInput."""
    if not isinstance(target, str):
        return target.name, _own_address(lab, target.name)
    if _is_address(target):
        owner = next((name for name, ips in _owners(lab) if target in ips), None)
        return owner or target, target
    services = {one.full_name: one for one in lab.layout.services}
    services |= {one.name: one for one in lab.layout.services if one.namespace == "default"}
    known = {name for name, _ in _owners(lab)}
    if target in services and target not in known:
        service = services[target]
        if service.headless:
            raise BadInput(f"The Service {target} is headless", "ask its pods")
        if port is None:
            ports = ", ".join(str(one.port) for one in service.ports)
            raise BadInput("A Service answers at its ports alone", f"say which: {ports}")
        return f"Service {target}", str(service.cluster_ips[0])
    try:
        return target, _own_address(lab, lab.target(target).name)
    except BadInput as error:
        if "Several" in error.what:
            raise
        raise unknown("target", target, {*known, *services}) from None


def _owners(lab: Lab) -> Iterable[tuple[str, list[str]]]:
    layout = lab.layout
    outside = [layout.external] if layout.external else []
    for one in (*layout.pods, *layout.nodes, *outside):
        yield one.name, [str(ip) for ip in one.addresses]


def _own_address(lab: Lab, name: str) -> str:
    """The first address of a place. Raises BadInput for one without, as a switch."""
    found = dict(_owners(lab)).get(name) or [
        item.ip for item in lab.plan.namespaces[name].addresses if item.scope == "global"
    ]
    if not found:
        raise BadInput(f"{name} has no address that could be reached.")
    return found[0]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _followed(start: Target, question: Question, source: str) -> Followed:
    from netlab.probe.engines.follow import follow
    from netlab.probe.engines.sockets import Unavailable

    lab = start.lab
    action: Echo | Request
    if question.port is None:
        action = Echo(start.name, question.address, source=source)
    else:
        action = Request(
            start.name, question.address, question.port, question.protocol, source=source
        )
    spaces = list(lab.plan.namespaces)
    segments = [name for name, space in lab.plan.namespaces.items() if space.role == "switch"]
    try:
        return lab.run_inside(lambda: follow(action, spaces, segments, question.timeout))
    except Unavailable as error:
        raise BadInput(f"{start.name} cannot be asked: {error}.") from None
