"""VXLAN devices (drivers/net/vxlan), with an identifier of their own or `external`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from netlab.kernel.devices.base import Device, Names, Place, Raw, Setting
from netlab.plan.links import Vxlan
from netlab.plan.routing import is_ipv6

_CHECKSUMS = ("udp_csum", "udp6_zero_csum_tx", "udp6_zero_csum_rx")


class VxlanDevice(Device):
    kind: ClassVar[str] = "vxlan"
    link = Vxlan
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("vni", "IFLA_VXLAN_ID"),
        Setting("port", "IFLA_VXLAN_PORT"),
        Setting("external", "IFLA_VXLAN_COLLECT_METADATA", bool),
        Setting("learning", "IFLA_VXLAN_LEARNING", bool),
        Setting("ttl", "IFLA_VXLAN_TTL"),
        Setting("tos", "IFLA_VXLAN_TOS"),
        Setting("ageing", "IFLA_VXLAN_AGEING"),
        Setting("proxy", "IFLA_VXLAN_PROXY", bool),
        Setting("rsc", "IFLA_VXLAN_RSC", bool),
        Setting("l2miss", "IFLA_VXLAN_L2MISS", bool),
        Setting("l3miss", "IFLA_VXLAN_L3MISS", bool),
        Setting("udp_csum", "IFLA_VXLAN_UDP_CSUM", bool),
        Setting("udp6_zero_csum_tx", "IFLA_VXLAN_UDP_ZERO_CSUM6_TX", bool),
        Setting("udp6_zero_csum_rx", "IFLA_VXLAN_UDP_ZERO_CSUM6_RX", bool),
        Setting("df", "IFLA_VXLAN_DF"),
    )
    # Tried on 6.18, which says "cannot change"; all others change in place.
    fixed: ClassVar[frozenset[str]] = frozenset(
        {"vni", "port", "external", "gbp", "proxy", "rsc", "l2miss", "l3miss", *_CHECKSUMS}
    )
    attributes: ClassVar[frozenset[str]] = frozenset(
        {
            "IFLA_VXLAN_LINK",
            "IFLA_VXLAN_LOCAL",
            "IFLA_VXLAN_LOCAL6",
            "IFLA_VXLAN_GROUP",
            "IFLA_VXLAN_GROUP6",
            "IFLA_VXLAN_GBP",
        }
    )

    given: ClassVar[frozenset[str]] = frozenset({"vni", "port"})

    def data(self, link: Vxlan, place: Place, fields: Collection[str]) -> Iterator[tuple[str, Any]]:
        yield from super().data(link, place, fields)
        if "device" in fields:
            yield "IFLA_VXLAN_LINK", place.indexes[link.device] if link.device else 0
        if "local" in fields:
            yield _address("IFLA_VXLAN_LOCAL", link.local)
        if "remote" in fields:
            yield _address("IFLA_VXLAN_GROUP", link.remote)
        if link.gbp and "gbp" in fields:
            yield "IFLA_VXLAN_GBP", True

    def own(self, raw: Raw, names: Names) -> dict[str, Any]:
        values = raw.values
        return {
            **super().own(raw, names),
            "local": values.get("IFLA_VXLAN_LOCAL", values.get("IFLA_VXLAN_LOCAL6")),
            "remote": remote(raw),
            "device": names.parent(values.get("IFLA_VXLAN_LINK")),
            "gbp": "IFLA_VXLAN_GBP" in values,
        }

    def must_be_made_again(self, want: Any, have: Any, fields: Collection[str]) -> bool:
        """One socket is of one family, so addresses of the other need another device."""
        return super().must_be_made_again(want, have, fields) or _ipv6(want) != _ipv6(have)


def remote(raw: Raw) -> str | None:
    """The remote end to which frames go that no other entry leads elsewhere."""
    found: str | None = raw.values.get("IFLA_VXLAN_GROUP", raw.values.get("IFLA_VXLAN_GROUP6"))
    return found


def _address(attribute: str, address: str | None) -> tuple[str, str]:
    """An address that is not given is the one of zeros."""
    if address is None:
        return attribute, "0.0.0.0"
    return (f"{attribute}6" if is_ipv6(address) else attribute), address


def _ipv6(link: Any) -> bool:
    return isinstance(link, Vxlan) and is_ipv6(link.local or link.remote or "")
