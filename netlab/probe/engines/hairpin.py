"""Frames from a pod to its own MAC, put on its device as they are, and whether they come back."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from netlab.plan.probing.actions import HairpinFrame
from netlab.probe.engines.polling import until
from netlab.probe.engines.sockets import (
    TIMEOUT,
    Unavailable,
    close_aside,
    in_words,
    open_packet,
)

HAIRPIN_TYPE = 0x88B5  # IEEE 802: an EtherType for local experiments


def send_frames(frames: Sequence[HairpinFrame], timeout: float = TIMEOUT) -> list[str | None]:
    """Whether each device's frame to itself came back: None, or what happened instead."""
    outcomes: list[str | None] = [f"nothing came back in {timeout:.1f} s"] * len(frames)
    waiting: dict[int, tuple[int, socket.socket]] = {}
    try:
        for index, item in enumerate(frames):
            try:
                opened = open_packet(item.namespace, item.device, HAIRPIN_TYPE)
                waiting[opened.fileno()] = (index, opened)
                own = bytes.fromhex(item.mac.replace(":", ""))
                opened.send(own + own + struct.pack("!H", HAIRPIN_TYPE) + b"netlab".ljust(46))
            except Unavailable as error:
                outcomes[index] = str(error)
            except OSError as error:
                outcomes[index] = in_words(error)

        def came_back(number: int) -> bool:
            outcomes[waiting[number][0]] = None
            return True

        until(list(waiting), came_back, timeout)
    finally:
        close_aside(opened for _, opened in waiting.values())
    return outcomes
