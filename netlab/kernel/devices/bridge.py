"""Bridges (net/bridge/br_netlink.c). Each of these settings changes in place (tried on 6.18)."""

from __future__ import annotations

from typing import ClassVar

from netlab.kernel.devices.base import Device, Setting
from netlab.plan.links import Bridge


class BridgeDevice(Device):
    kind: ClassVar[str] = "bridge"
    link = Bridge
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("ageing_time", "IFLA_BR_AGEING_TIME"),
        Setting("stp", "IFLA_BR_STP_STATE", bool),
        Setting("priority", "IFLA_BR_PRIORITY"),
        Setting("vlan_filtering", "IFLA_BR_VLAN_FILTERING", bool),
        Setting("group_fwd_mask", "IFLA_BR_GROUP_FWD_MASK"),
        Setting("mcast_snooping", "IFLA_BR_MCAST_SNOOPING", bool),
    )
