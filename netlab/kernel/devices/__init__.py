"""A file for each kind of network device, which the registry finds; nothing else names them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterable

from netlab.kernel.devices.base import PORT, Device, Raw
from netlab.kernel.netlink import Netlink, request
from netlab.kernel.pyroute import linkmsg, rtnl
from netlab.kernel.readers import Reader
from netlab.plan.links import FALLBACK_DEVICES, Link

_SKIP_STATISTICS = 1 << 3  # RTEXT_FILTER_SKIP_STATS
_INFO = ("LINKINFO", "INFO_KIND", "INFO_DATA", "INFO_SLAVE_KIND", "INFO_SLAVE_DATA")
_STATE = frozenset({"IFLA_IFNAME", "IFLA_OPERSTATE", "IFLA_LINKINFO", "IFLA_INFO_KIND"})
_ATTRIBUTES = _STATE.union(
    (f"IFLA_{name}" for name in ("ADDRESS", "MTU", "TXQLEN", "MASTER", "LINK", "LINK_NETNSID")),
    (f"IFLA_{name}" for name in (*_INFO, "IFALIAS", "AF_SPEC", "INET6_ADDR_GEN_MODE")),
    ("AF_INET", "AF_INET6", "IFLA_INET6_CONF"),
)


def _find() -> dict[type[Link], Device]:
    found: dict[type[Link], Device] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, Device) and value.kind:
                found[value.link] = value()
    return found


_BY_TYPE = _find()
_BY_KIND = {device.kind: device for device in _BY_TYPE.values()}
_OTHER = _BY_KIND["other"]
_wanted = {
    setting.attribute for device in _BY_TYPE.values() for setting in (*PORT, *device.settings)
}
_wanted |= {name for device in _BY_TYPE.values() for name in device.attributes}
_read = Reader(
    linkmsg,
    _ATTRIBUTES | _wanted,
    ignored={f"IFLA_{name}" for name in ("STATS", "STATS64", "MAP")},
    within=("IFLA_INFO_DATA", "IFLA_INFO_SLAVE_DATA"),
)
_read_state = Reader(linkmsg, _STATE)
_QUESTION = request(linkmsg, rtnl.RTM_GETLINK, 0, {}, (("IFLA_EXT_MASK", _SKIP_STATISTICS),))


def of(link: Link) -> Device:
    """The kind of a planned device."""
    return _BY_TYPE[type(link)]


def kinds() -> Iterable[Device]:
    """All kinds that have a file of their own."""
    return _BY_TYPE.values()


def of_kind(kind: str) -> Device:
    """The kind that netlink calls so; those without a file of their own share one."""
    return _BY_KIND.get(kind, _OTHER)


def dump(netlink: Netlink, named: Collection[str] = ()) -> dict[int, Raw]:
    """The namespace's devices by index, without those fallback devices that are not `named`."""
    return _dump(netlink, _read, named)


def are_operational(netlink: Netlink) -> bool:
    """Whether all cables of the namespace whose ends are up have a carrier."""
    found = _dump(netlink, _read_state).values()
    return all(raw.operational for raw in found if raw.kind == "veth" and raw.up)


def _dump(netlink: Netlink, read: Reader, named: Collection[str] = ()) -> dict[int, Raw]:
    result = {}
    for body in netlink.dump(_QUESTION):
        (_family, type_, index, flags, _change), values = read(body)
        name = values["IFLA_IFNAME"]
        if name not in FALLBACK_DEVICES or name in named:
            result[index] = Raw(index, type_, flags, values)
    return result
