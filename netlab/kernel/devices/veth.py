"""Virtual cables (drivers/net/veth.c): made once, with both ends in the namespaces where they stay.

This end comes enslaved and up in the same message. The peer cannot be brought up from here (the
kernel refuses the whole request), and its index is honoured only when this end has one too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from netlab.kernel.devices.base import Device, Names, Place, Raw
from netlab.kernel.prepared import Nest
from netlab.plan.links import Veth


class VethDevice(Device):
    kind: ClassVar[str] = "veth"
    link = Veth

    def data(self, link: Veth, place: Place, fields: Collection[str]) -> Iterator[tuple[str, Any]]:
        peer = place.peer
        if peer is not None and "peer" in fields:
            attributes = (
                ("IFLA_IFNAME", peer.name),
                ("IFLA_ADDRESS", peer.mac or None),
                ("IFLA_MTU", peer.mtu),
                ("IFLA_TXQLEN", peer.txqlen),
                ("IFLA_NET_NS_FD", place.peer_namespace),
            )
            yield "VETH_INFO_PEER", Nest({"index": place.peer_index}, attributes)

    def own(self, raw: Raw, names: Names) -> dict[str, Any]:
        return {"peer": names.peer}
