"""What passes devices of a running lab: which are meant, and how a capture of them begins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from netlab.errors import BadInput, shown
from netlab.plan.machines import MACHINE
from netlab.plan.types import Plan
from netlab.topology.cidr import is_address

if TYPE_CHECKING:
    from netlab.captures import Capture
    from netlab.kernel.sandbox import Keeper
    from netlab.probe.engines.recording import Wanted

RING = 64 << 20  # bytes that a capture without a file holds, unless it is told otherwise


class Place(Protocol):
    """A namespace of the lab."""

    @property
    def name(self) -> str:
        """How the plan calls it."""
        ...


class Capturing(ABC):
    """What of a running lab captures need."""

    keeper: Keeper

    @property
    @abstractmethod
    def plan(self) -> Plan:
        """What the lab is to be."""

    @abstractmethod
    def target(self, name: str) -> Place:
        """A namespace of the lab by name or address."""

    def capture(
        self,
        *targets: str,
        filter: str = "",
        file: str | Path | None = None,
        ring: int = 0,
    ) -> Capture:
        """Record what passes devices of the lab, in the background, inside `with`.

        A target is `pod-1-1`, with all its devices, or `pod-1-1:eth0`, or has an address in place
        of the name; without any it is the whole lab. `filter` is an expression as tcpdump takes
        it. Frames go into a pcapng `file` as they come, or the newest stay in memory, as many as
        `ring` bytes hold (64 MiB if not said), to be saved when wanted.
        Raises BadInput, and Unmet for a filter where libpcap is not there.
        """
        from netlab.probe.engines.libpcap import Filter, compiled
        from netlab.probe.engines.recording import Wanted

        if file is not None and ring:
            raise BadInput("A capture has a file or a ring, not both.")
        if ring < 0:
            raise BadInput(f"The ring {ring} is not a number of bytes.")
        filtered = compiled(filter) if filter else Filter()
        into: Literal["file", "ring"] = "ring" if file is None else "file"
        return self.recording(
            Wanted(self.devices(targets), filtered, into, ring=ring or RING), file
        )

    def recording(self, wanted: Wanted, file: int | str | Path | None = None) -> Capture:
        """As `capture`, for who says all that is wanted; `file` may be a descriptor."""
        from netlab.captures import Capture

        return Capture(self.keeper, wanted, file)

    def devices(self, targets: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """The devices that targets name, by their namespaces, none standing for all of it.

        Raises BadInput. Whether there is such a device only the kernel can tell.
        """
        if not targets:
            return {name: () for name in self.plan.namespaces if name != MACHINE}
        found: dict[str, dict[str, None]] = {}
        whole = set()
        for name, device in map(self._split, targets):
            devices = found.setdefault(name, {})
            if device:
                devices[device] = None
            else:
                whole.add(name)
        return {name: () if name in whole else tuple(devices) for name, devices in found.items()}

    def _split(self, text: str) -> tuple[str, str]:
        """The namespace and the device of a target; "" for all. IPv6 addresses have colons too."""
        place, colon, device = text.rpartition(":")
        try:
            return self.target(text.strip("[]")).name, ""
        except BadInput:
            if not colon or is_address(text):
                raise
        if not device:
            raise BadInput(f"The target {shown(text)} has no device after its colon.")
        return self.target(place.strip("[]")).name, device
