"""MACVLAN devices (drivers/net/macvlan.c): further MAC addresses on a parent device."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

from netlab.kernel.devices.base import Device, Names, Place, Raw, Setting
from netlab.plan.links import Macvlan

_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8, "source": 16}
_NAMES = {number: name for name, number in _MODES.items()}


class MacvlanDevice(Device):
    kind: ClassVar[str] = "macvlan"
    link = Macvlan
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("mode", "IFLA_MACVLAN_MODE", _NAMES.__getitem__, _MODES.__getitem__),
    )
    fixed: ClassVar[frozenset[str]] = frozenset({"device"})
    given: ClassVar[frozenset[str]] = frozenset({"mode"})

    def parent(self, link: Macvlan, place: Place) -> int | None:
        return place.indexes[link.device]

    def own(self, raw: Raw, names: Names) -> dict[str, Any]:
        parent = names.parent(raw.values.get("IFLA_LINK"))
        return {**super().own(raw, names), "device": parent or ""}

    def must_be_made_again(self, want: Any, have: Any, fields: Collection[str]) -> bool:
        """The kernel changes modes in place, but to and from passthru (tried on 6.18)."""
        modes = {getattr(link, "mode", "") for link in (want, have)}
        return super().must_be_made_again(want, have, fields) or (
            len(modes) > 1 and "passthru" in modes
        )
