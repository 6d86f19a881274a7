"""Echoes whose ends have forgotten each other's MACs: ARP and neighbour discovery are proved.

A question teaches all of a segment who the asker is: him who is asked, and by ARP, which is
broadcast, everybody who waits for the asker's MAC. So nobody is an asker and asked at one time.
"""

from __future__ import annotations

from collections.abc import Sequence

from netlab.plan.probing.actions import ColdEcho, Device, Echo, EchoReply
from netlab.probe.engines.flush import Entry, flush
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.engines.neighbours import Neighbours

# Seconds, as PATIENCE of icmp.py: it is asked when all devices are up already; a kernel asks for a
# MAC again after one second.
_WAITS = (0.4, 0.7, 0.9)


def send_cold(echoes: Sequence[ColdEcho], neighbours: Neighbours) -> list[EchoReply]:
    """Send all echoes, round by round, and return their outcomes in the same order."""
    outcomes: dict[int, EchoReply] = {}
    for numbers in rounds(echoes):
        chosen = [echoes[number] for number in numbers]
        replies = neighbours.batches(chosen, _ends, _forget_and_send)
        outcomes.update(zip(numbers, replies, strict=True))
    return [outcomes[number] for number in range(len(echoes))]


def rounds(echoes: Sequence[ColdEcho]) -> list[list[int]]:
    """Indexes of the echoes, each in the first round where it fits."""
    found: list[_Round] = []
    for index, echo in enumerate(echoes):
        chosen = next((one for one in found if one.fits(echo)), None)
        if chosen is None:
            found.append(chosen := _Round())
        chosen.add(index, echo)
    return [one.indexes for one in found]


class _Round:
    def __init__(self) -> None:
        self.indexes: list[int] = []
        self.asking: set[Device] = set()
        self.answering: set[Device] = set()
        self.forgotten: set[tuple[str, str, str]] = set()

    def fits(self, echo: ColdEcho) -> bool:
        return (
            echo.asks not in self.answering
            and echo.answers not in self.asking
            and self.forgotten.isdisjoint(echo.forgotten)
        )

    def add(self, index: int, echo: ColdEcho) -> None:
        self.indexes.append(index)
        self.asking.add(echo.asks)
        self.answering.add(echo.answers)
        self.forgotten.update(echo.forgotten)


def _forget_and_send(echoes: Sequence[ColdEcho]) -> list[EchoReply]:
    flush(Entry(*entry) for echo in echoes for entry in echo.forgotten)
    return send_echoes([Echo(echo.namespace, echo.target) for echo in echoes], _WAITS)


def _ends(echo: ColdEcho) -> tuple[str, str]:
    return echo.namespace, echo.target
