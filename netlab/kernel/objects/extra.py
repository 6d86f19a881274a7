"""Objects of the types that no plan has: a file for each is in `netlab.kernel.extras`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from netlab.kernel.extras.base import removal
from netlab.kernel.netlink import Netlink, Request
from netlab.kernel.objects.base import Devices, Indexes, ObjectType
from netlab.plan.routing import Extra


class ExtraType(ObjectType):
    type = Extra
    field: ClassVar[str] = "extras"
    rank: ClassVar[int] = 5

    def devices(self, item: Extra) -> Iterable[str]:
        return (item.link,) if item.link else ()

    def read(self, netlink: Netlink, devices: Devices) -> Iterator[Extra]:
        """None here: `extras.read` does, which has to know the kinds of the devices."""
        return iter(())

    def remove(self, item: Extra, indexes: Indexes) -> Request:
        return removal(item)
