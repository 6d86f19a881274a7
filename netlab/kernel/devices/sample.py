"""Devices that are made only to see what new ones of their kind have, in a scratch namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netlab.plan.links import Ipip, Link, Macvlan, Veth

PARENT = "parent"  # the name of the device that one of some kinds is made on
_NEEDED: Mapping[type[Link], Mapping[str, Any]] = {
    Veth: {"peer": None},
    Macvlan: {"device": PARENT},
    Ipip: {"external": True},  # without ends it would be the fallback tunnel, which may be there
}


def alone(kind: type[Link], name: str, **fields: Any) -> Link:
    """A device of a kind that needs no other one but `PARENT`."""
    return kind(name=name, **_NEEDED.get(kind, {}), **fields)
