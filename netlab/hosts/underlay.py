"""Which interface of a machine is on the underlay: told, or the only one that it can be."""

from __future__ import annotations

from ipaddress import ip_interface

from netlab.errors import BadInput, Unmet
from netlab.hosts.machine import Facts, LinkFacts
from netlab.plan.machines import Machine

_REMEDY = "name one by --underlay-device, or for each machine by netlab_underlay in the inventory"


def machine(name: str, facts: Facts, wanted: str | None) -> Machine:
    """A machine as a plan has it; `wanted` is the interface that the user names, if any.

    Raises BadInput where none can be it, or several can, Unmet for one that is not up.
    """
    link = _chosen(name, facts, wanted)
    if not link.up:
        raise Unmet(f"The interface {link.name} of {name} is down", "bring it up there")
    if not link.carrier:
        raise Unmet(f"The interface {link.name} of {name} has no carrier", "connect it")
    addresses = [str(ip_interface(text).ip) for text in link.addresses]
    return Machine(
        name=name, device=link.name, mtu=link.mtu, address=addresses[0] if addresses else None
    )


def _chosen(name: str, facts: Facts, wanted: str | None) -> LinkFacts:
    if wanted:
        for link in facts.links:
            if link.name == wanted and link.ethernet:
                return link
        known = ", ".join(link.name for link in facts.links if link.ethernet)
        raise BadInput(f"{name} has no Ethernet interface {wanted}", f"it has {known or 'none'}")
    candidates = [link for link in facts.links if _may_be(link, facts)]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise BadInput(f"{name} has no interface for the underlay beside that of ssh", _REMEDY)
    names = " or ".join(link.name for link in candidates)
    raise BadInput(f"The underlay of {name} may be {names}", _REMEDY)


def _may_be(link: LinkFacts, facts: Facts) -> bool:
    """Not by which it is reached, or that leads to the world; nor one that is a bridge or such."""
    reached = any(text.partition("/")[0] == facts.reached_at for text in link.addresses)
    hardware = link.kind in ("", "veth") and link.ethernet
    return hardware and not reached and not link.default_route
