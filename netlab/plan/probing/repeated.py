"""One question asked many times, where chance decides who answers."""

from __future__ import annotations

from typing import NamedTuple

from netlab.plan.probing.actions import Request


class Repeated(NamedTuple):
    """A request so many `times`, by connections of their own; the outcome is as many responses."""

    request: Request
    times: int

    @property
    def ipv6(self) -> bool:
        return self.request.ipv6

    @property
    def places(self) -> tuple[str, ...]:
        return self.request.places

    @property
    def protocol(self) -> str:
        return self.request.protocol
