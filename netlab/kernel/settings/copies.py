"""Settings that the kernel copies to others when they are written.

While one is not as it should be, the others with its value are not drift of their own: writing it
back sets them too, and what then remains shows at the next look.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from netlab.plan.routing import Sysctl

_FORWARDING = "net/ipv4/ip_forward"  # net/ipv4/devinet.c: inet_forward_change
_TURNED = "net/ipv4/conf/all/accept_redirects"  # which that turns to the opposite
_DEFAULT = "net/ipv4/conf/default/"  # to all devices where nobody set it: devinet_copy_dflt_conf
# net/ipv6/addrconf.c copies these of conf/all to conf/default and to all devices.
_OF_ALL = frozenset(
    f"net/ipv6/conf/all/{key}"
    for key in ("forwarding", "disable_ipv6", "disable_policy", "ignore_routes_with_linkdown")
)
# A WireGuard device that comes up puts it to 0, for itself and for all
# (drivers/net/wireguard/device.c: wg_open), which no device of a baseline does.
_OF_WIREGUARD = "send_redirects"


def without_copies(
    altered: Iterable[Sysctl], found: Mapping[str, str | None], wireguards: Collection[str]
) -> Iterator[Sysctl]:
    """The settings that are no copies of those `found` not to be as they should.

    `wireguards` are the names of the namespace's WireGuard devices, which write some as well.
    """
    written = [f"net/ipv4/conf/{name}/{_OF_WIREGUARD}" for name in ("all", *wireguards)]
    for item in altered:
        if wireguards and item.path in written and item.value == "0":
            continue
        causes = [cause for cause in _causes(item.path) if cause != item.path]
        copied = any(found.get(cause) == item.value for cause in causes)
        if not copied and not (item.path == _TURNED and _FORWARDING in found):
            yield item


def _causes(path: str) -> Iterator[str]:
    """The settings whose value the kernel gives this one when they are written."""
    parts = path.split("/")
    if len(parts) != 5 or parts[2] != "conf":
        return
    device, key = parts[3:]
    if path.startswith("net/ipv4/"):
        if key == "forwarding":
            yield _FORWARDING
        if device != "all":
            yield f"{_DEFAULT}{key}"
    elif (cause := f"net/ipv6/conf/all/{key}") in _OF_ALL:
        yield cause
