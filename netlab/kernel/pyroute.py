"""pyroute2's message classes: all that netlab knows of netlink's layout, and what they lack.

`import pyroute2` loads the whole library, 370 modules in 0.1 s, of which a lab needs a tenth. So
the package itself is loaded when somebody asks it for something; its submodules come alone.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any


def _load_lazily(name: str) -> None:
    """Put a package into `sys.modules` that runs its own code at the first look into it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    loader, package = spec.loader, importlib.util.module_from_spec(spec)

    def load(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        if importlib.util.find_spec(f"{name}.{attribute}"):
            return importlib.import_module(f"{name}.{attribute}")
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, attribute)

    vars(package)["__getattr__"] = load
    sys.modules[name] = package


if "pyroute2" not in sys.modules:
    _load_lazily("pyroute2")

import pyroute2.netlink as netlink  # noqa: E402
import pyroute2.netlink.rtnl as rtnl  # noqa: E402
from pyroute2.netlink import ctrlmsg, nla, nlmsg, nlmsg_atoms, nlmsgerr  # noqa: E402
from pyroute2.netlink.rtnl.fibmsg import fibmsg  # noqa: E402
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg  # noqa: E402
from pyroute2.netlink.rtnl.ifinfmsg import (  # noqa: E402
    ifinfmsg,
    ifinfveth,
)
from pyroute2.netlink.rtnl.ndmsg import ndmsg  # noqa: E402
from pyroute2.netlink.rtnl.ndtmsg import ndtmsg as neighbour_tables  # noqa: E402
from pyroute2.netlink.rtnl.nsidmsg import nsidmsg  # noqa: E402
from pyroute2.netlink.rtnl.rtmsg import (  # noqa: E402
    LWTUNNEL_ENCAP_IP,
    LWTUNNEL_ENCAP_IP6,
    nh,
    rtmsg,
)

# What pyroute2 names otherwise than /proc/sys/net/ipv4/conf does, and what it does not know yet.
_PROC_NAMES = {
    "arpfilter": "arp_filter",
    "src_vmark": "src_valid_mark",
    "noxfrm": "disable_xfrm",
    "nopolicy": "disable_policy",
}
_NEWER = (
    "ignore_routes_with_linkdown",
    "drop_unicast_in_l2_multicast",
    "drop_gratuitous_arp",
    "bc_forwarding",
    "arp_evict_nocarrier",
)
# Settings of /proc/sys/net/ipv4/conf/DEVICE by their number (linux/ip.h, IPV4_DEVCONF_*); the
# kernel dumps them as an array, in which number n is at place n - 1.
DEVCONF: dict[str, int] = {
    _PROC_NAMES.get(name, name): number
    for number, name in enumerate((*ifinfmsg.af_spec_inet.inet.field_names, *_NEWER))
    if number
}
# The same for /proc/sys/net/ipv6/conf/DEVICE, in the order of the array (linux/ipv6.h, DEVCONF_*).
DEVCONF6: tuple[str, ...] = (
    *(
        name.replace("temp_preferred_lft", "temp_prefered_lft")  # as the kernel spells it
        for name in ifinfmsg.af_spec_inet.inet6.ipv6_devconf.field_names
    ),
    "mldv1_unsolicited_report_interval",
    "mldv2_unsolicited_report_interval",
    "suppress_frag_ndisc",
    "accept_ra_from_local",
    "use_optimistic",
    "accept_ra_mtu",
    "stable_secret",
    "use_oif_addrs_only",
    "accept_ra_min_hop_limit",
    "ignore_routes_with_linkdown",
    "drop_unicast_in_l2_multicast",
    "drop_unsolicited_na",
    "keep_addr_on_down",
    "router_solicitation_max_interval",
    "seg6_enabled",
    "seg6_require_hmac",
    "enhanced_dad",
    "addr_gen_mode",
    "disable_policy",
    "accept_ra_rt_info_min_plen",
    "ndisc_tclass",
    "rpl_seg_enabled",
    "ra_defrtr_metric",
    "ioam6_enabled",
    "ioam6_id",
    "ioam6_id_wide",
    "ndisc_evict_nocarrier",
    "accept_untracked_na",
    "accept_ra_min_lft",
    "force_forwarding",
)


def devconf(setting: str) -> str:
    """The name of the attribute that sets one of DEVCONF."""
    return f"IPV4_DEVCONF_{setting.upper()}"


class linkmsg(ifinfmsg):  # type: ignore[misc]  # pyroute2 ships no types
    """ifinfmsg, with the attributes that *set* a device's IPv4 settings.

    pyroute2 reads them as one struct, which no request can be.
    """

    class af_spec_inet(nla):  # type: ignore[misc]
        nla_map = tuple(
            (name, kind if name != "AF_INET" else "inet")
            for name, kind in ifinfmsg.af_spec_inet.nla_map
        )
        inet6 = ifinfmsg.af_spec_inet.inet6

        class inet(nla):  # type: ignore[misc]
            nla_map = (("IFLA_INET_UNSPEC", "none"), ("IFLA_INET_CONF", "conf"))

            class conf(nla):  # type: ignore[misc]
                nla_map = (
                    (0, "IPV4_DEVCONF_UNSPEC", "none"),
                    *((number, devconf(name), "uint32") for name, number in DEVCONF.items()),
                )


class ndtmsg(neighbour_tables):  # type: ignore[misc]
    """Neighbour tables, with what pyroute2 lacks of a device's parameters (linux/neighbour.h)."""

    nla_map = tuple(
        (number, *pair) for number, pair in enumerate(neighbour_tables.nla_map)
    )  # numbered, so that `parms` means the class here

    class parms(nla):  # type: ignore[misc]
        nla_map = (
            *((number, *pair) for number, pair in enumerate(neighbour_tables.parms.nla_map)),
            (17, "NDTPA_MCAST_REPROBES", "uint32"),
            (19, "NDTPA_INTERVAL_PROBE_TIME_MS", "uint64"),
        )


class ip_encap_info(nla):  # type: ignore[misc]
    """LWTUNNEL_IP_*: the outer header that a route gives its packets (linux/lwtunnel.h).

    pyroute2 0.9 knows other kinds of encapsulation only, and writes zeros for this one.
    """

    nla_map = (
        ("LWTUNNEL_IP_UNSPEC", "none"),
        ("LWTUNNEL_IP_ID", "be64"),
        ("LWTUNNEL_IP_DST", "ip4addr"),
        ("LWTUNNEL_IP_SRC", "ip4addr"),
        ("LWTUNNEL_IP_TTL", "uint8"),
        ("LWTUNNEL_IP_TOS", "uint8"),
        ("LWTUNNEL_IP_FLAGS", "be16"),
        ("LWTUNNEL_IP_PAD", "none"),
        ("LWTUNNEL_IP_OPTS", "hex"),
    )


class ip6_encap_info(nla):  # type: ignore[misc]
    """LWTUNNEL_IP6_*: the same with an outer IPv6 header."""

    nla_map = (
        ("LWTUNNEL_IP6_UNSPEC", "none"),
        ("LWTUNNEL_IP6_ID", "be64"),
        ("LWTUNNEL_IP6_DST", "ip6addr"),
        ("LWTUNNEL_IP6_SRC", "ip6addr"),
        ("LWTUNNEL_IP6_HOPLIMIT", "uint8"),
        ("LWTUNNEL_IP6_TC", "uint8"),
        ("LWTUNNEL_IP6_FLAGS", "be16"),
        ("LWTUNNEL_IP6_PAD", "none"),
        ("LWTUNNEL_IP6_OPTS", "hex"),
    )


# The registry of pyroute2's own kinds; next hops of a multipath route (`nh`) share it.
rtmsg.encaps[LWTUNNEL_ENCAP_IP] = ip_encap_info
rtmsg.encaps[LWTUNNEL_ENCAP_IP6] = ip6_encap_info

__all__ = [
    "DEVCONF",
    "DEVCONF6",
    "LWTUNNEL_ENCAP_IP",
    "LWTUNNEL_ENCAP_IP6",
    "ctrlmsg",
    "devconf",
    "fibmsg",
    "ifaddrmsg",
    "ifinfveth",
    "ip6_encap_info",
    "ip_encap_info",
    "linkmsg",
    "ndmsg",
    "ndtmsg",
    "netlink",
    "nh",
    "nla",
    "nlmsg",
    "nlmsg_atoms",
    "nlmsgerr",
    "nsidmsg",
    "rtmsg",
    "rtnl",
]
