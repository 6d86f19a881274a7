"""Intermediate functional block devices (drivers/net/ifb.c): a queue for what comes in."""

from __future__ import annotations

from typing import ClassVar

from netlab.kernel.devices.base import Device
from netlab.plan.links import Ifb


class IfbDevice(Device):
    kind: ClassVar[str] = "ifb"
    link = Ifb
    fixed: ClassVar[frozenset[str]] = frozenset({"mac"})
