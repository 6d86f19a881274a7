"""What must come of an action: values that judge its outcome."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from netlab.plan.probing.actions import (
    Action,
    Call,
    ColdEcho,
    Delivery,
    Echo,
    EchoReply,
    GsoPacket,
    HairpinFrame,
    Heard,
    Inspection,
    Namespaces,
    Refusal,
    Request,
    Response,
    Together,
)
from netlab.plan.probing.check import Verdict

A = TypeVar("A", bound=Action, contravariant=True)

GONE = "is gone"  # in the words for a namespace or device that is not there: never as expected


class Expectation(Protocol[A]):
    def judge(self, action: A, outcome: Any) -> Verdict:
        """The verdict on what came of the action."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """The echo is answered."""

    def judge(self, action: Echo, outcome: EchoReply) -> Verdict:
        return _echo("echo reply", action, outcome, ok=outcome.error is None)


@dataclass(frozen=True, slots=True)
class NoReply:
    """The echo is not answered, for a reason. What is gone is no reason."""

    reason: str

    def judge(self, action: Echo, outcome: EchoReply) -> Verdict:
        ok = outcome.error is not None and GONE not in outcome.error
        return _echo(f"no echo reply: {self.reason}", action, outcome, ok=ok)


def _echo(expected: str, action: Echo, outcome: EchoReply, *, ok: bool) -> Verdict:
    if outcome.error:
        return Verdict(expected, outcome.error, ok)
    seconds = f"{outcome.seconds * 1000:.3f} ms"
    evidence = f"reply from {action.target}, ttl {outcome.ttl}, {seconds}"
    return Verdict(expected, "echo reply", ok, evidence)


@dataclass(frozen=True, slots=True)
class Answer:
    """The responder `POD CONTAINER` answers, and has seen one of `clients` as its client.

    Any other client means that the path translates addresses where it must not, or does not where
    it must.
    """

    by: str
    clients: tuple[str, ...]

    def judge(self, action: Request, outcome: Response) -> Verdict:
        asked = f"{action.protocol.upper()} {action.port}"
        expected = f"{asked}: {self.by} answers {' or '.join(self.clients)}"
        if outcome.error:
            return Verdict(expected, f"{asked}: {outcome.failure}", False)
        ok = outcome.responder == self.by and outcome.client in self.clients
        client = outcome.body.rpartition(" ")[2]
        return Verdict(
            expected,
            f"{asked}: {outcome.responder} answers {outcome.client}",
            ok,
            f"client seen as {client}, {outcome.seconds * 1000:.2f} ms",
        )


@dataclass(frozen=True, slots=True)
class SeenAs:
    """The target answers, and has seen the caller under the address `client`."""

    client: str

    def judge(self, action: Call, outcome: Heard) -> Verdict:
        spoken = action.protocol.upper()
        expected = f"{spoken}: seen as {self.client}"
        if outcome.error:
            return Verdict(expected, f"{spoken}: {outcome.error}", False)
        observed = f"{spoken}: seen as {outcome.client}"
        evidence = f"{outcome.seconds * 1000:.2f} ms"
        return Verdict(expected, observed, outcome.client == self.client, evidence)


@dataclass(frozen=True, slots=True)
class FoundAnew:
    """The echo is answered although neither end knows the other's MAC any more."""

    def judge(self, action: ColdEcho, outcome: EchoReply) -> Verdict:
        expected = f"echo reply, MACs asked for by {action.protocol.upper()}"
        if outcome.error:
            return Verdict(expected, outcome.error, False)
        evidence = f"reply from {action.target}, {outcome.seconds * 1000:.3f} ms"
        return Verdict(expected, expected, True, evidence)


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody listens: the connection is refused, and not merely without an answer."""

    reason: str = ""

    def judge(self, action: Request, outcome: Response) -> Verdict:
        asked = f"{action.protocol.upper()} {action.port} on {action.address}"
        observed = outcome.error or f"answered by {outcome.body}"
        refused = "connection refused"
        expected = f"{asked}: {refused}" + (f": {self.reason}" if self.reason else "")
        return Verdict(expected, f"{asked}: {observed}", observed == refused)


@dataclass(frozen=True, slots=True)
class PathMtu:
    """Packets of `limit` bytes pass whole, and longer ones are refused, with the MTU that fits.

    By the sender's own kernel; or where its device takes more than the path, by somebody there.
    """

    limit: int

    def judge(self, action: Together, outcome: Sequence[EchoReply | Refusal]) -> Verdict:
        passed = f"{self.limit} bytes pass whole"
        lost = outcome[0].error
        expected, observed = [passed], [f"{self.limit} bytes: {lost}" if lost else passed]
        ok = lost is None
        for part, refused in zip(action.parts[1:], outcome[1:], strict=True):
            told = refused.mtu if isinstance(refused, Refusal) else _told(refused.error)
            words = f"{part.size} are refused, MTU "
            expected.append(f"{words}{self.limit}")
            failure = refused.error or "pass whole too"
            observed.append(f"{part.size} bytes: {failure}" if told is None else f"{words}{told}")
            ok = ok and told == self.limit
        whole = "not fragmented" if action.ipv6 else "DF"
        proof = f"echo and reply of {self.limit} bytes, {whole}" if ok else ""
        return Verdict(", ".join(expected), ", ".join(observed), ok, proof)


def _told(error: str | None) -> int | None:
    """The MTU that an ICMP message tells of a packet that is too long for the path."""
    found = re.search(r"MTU (\d+)", error or "")
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Packets that a node has to forward: those that fit arrive, those that don't are refused.

    `refusers` are the addresses that may send "fragmentation needed"; the first is the one that
    should in plain words.
    """

    limit: int
    refusers: tuple[str, ...]

    def judge(self, action: Together, outcome: tuple[Delivery, Delivery]) -> Verdict:
        fits, oversize = outcome
        more = self.limit + 1
        expected = (
            f"{self.limit} bytes are forwarded, {more} refused by {self.refusers[0]}, "
            f"MTU {self.limit}"
        )
        told = oversize.refused_by in self.refusers and oversize.mtu == self.limit
        if not (fits.arrived and told):
            return Verdict(expected, f"{self.limit} bytes {fits}, {more} bytes {oversize}", False)
        packet: GsoPacket = action.parts[1]
        message = "ICMPv6 type 2 code 0" if packet.ipv6 else "ICMP type 3 code 4"
        evidence = (
            f"{message} from {oversize.refused_by} to {packet.source}, next-hop MTU {oversize.mtu}"
        )
        return Verdict(expected, expected, True, evidence)


@dataclass(frozen=True, slots=True)
class Reflected:
    """The bridge sends a frame back to the port where it came from (hairpin)."""

    def judge(self, action: HairpinFrame, outcome: str | None) -> Verdict:
        expected = "a frame to its own MAC comes back from the bridge (hairpin)"
        evidence = f"{action.device}: {action.mac} > {action.mac}"
        return Verdict(expected, outcome or expected, outcome is None, evidence)


@dataclass(frozen=True, slots=True)
class OneNetwork:
    """Two containers of a pod have one network namespace, and each all other kinds of its own.

    Where the action also asks the other container on the loopback address, it must answer there.
    """

    by: str  # its name as a responder, `POD CONTAINER`

    def judge(self, action: Together, outcome: tuple[Any, ...]) -> Verdict:
        inspected: Inspection = action.parts[0]
        found: Namespaces = outcome[0]
        expected = "one network namespace; PID, mount and UTS namespaces of their own"
        problems: list[str] = []
        for request, response in zip(action.parts[1:], outcome[1:], strict=True):
            where = _socket(request)
            expected = f"{inspected.other} answers on {where}; {expected}"
            problems += self._answer_problems(where, response)
        for name, known in ((inspected.one, found.one), (inspected.other, found.other)):
            if not known:
                problems.append(f"{name} is not running")
        if found.one and found.other:
            problems += _namespace_problems(found.one, found.other, found.pod)
        if problems or not found.one or not found.other:
            return Verdict(expected, "; ".join(problems), False)
        pids = f"{found.one['pid']} and {found.other['pid']}"
        return Verdict(expected, expected, True, f"net {found.one['net']} for both; pid {pids}")

    def _answer_problems(self, where: str, response: Response) -> Iterable[str]:
        if response.error:
            yield f"{where}: {response.failure}"
        elif response.responder != self.by:
            yield f"{where}: {response.body} answers"


def _socket(request: Request) -> str:
    host = f"[{request.address}]" if request.ipv6 else request.address
    return f"{host}:{request.port}"


def _namespace_problems(
    one: Mapping[str, int], other: Mapping[str, int], pod: int | None
) -> Iterable[str]:
    if one["net"] != other["net"]:
        yield "their network namespaces differ"
    elif pod is not None and one["net"] != pod:
        yield "their network namespace is not the pod's"
    shared = [name for name in ("pid", "mnt", "uts") if one[name] == other[name]]
    if shared:
        yield f"they share the {' and '.join(shared)} namespace"
