"""The loopback device, which every namespace has; it is brought up and otherwise left alone."""

from __future__ import annotations

from typing import ClassVar

from netlab.kernel.devices.base import Device
from netlab.plan.links import Loopback


class LoopbackDevice(Device):
    kind: ClassVar[str] = "loopback"
    link = Loopback
    makes: ClassVar[bool] = False
