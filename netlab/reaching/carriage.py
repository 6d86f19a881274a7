"""How a packet crossed between nodes, told from the frames of the segments between them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from netlab.plan import headers as h

if TYPE_CHECKING:
    from netlab.probe.engines.capture import Captured
    from netlab.probe.engines.follow import Followed

CARRIERS = ("vxlan", "geneve", "ipip", "udp", "wireguard", "direct", "none")
_PADDING = 16  # bytes to a multiple of which WireGuard pads what it encrypts


def carriers(found: Followed, segments: Collection[str]) -> tuple[str, ...]:
    """In the order in which they were seen; none of a packet that was on no segment."""
    seen = dict.fromkeys(
        _kind(one.captured) for one in found.request if one.captured.namespace in segments
    )
    if not seen and found.request:
        seen = dict.fromkeys("wireguard" for _ in _encrypted(found))
    return tuple(seen)


def words(frame: Captured, segments: Collection[str]) -> str:
    """How a frame that is seen on a segment is carried, to be added to its addresses."""
    if frame.namespace not in segments or (kind := _kind(frame)) == "direct":
        return ""
    return f" in {kind}"


def _encrypted(found: Followed) -> Iterator[Captured]:
    """WireGuard's messages, while the packet was under way, that are as long as it.

    The one that others had sent of that length at the same time cannot be told from it.
    """
    first = found.request[0].captured
    length = len(first.frame) - first.packet_at
    padded = -(-length // _PADDING) * _PADDING
    for frame in found.frames:
        last = _headers(frame)[-1]
        if isinstance(last, h.Wireguard) and last.length == padded:
            yield frame


def _kind(frame: Captured) -> str:
    stack = _headers(frame)
    if any(isinstance(one, h.Wireguard) for one in stack):
        return "wireguard"
    ips = [number for number, one in enumerate(stack) if isinstance(one, h.Ip)]
    if len(ips) < 2:
        return "direct"
    between = stack[ips[-2] + 1 : ips[-1]]
    for header, name in ((h.Geneve, "geneve"), (h.Vxlan, "vxlan"), (h.Udp, "udp")):
        if any(isinstance(one, header) for one in between):
            return name
    return "ipip"


def _headers(frame: Captured) -> tuple[h.Header, ...]:
    from netlab.probe.engines.decode import decode

    return decode(frame.frame).headers
