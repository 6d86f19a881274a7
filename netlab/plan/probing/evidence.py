"""What must be seen of an echo on the underlay, or must not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netlab.plan.headers import Stack
from netlab.plan.machines import MACHINE
from netlab.plan.probing.actions import CapturedEcho, Device, Sighting, Solicitation
from netlab.plan.probing.check import Verdict
from netlab.plan.probing.expectations import GONE

NOTHING = "nothing on the underlay"


@dataclass(frozen=True, slots=True)
class OnWire:
    """At each of these switch ports the packet is seen once, with these headers; nowhere else.

    (A switch floods frames to a MAC that it has not learned, so both ends must have sent something
    before.) `no_reply` is why the echo is not answered; None where it must be. `machine` is which
    of several one looks from; a port may be the machine's own device.
    """

    ports: Mapping[Device, Stack]
    no_reply: str | None = None
    machine: str = ""

    def judge(self, action: CapturedEcho, outcome: Sighting) -> Verdict:
        problems: list[str] = []
        evidence = ""
        for device, want in self.ports.items():
            if device[0] in outcome.lost:
                problems.append(outcome.lost[device[0]])
                continue
            seen = [stack for place, stack in outcome.seen if place == device]
            evidence = evidence or next(map(str, seen), "")
            problems += _differences(self._places([device]), want, seen)
        elsewhere = [place for place, _ in outcome.seen if place not in self.ports]
        if elsewhere:
            problems.append(f"also seen at {self._places(elsewhere, brief=True)}")
        problems += self._reply_problems(outcome.reply.error)
        expected = self._expected()
        return Verdict(expected, "; ".join(problems) or expected, not problems, evidence)

    def _expected(self) -> str:
        form = next(iter(self.ports.values())).form
        reply = f"; no echo reply: {self.no_reply}" if self.no_reply else ""
        return f"{form}, once at {self._places(self.ports)}{reply}"

    def _reply_problems(self, error: str | None) -> Iterator[str]:
        if self.no_reply is None or (error and GONE in error):
            yield from [error] if error else []
        elif error is None:
            yield "echo reply"

    def _places(self, devices: Iterable[Device], *, brief: bool = False) -> str:
        """In words: the machine's own device first, then switch ports."""
        devices = list(dict.fromkeys(devices))
        words = [f"{self.machine}'s {name}" for space, name in devices if space == MACHINE]
        ports = [device for device in devices if device[0] != MACHINE]
        if ports and brief:
            words.append(f"the port of {_devices(ports)}")
        elif ports:
            words.append(f"the port of {' and '.join(map(self._port, ports))}")
        return " and at ".join(words)

    def _port(self, device: Device) -> str:
        """The port's name: with its switch where that of another switch is named alike."""
        alike = sum(name == device[1] for _, name in self.ports)
        return f"{device[1]} on {device[0]}" if alike > 1 else device[1]


def _differences(where: str, want: Stack, seen: Sequence[Stack]) -> Iterator[str]:
    """What is wrong at one port, in words; nothing where exactly the right frame passed once."""
    if not seen:
        yield f"not seen at {where}"
    elif len(seen) > 1:
        forms = " and ".join(one.form for one in seen)
        yield f"seen {len(seen)} times at {where} ({forms})"
    elif words := "; ".join(want.differences(seen[0])):
        comma = "" if seen[0].form == want.form else ","
        yield f"{words}{comma} at {where}"


def _devices(places: Iterable[Device]) -> str:
    return ", ".join(dict.fromkeys(name for _, name in places))


def _where(places: Iterable[Device]) -> str:
    """Where something was seen: at switch ports, or at the machine's own device."""
    places = list(places)
    what = "the machine's" if places[0][0] == MACHINE else "the port of"
    return f"{what} {_devices(places)}"


@dataclass(frozen=True, slots=True)
class NotOnWire:
    """The echo is answered, and nothing of it is seen on the underlay."""

    def judge(self, action: CapturedEcho, outcome: Sighting) -> Verdict:
        problems = list(outcome.lost.values())
        evidence = "" if problems else NOTHING
        if outcome.seen:
            ports = _where(place for place, _ in outcome.seen)
            problems.append(f"seen on the underlay at {ports}")
            evidence = str(outcome.seen[0][1])
        if outcome.reply.error:
            problems.append(outcome.reply.error)
        return Verdict(NOTHING, "; ".join(problems) or NOTHING, not problems, evidence)


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The packet gets no further than the search for a next hop that is on another segment.

    `port` is the node's on its switch, `mac` and `addresses` are those under which it may ask.
    """

    port: Device
    mac: str
    addresses: tuple[str, ...]
    next_hop: str

    def judge(self, action: CapturedEcho, outcome: Sighting) -> Verdict:
        switch, node = self.port
        protocol = self._protocol
        expected = (
            f"{protocol} asks for the next hop {self.next_hop} on {switch}, nobody answers, and "
            "the packet is seen nowhere on the underlay"
        )
        about = [one for one in outcome.solicitations if one.target == self.next_hop]
        asked = [one for one in about if not one.answers and self._is_asker(one)]
        answers = {one.mac for one in about if one.answers and one.place[0] == switch}
        problems = list(outcome.lost.values())
        if not asked and switch not in outcome.lost:
            problems.append(f"no {protocol} request for {self.next_hop} at the port of {node}")
        problems += [f"{self.next_hop} is answered for by {mac}" for mac in sorted(answers)]
        if outcome.seen:
            ports = dict.fromkeys(f"{name} on {switch}" for (switch, name), _ in outcome.seen)
            problems.append(f"seen on the underlay at the port of {', '.join(ports)}")
        if outcome.reply.error and GONE in outcome.reply.error:
            problems.append(outcome.reply.error)
        if problems:
            return Verdict(expected, "; ".join(problems), False)
        evidence = (
            f"{protocol} on {switch}: {self.mac} asks who has {self.next_hop}, tell "
            f"{asked[0].address}; no answer, as that host is on another segment; so the packet to "
            f"{action.target} stays in {node} and is seen on no segment"
        )
        return Verdict(expected, expected, True, evidence)

    @property
    def _protocol(self) -> str:
        return "Neighbour discovery" if ":" in self.next_hop else "ARP"

    def _is_asker(self, one: Solicitation) -> bool:
        return (one.place, one.mac) == (self.port, self.mac) and one.address in self.addresses
