"""Which interface of a machine is on the underlay: the one that is named, or the only candidate."""

from __future__ import annotations

from netlab.errors import BadInput, shown
from netlab.hosts.inventory import Host
from netlab.hosts.machine import Facts, LinkFacts
from netlab.plan.machines import Machine

VARIABLE = "netlab_underlay"
_OPTION = "--underlay-device"


def underlay(host: Host, facts: Facts, device: str | None = None) -> Machine:
    """The machine with its interface: `device`, else the inventory's variable, else the only one.

    Raises BadInput for none and for several, naming them. Whether it carries anything is for
    `interface.bring_up`.
    """
    named = device or host.text(VARIABLE)
    if named:
        found = [link for link in facts.links if link.name == named]
        if not found:
            raise BadInput(
                f"{host.name} has no interface {shown(named)}, which is to be on the underlay",
                f"it has {_names(list(facts.links)) or 'none'}",
            )
    else:
        found = candidates(facts)
    remedy = f"name it by {_OPTION}, or for each machine by {VARIABLE} in the inventory"
    if not found:
        raise BadInput(
            f"{host.name} has no interface for the underlay: none but that of its management",
            f"give it one, or {remedy}",
        )
    if len(found) > 1:
        raise BadInput(
            f"{host.name} has several interfaces for the underlay: {_names(found)}", remedy
        )
    (link,) = found
    address = link.addresses[0].split("/")[0] if link.addresses else None
    return Machine(name=host.name, device=link.name, mtu=link.mtu, address=address)


def candidates(facts: Facts) -> list[LinkFacts]:
    """The Ethernet interfaces that are hardware, or a hypervisor's, and not of the management.

    That is: not with the default route, and not with the address at which ssh came in.
    """
    return [
        link
        for link in facts.links
        if link.ethernet
        and not link.kind
        and not link.default_route
        and facts.reached_at not in [address.split("/")[0] for address in link.addresses]
    ]


def _names(links: list[LinkFacts]) -> str:
    return ", ".join(link.name for link in links)
