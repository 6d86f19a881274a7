"""Echoes that are too long for their path, though not for their sender."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.kernel import path_mtu
from netlab.plan.probing.actions import Echo, EchoReply, LongEcho
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.engines.ip import family

_ICMP_HEADER = 8
_WAITS = (0.5, 0.7, 0.8)  # seconds, as PATIENCE of icmp.py


def send_longer(echoes: Sequence[LongEcho]) -> list[EchoReply]:
    """Send all; what the senders are told of their paths is forgotten again."""
    replies = send_echoes([_echo(echo) for echo in echoes], _WAITS)
    for echo in echoes:
        path_mtu.flush(echo.namespace, echo.target)
    return replies


def _echo(echo: LongEcho) -> Echo:
    headers = family(echo.ipv6).header + _ICMP_HEADER
    return Echo(echo.namespace, echo.target, bytes(echo.size - headers))
