"""What came of a question, and what is claimed about it: a value that says why it is not so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from netlab.errors import BadInput, LabUnavailable, unknown
from netlab.plan.probing.actions import Response
from netlab.reaching import carriage
from netlab.reaching.largest import largest, smallest
from netlab.reaching.place import Place, segments
from netlab.topology.cidr import is_address

if TYPE_CHECKING:
    from netlab.plan.diff import Diff
    from netlab.probe.engines.follow import Followed, Seen

Protocol = Literal["icmp", "tcp", "udp", "http"]
_MOST_PLACES = 24  # of a way that is told
_MOST_DIFFERENCES = 8


@dataclass(frozen=True, slots=True)
class Question:
    """Who was asked what: `name` is what has the `address`, `port` None for ICMP."""

    start: Place
    name: str
    address: str
    protocol: Protocol
    port: int | None
    timeout: float

    def __str__(self) -> str:
        whom = self.name if self.name == self.address else f"{self.name} ({self.address})"
        port = "" if self.port is None else f" at port {self.port}"
        return f"{whom}{port} by {self.protocol.upper()}"


@dataclass(frozen=True, slots=True)
class Claim:
    """Something said of the way, and how it is instead where it does not hold."""

    holds: bool
    instead: str


@dataclass(frozen=True, slots=True, repr=False)
class Reach:
    """Whether somebody was reached; it is true where that, and all that is claimed of it, holds.

    Each claim returns a new value, so that they can be joined.
    """

    question: Question
    found: Followed
    expected: bool = True
    claims: tuple[Claim, ...] = ()

    def __bool__(self) -> bool:
        return self.reached is self.expected and all(claim.holds for claim in self.claims)

    @property
    def reached(self) -> bool:
        """Whether an answer came; of TCP, whether there was a connection."""
        outcome = self.found.outcome
        if self.question.protocol == "tcp" and isinstance(outcome, Response):
            return outcome.connected
        return outcome.error is None

    @property
    def seconds(self) -> float:
        """How long the answer took."""
        return self.found.outcome.seconds

    @property
    def carriers(self) -> tuple[str, ...]:
        """How the packet crossed between nodes, as `via` calls it."""
        return carriage.carriers(self.found, self._segments)

    @property
    def seen_from(self) -> str | None:
        """The address from which it arrived; None where it did not, or nobody can tell."""
        outcome = self.found.outcome
        if isinstance(outcome, Response) and (client := _client(outcome)):
            return client
        arrived = self._arrived
        return arrived.source if arrived else None

    def via(self, carrier: str) -> Reach:
        """It crossed between nodes so and not otherwise: by `vxlan`, `geneve`, `ipip`, `udp` or
        `wireguard`, `direct` without any of them, or by `none` where it did not leave its node.
        """
        if carrier not in carriage.CARRIERS:
            raise unknown("carrier", carrier, carriage.CARRIERS)
        seen = self.carriers
        holds = seen == ((carrier,) if carrier != "none" else ())
        return self._claimed(holds, f"via {' and '.join(seen) or 'none'}, not {carrier}")

    def seen_as(self, address: str) -> Reach:
        """The other end saw it come from that address."""
        seen = self.seen_from
        words = f"seen as {seen}" if seen else "seen by nobody"
        return self._claimed(seen == address, f"{words}, not as {address}")

    def mtu(self, size: int) -> Reach:
        """A packet of so many bytes, its IP header included, passes whole, and none that is larger.

        It is sent now, as ICMP echoes that must not be fragmented.
        """
        start, address = self.question.start, self.question.address
        if size < smallest(address):
            raise BadInput(f"No echo has {size} bytes", "give the size of the whole IP packet")
        space, timeout = start.name, self.question.timeout
        most = start.lab.run_inside(lambda: largest(space, address, size, timeout))
        words = f"packets of up to {most} bytes pass" if most else "no echo of any size passes"
        return self._claimed(most == size, f"{words}, not {size}")

    def _claimed(self, holds: bool, instead: str) -> Reach:
        return replace(self, claims=(*self.claims, Claim(holds, instead)))

    def __repr__(self) -> str:
        return f"<{self.summary}>"

    @property
    def summary(self) -> str:
        """In one line."""
        outcome, start = self.found.outcome, self.question.start.name
        if not self.reached:
            words = outcome.failure if isinstance(outcome, Response) else outcome.error
            line = f"{start} does not reach {self.question}: {words}"
        else:
            line = f"{start} reaches {self.question} in {outcome.seconds * 1000:.1f} ms"
        wrong = [claim.instead for claim in self.claims if not claim.holds]
        return "; ".join([line, *wrong])

    def explain(self) -> list[str]:
        """What was sent, where it and its answer were seen, and how the lab differs from its plan.

        The lab is compared now.
        """
        request, reply = self.found.request, self.found.reply
        lines = [self.summary, *self._sent(request)]
        lines += self._way("seen at", "last seen", request)
        if reply:
            lines += self._way("answer at", "answer last seen", reply)
        elif not self.reached and request and self.question.protocol != "udp":
            lines.append(_line("answer", "seen nowhere"))
        lost = self.found.lost.items()
        lines += [_line("captured", f"nothing of {name}, {why}") for name, why in lost]
        if self.found.dropped:
            lines.append(_line("captured", f"not all, {self.found.dropped} frames were lost"))
        return lines + self._differences()

    def _sent(self, request: tuple[Seen, ...]) -> list[str]:
        question = self.question
        what = {"icmp": "ICMP echo", "udp": "UDP datagram"}.get(question.protocol, "TCP SYN")
        port = "" if question.port is None else f" port {question.port}"
        if not request:
            nothing = f"nothing left {question.start.name}: no {what} was seen anywhere"
            return [_line("sent", nothing)]
        first = request[0]
        return [_line("sent", f"{what} {first.source} > {first.destination}{port}")]

    def _way(self, title: str, last: str, seen: tuple[Seen, ...]) -> list[str]:
        if not seen:
            return []
        places = list(dict.fromkeys(_place(one) for one in seen))
        shown = places[:_MOST_PLACES] + ["…"] * (len(places) > _MOST_PLACES)
        end = seen[-1]
        direction = "received" if end.captured.direction == "in" else "sent"
        how = carriage.words(end.captured, self._segments)
        ends = f"{'ICMP error ' * end.error}{end.source} > {end.destination}{how}"
        return [
            _line(title, ", ".join(shown)),
            _line(last, f"{_place(end)}, {direction}, {ends}"),
        ]

    def _differences(self) -> list[str]:
        try:
            diff = self.question.start.lab.diff()
        except LabUnavailable as error:
            return [_line("compared", f"not, {error}")]
        return differences(diff)

    @property
    def _arrived(self) -> Seen | None:
        """The packet as it came in where it was seen last."""
        received = [one for one in self.found.request if one.captured.direction == "in"]
        if not received:
            return None
        end = received[-1]
        known = self.question.start.lab.plan.namespaces
        if self.question.name in known and end.captured.namespace != self.question.name:
            return None
        return end

    @property
    def _segments(self) -> frozenset[str]:
        return segments(self.question.start.lab)


def differences(diff: Diff) -> list[str]:
    """The first differences between kernel and plan, a line each."""
    if diff.ok:
        return [_line("compared", "the kernel equals the plan")]
    lines = [f"missing    {item}" for item in diff.missing]
    lines += [f"unexpected {item}" for item in diff.unexpected]
    lines += [f"changed    {item}" for item in diff.changed]
    more = len(lines) - _MOST_DIFFERENCES
    shown = [f"  {line}" for line in lines[:_MOST_DIFFERENCES]]
    return [
        "the kernel differs from the plan:",
        *shown,
        *([f"  and {more} more"] if more > 0 else []),
    ]


def _line(title: str, words: str) -> str:
    return f"{title + ':':<10} {words}"


def _place(seen: Seen) -> str:
    return f"{seen.captured.namespace}/{seen.captured.device}"


def _client(outcome: Response) -> str:
    """What netlab's server says that it saw; empty where another one answered."""
    return outcome.client if len(outcome.body.split()) == 3 and is_address(outcome.client) else ""
