"""Devices of kinds without a file of their own: seen and named, never made or changed."""

from __future__ import annotations

from typing import Any, ClassVar

from netlab.kernel.devices.base import Device, Names, Raw
from netlab.plan.links import Other


class OtherDevice(Device):
    kind: ClassVar[str] = "other"
    link = Other
    makes: ClassVar[bool] = False

    def own(self, raw: Raw, names: Names) -> dict[str, Any]:
        return {"type": raw.kind or "device"}
