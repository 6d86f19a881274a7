"""TUN and TAP devices (drivers/net/tun.c), made through /dev/net/tun and persistent."""

from __future__ import annotations

import socket
from typing import Any, ClassVar

from netlab.kernel import namespaces
from netlab.kernel.devices.base import Device, Names, Raw, Setting
from netlab.kernel.pyroute import linkmsg, rtnl, tuntap
from netlab.plan.links import Tun

_TYPES = {"tun": 1, "tap": 2}
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
    fixed: ClassVar[frozenset[str]] = frozenset(
        {"mode", "packet_info", "vnet_header", "multi_queue"}
    )
    # It has a real queue, so it gets the kernel's default, net.core.default_qdisc.
    qdiscs: ClassVar[frozenset[str]] = Device.qdiscs | {"pfifo_fast", "fq_codel", "fq", "mq"}
    by_netlink: ClassVar[bool] = False

    def make(self, link: Tun, namespace: str) -> int:
        data = [
            [setting.attribute, setting.write(getattr(link, setting.field))]
            for setting in self.settings
        ]
        info = {"attrs": [["IFLA_INFO_KIND", "tun"], ["IFLA_INFO_DATA", {"attrs": data}]]}
        message = linkmsg()
        message["header"]["type"] = rtnl.RTM_NEWLINK
        message.setvalue({"attrs": [["IFLA_IFNAME", link.name], ["IFLA_LINKINFO", info]]})
        message.encode()  # as pyroute2 does before it makes the device by ioctl
        with namespaces.inside(namespace):
            tuntap.manage_tun(message)
            return socket.if_nametoindex(link.name)

    def own(self, raw: Raw, names: Names) -> dict[str, Any]:
        return super().own(raw, names)
