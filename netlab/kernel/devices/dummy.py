"""Dummy devices (drivers/net/dummy.c): a device that drops what it is given."""

from __future__ import annotations

from typing import ClassVar

from netlab.kernel.devices.base import Device
from netlab.plan.links import Dummy


class DummyDevice(Device):
    kind: ClassVar[str] = "dummy"
    link = Dummy
