"""IPv4-in-IPv4 tunnels (net/ipv4/ipip.c)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from netlab.kernel.devices.base import Device, Names, Place, Raw, Setting
from netlab.plan.links import Ipip


class IpipDevice(Device):
    kind: ClassVar[str] = "ipip"
    link = Ipip
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("ttl", "IFLA_IPIP_TTL"),
        Setting("tos", "IFLA_IPIP_TOS"),
        Setting("pmtudisc", "IFLA_IPIP_PMTUDISC", bool),
        Setting("proto", "IFLA_IPIP_PROTO"),
    )
    fixed: ClassVar[frozenset[str]] = frozenset({"external", "proto"})
    attributes: ClassVar[frozenset[str]] = frozenset(
        {"IFLA_IPIP_LINK", "IFLA_IPIP_LOCAL", "IFLA_IPIP_REMOTE", "IFLA_IPIP_COLLECT_METADATA"}
    )
    moves: ClassVar[bool] = True  # Linux 6.1 takes no notice of where the request comes from
    whole: ClassVar[bool] = True  # the kernel starts from zeros at each change

    def data(self, link: Ipip, place: Place, fields: Collection[str]) -> Iterator[tuple[str, Any]]:
        if link.external:
            yield "IFLA_IPIP_COLLECT_METADATA", True
            return
        yield from super().data(link, place, fields)
        if "device" in fields:
            yield "IFLA_IPIP_LINK", place.indexes[link.device] if link.device else 0
        if "local" in fields:
            yield "IFLA_IPIP_LOCAL", link.local or "0.0.0.0"
        if "remote" in fields:
            yield "IFLA_IPIP_REMOTE", link.remote or "0.0.0.0"

    def own(self, raw: Raw, names: Names) -> dict[str, Any]:
        values = raw.values
        local, remote = (values.get(f"IFLA_IPIP_{end}") for end in ("LOCAL", "REMOTE"))
        return {
            **super().own(raw, names),
            "local": None if local == "0.0.0.0" else local,
            "remote": None if remote == "0.0.0.0" else remote,
            "device": names.parent(values.get("IFLA_IPIP_LINK")),
            "external": "IFLA_IPIP_COLLECT_METADATA" in values,
        }

    def must_be_made_again(self, want: Any, have: Any, fields: Collection[str]) -> bool:
        """A device is point-to-point or not by whether it has a remote end, and stays so."""
        ends = {bool(getattr(link, "remote", None)) for link in (want, have)}
        return super().must_be_made_again(want, have, fields) or len(ends) > 1
