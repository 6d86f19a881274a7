"""The largest packet that reaches somebody whole; to be found inside the sandbox."""

from __future__ import annotations

_ICMP_HEADER = 8
_AT_ONCE = 24  # sizes that are tried at a time
_MOST = 65535  # bytes of an IP packet
_QUIET = 0.3  # seconds to wait for what should not come


def largest(space: str, address: str, expected: int, timeout: float) -> int:
    """In bytes, IP header included; 0 where no echo passes. What is `expected` is tried first."""
    if _passing(space, address, [expected, expected + 1], timeout) == {expected}:
        return expected
    low, high = smallest(address) - 1, _MOST + 1  # the one passes, the other does not
    while high - low > 1:
        step = max((high - low) // (_AT_ONCE + 1), 1)
        sizes = list(range(low + step, high, step))
        passed = _passing(space, address, sizes, timeout)
        best = max(passed, default=low)
        high = min([size for size in sizes if size > best] + [high])
        low = best
    return 0 if low < smallest(address) else low


def smallest(address: str) -> int:
    """The bytes of an echo without a payload, IP header included."""
    return (40 if ":" in address else 20) + _ICMP_HEADER


def _passing(space: str, address: str, sizes: list[int], timeout: float) -> set[int]:
    """Those of the sizes of which a reply comes; nothing is remembered of the path's MTU."""
    from netlab.kernel import path_mtu
    from netlab.plan.probing.actions import Echo
    from netlab.probe.engines.icmp import send_echoes

    path_mtu.flush(space, address)
    wait = min(timeout, _QUIET)
    echoes = [Echo(space, address, bytes(size - smallest(address))) for size in sizes]
    replies = send_echoes(echoes, waits=(wait,))
    path_mtu.flush(space, address)
    return {size for size, reply in zip(sizes, replies, strict=True) if reply.error is None}
