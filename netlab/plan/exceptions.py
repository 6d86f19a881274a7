"""What `netlab diff` never compares, all of it, and why nothing of it can turn a check red.

At most eight. What one run leaves out beside them, it says itself (`Diff.not_compared`).
"""

from __future__ import annotations

import msgspec


class NotCompared(msgspec.Struct, frozen=True):
    """A class of objects that was left out of a comparison, and the reason."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


SHOWN = NotCompared(
    "settings that nobody can write in a namespace",
    "they are counters, or values of the whole kernel that a namespace only shows",
)
SECRET = NotCompared(
    "tcp_fastopen_key and stable_secret",
    "they are random or cannot be read until they are set, and no written value unsets them",
)
UNTOLD = NotCompared(
    "ra_honor_pio_life, ra_honor_pio_pflag, regen_min_advance and ioam6_id_wide of single devices",
    "the kernel does not tell them with a device; they concern router advertisements and IOAM only",
)
LEARNED = NotCompared(
    "neighbours and forwarding entries that expire, groups that ports joined, path MTUs, and XFRM "
    "states that the kernel asks a daemon to complete",
    "they are learned from packets, and learned again",
)
FOLLOWING = NotCompared(
    "counters, timers, carriers and roles in a spanning tree, of devices and their ports",
    "they follow from what is compared",
)
INEFFECTIVE = NotCompared(
    "VLAN tables of bridges, and MPLS input of single devices",
    "they have no effect while VLAN filtering and net.mpls.platform_labels are off, which are "
    "compared",
)
EXCEPTIONS = (SHOWN, SECRET, UNTOLD, LEARNED, FOLLOWING, INEFFECTIVE)
