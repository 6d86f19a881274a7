"""TUN and TAP devices (drivers/net/tun.c), made through /dev/net/tun and persistent."""

from __future__ import annotations

import socket
from typing import Any, ClassVar

from netlab.kernel.devices.base import Device, Place, Setting
from netlab.kernel.pyroute import linkmsg, rtnl
from netlab.plan.links import Tun

_TYPES = {"tun": 1, "tap": 2}
_FIELDS = ("mode", "packet_info", "vnet_header", "multi_queue")
_MODES = {number: name for name, number in _TYPES.items()}


class TunDevice(Device):
    kind: ClassVar[str] = "tun"
    link = Tun
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("mode", "IFLA_TUN_TYPE", _MODES.__getitem__, _TYPES.__getitem__),
        Setting("packet_info", "IFLA_TUN_PI", bool),
        Setting("vnet_header", "IFLA_TUN_VNET_HDR", bool),
        Setting("multi_queue", "IFLA_TUN_MULTI_QUEUE", bool),
    )
    # A program may set them when it opens the device; the kernel does not in its stead.
    fixed: ClassVar[frozenset[str]] = frozenset(_FIELDS)
    by_netlink: ClassVar[bool] = False

    def described(self, link: Tun) -> Any:
        """The device as pyroute2's message, by which it knows what to ask of /dev/net/tun."""
        message = linkmsg()
        data = [[name, value] for name, value in self.data(link, Place(0, {}), _FIELDS)]
        info = {"attrs": [["IFLA_INFO_KIND", self.kind], ["IFLA_INFO_DATA", {"attrs": data}]]}
        message["header"]["type"] = rtnl.RTM_NEWLINK
        message.setvalue({"attrs": [["IFLA_IFNAME", link.name], ["IFLA_LINKINFO", info]]})
        message.encode()
        return message

    def make(self, link: Tun) -> int:
        from pyroute2.netlink.rtnl.ifinfmsg.tuntap import manage_tun

        manage_tun(self.described(link))
        return socket.if_nametoindex(link.name)
