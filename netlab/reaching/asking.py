"""From what a program asks to an action, and to what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

from netlab.errors import BadInput, shown, unknown
from netlab.plan.probing.actions import Application, Echo, Request
from netlab.reaching.place import AnyLab, Place, segments
from netlab.reaching.result import Protocol, Question, Reach
from netlab.topology.cidr import is_address
from netlab.topology.resolved import ExternalSpec, NodeSpec, PodSpec

if TYPE_CHECKING:
    from netlab.probe.engines.follow import Followed

_PORTS = 1 << 16
_APPLICATIONS: tuple[Application, ...] = get_args(Application)


def ask(
    start: Place,
    target: str | Place,
    port: int | None,
    protocol: str | None,
    source: str | None,
    timeout: float,
    *,
    expected: bool,
) -> Reach:
    """Send the packet. Raises as `Reaching.reaches` says."""
    spoken = _spoken(protocol or ("icmp" if port is None else "tcp"), port)
    _check(source, timeout)
    name, address = addressed(start.lab, target, port)
    if source and (":" in source) is not (":" in address):
        raise BadInput(f"{source} and {address} are of two address families.")
    question = Question(start, name, address, spoken, port, timeout)
    found = _followed(start, question, source or "")
    if expected and found.outcome.silent:
        # A packet may be lost where all is well: a loaded host connects a new device late.
        found = _followed(start, question, source or "")
    return Reach(question, found, expected)


def _spoken(protocol: str, port: int | None) -> Protocol:
    """The protocol, with a port where it has ports. Raises BadInput."""
    if protocol == "icmp":
        if port is not None:
            raise BadInput("ICMP has no ports", "leave `port` or `protocol` out")
        return "icmp"
    for known in _APPLICATIONS:
        if protocol == known:
            if port is None or not 0 < port < _PORTS:
                words = f"say which one is asked by {protocol}, as 8080"
                raise BadInput(f"`port` is {shown(port)}", words)
            return known
    raise unknown("protocol", protocol, ["icmp", *_APPLICATIONS])


def _check(source: str | None, timeout: float) -> None:
    if not timeout > 0:
        raise BadInput(f"`timeout` is {shown(timeout)}", "give the seconds that an answer may take")
    if source is not None and not is_address(source):
        raise BadInput(f"`source` is {shown(source)}", "give an address of the one that asks")


def addressed(lab: AnyLab, target: str | Place, port: int | None) -> tuple[str, str]:
    """What the target is called, and its address. Raises BadInput."""
    if not isinstance(target, str):
        return target.name, _own_address(lab, target.name)
    if is_address(target):
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


def _owners(lab: AnyLab) -> Iterable[tuple[str, list[str]]]:
    layout = lab.layout
    places: list[PodSpec | NodeSpec | ExternalSpec] = [*layout.pods, *layout.nodes]
    for one in [*places, *([layout.external] if layout.external else [])]:
        yield one.name, [str(ip) for ip in one.addresses]


def _own_address(lab: AnyLab, name: str) -> str:
    """The first address of a place. Raises BadInput for one without, as a switch."""
    found = dict(_owners(lab)).get(name) or [
        item.ip for item in lab.plan.namespaces[name].addresses if item.scope == "global"
    ]
    if not found:
        raise BadInput(f"{name} has no address that could be reached.")
    return found[0]


def _followed(start: Place, question: Question, source: str) -> Followed:
    from netlab.probe.engines.follow import follow
    from netlab.probe.engines.sockets import Unavailable

    lab = start.lab
    action: Echo | Request
    if question.protocol == "icmp" or question.port is None:
        action = Echo(start.name, question.address, source=source)
    else:
        ends = start.name, question.address, question.port
        action = Request(*ends, question.protocol, source=source)
    spaces = list(lab.plan.namespaces)
    try:
        return lab.run_inside(lambda: follow(action, spaces, segments(lab), question.timeout))
    except Unavailable as error:
        raise BadInput(f"{start.name} cannot be asked: {error}.") from None
