"""What this kernel and host can do, found out by doing it in a scratch network namespace.

A kernel's configuration or version says less than an attempt: modules load on demand, and a user
who is not root may have fewer rights. Everything is tried in a child process, so nothing is left.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from netlab.errors import Unmet
from netlab.kernel import interrupts, limits, sandbox
from netlab.kernel import syscalls as sys_
from netlab.kernel.rulesets import RulesetError, ipset, iptables, ipvs, nft
from netlab.plan.rulesets import Ipset, IptablesChain, IptablesTable, IpvsTable, VirtualServer
from netlab.plan.rulesets.iptables import Backend

LINK_KINDS = (
    "veth",
    "bridge",
    "vxlan",
    "ipip",
    "gre",
    "geneve",
    "vlan",
    "macvlan",
    "vrf",
    "dummy",
    "ifb",
    "wireguard",
)
SANDBOX = "namespaces"
# kube-proxy's nftables mode: nft 1.0.1 has its words, and Linux 5.13 what they mean.
NFTABLES_SERVICES = "nftables-services"
_SERVICES = """table ip services {
set s { type ipv4_addr; size 9; flags dynamic,timeout; timeout 9s; }
map m { type ipv4_addr . inet_proto . inet_service : verdict; }
chain c {
update @s { ip saddr }
ip daddr . meta l4proto . th dport vmap @m
fib saddr type local meta mark set meta mark | 0x4000 comment "try"
meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.0.0.1 . 80, 1 : 10.0.0.2 . 80 }
}
chain p {
type nat hook postrouting priority srcnat;
ct status dnat meta mark & 0x4000 != 0 masquerade fully-random
}
}"""
_NAT = "table ip t {{ chain c {{ type nat hook postrouting priority 100; {}; }}\n}}"


def missing(names: Iterable[str]) -> dict[str, str]:
    """Those of the features that this host lacks, each with its remedy.

    Raises Unmet for a limit that did not let all be tried.
    """
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    found, problem = _in_child(wanted)
    limit = limits.reached(problem)
    if SANDBOX not in found:  # nothing else could be tried, so this comes first for all
        return dict.fromkeys(wanted, str(limit).rstrip(".") if limit else remedy(SANDBOX))
    if limit:
        raise limit
    return {name: remedy(name) for name in wanted if name not in found}


def require(
    names: Iterable[str], what: str, instead: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Raise Unmet, naming what lacks and the remedy, unless the host has all of the features.

    `instead` has another remedy for what could be done without.
    """
    lacking = missing(names)
    if lacking:
        name, cure = next(iter(lacking.items()))
        others = [other for other in lacking if lacking[other] != cure]
        more = f" (it also lacks {', '.join(others)})" if others else ""
        cure += f", {instead[name]}" if name in instead else ""
        raise Unmet(f"{what} needs {name}, which this host lacks{more}:", cure, name)


def remedy(name: str) -> str:
    """What a user can do about a feature that lacks."""
    if name == SANDBOX:
        return sandbox.remedy()
    if name == "libnftables":
        return nft.REMEDY
    if name.startswith("iptables-") and not iptables.installed(name):
        return iptables.REMEDY
    if name == "tun":
        return "make /dev/net/tun readable and writable (modprobe tun; chmod 0666 /dev/net/tun)"
    if name.startswith("ip_vs") and ipvs.loaded() and sandbox.rootless():
        return (
            f"run netlab as root, with the kernel module {name} (before Linux 6.10 IPVS is for the "
            "host's root alone)"
        )
    if name == NFTABLES_SERVICES:
        return (
            "take nft 1.0.1 and Linux 5.13 or newer, with the kernel modules nft_ct, nft_fib_ipv4, "
            "nft_nat, nft_masq, nft_numgen"
        )
    module = {"nftables": "nf_tables", "nftables-masquerade": "nft_masq"}
    module |= {"netem": "sch_netem", "vlan": "8021q", "gre": "ip_gre", "ipset": "ip_set"}
    module |= {"conntrack": "nf_conntrack_netlink"}
    module |= {"iptables-nft": "nft_compat", "iptables-legacy": "ip_tables"}
    return f"load the kernel module {module.get(name, name)}, or use a kernel that has it"


def features() -> list[str]:
    """Every feature that `doctor` looks for."""
    return [SANDBOX, *LINK_KINDS, *_TESTS]


def _in_child(names: list[str]) -> tuple[set[str], str]:
    """Try the features in a child process, in new namespaces.

    Returns those that work, and what was in the way of going on.
    """
    with limits.named():
        out, into = os.pipe()
        pid = interrupts.fork()
    if pid == 0:
        found: list[str] = []
        problem = ""
        try:
            # The mount namespace shows whether the rights are real: a restricted user namespace
            # may be made, but allows nothing in it.
            sandbox.unshare(sys_.CLONE_NEWNET | sys_.CLONE_NEWNS)
            sys_.mount("none", "/", flags=sys_.MS_REC | sys_.MS_PRIVATE)
            found.append(SANDBOX)
            found += [name for name in names if name != SANDBOX and _works(name)]
        except (OSError, MemoryError) as error:
            problem = f"{type(error).__name__}: {error}"
        finally:
            os.write(into, json.dumps([found, problem]).encode())
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as lines:
        answer = lines.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not answer:  # a library may end its process where memory lacks
        ended = Unmet(f"What tried this host's features ended with code {code}", "try again")
        raise limits.of_memory() or ended
    works, problem = json.loads(answer)
    return set(works), problem


def _works(name: str) -> bool:
    scheduler = name.removeprefix("ip_vs_")
    test = _TESTS.get(name) or (_scheduler(scheduler) if scheduler != name else None)
    try:
        return test() if test else _link_kind(name)
    except (OSError, RulesetError, Unmet) as error:
        if limits.reached(str(error)):
            raise OSError(str(error)) from error
        return False


def _link_kind(kind: str) -> bool:
    """Whether the kernel knows a kind of device; what else it may want for one does not matter."""
    from netlab.kernel.pyroute import linkmsg, rtnl

    message = linkmsg()
    info = {"attrs": [["IFLA_INFO_KIND", kind]]}
    message["attrs"] = [["IFLA_IFNAME", f"try-{kind}"], ["IFLA_LINKINFO", info]]
    return errno.EOPNOTSUPP not in _send(message, rtnl.RTM_NEWLINK)


def _netem() -> bool:
    """Whether a queue that delays can be put at the root of `lo`."""
    from pyroute2.netlink.rtnl.tcmsg import tcmsg

    from netlab.kernel.pyroute import rtnl

    message = tcmsg()
    message["index"], message["parent"] = 1, rtnl.TC_H_ROOT
    options = {"delay": 0, "limit": 1000, "loss": 0, "gap": 0, "duplicate": 0, "jitter": 0}
    message["attrs"] = [["TCA_KIND", "netem"], ["TCA_OPTIONS", options]]
    return not _send(message, rtnl.RTM_NEWQDISC)


def _send(message: Any, kind: int) -> list[int]:
    """Send one request in the current namespace; the errno it was refused with, if it was."""
    from netlab.kernel.generic import encoded
    from netlab.kernel.netlink import open_netlink
    from netlab.kernel.pyroute import netlink as nl

    request = encoded(message, kind)._replace(flags=nl.NLM_F_CREATE | nl.NLM_F_EXCL)
    with contextlib.closing(open_netlink()) as netlink:
        return [refused.code for refused in netlink.send([request])]


def _tun() -> bool:
    os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    return True


def _ipvs() -> bool:
    """Whether the kernel has IPVS, whose module is loaded if it can be, and answers this user."""
    ipvs.listed()
    return True


def _scheduler(name: str) -> Callable[[], bool]:
    """Whether a virtual server can have one of IPVS's schedulers, each of which is a module."""

    def test() -> bool:
        server = VirtualServer(address="192.0.2.1", port=1, scheduler=name)
        ipvs.apply([IpvsTable(servers=(server,))], [], [])
        return True

    return test


def _nft(script: str) -> Callable[[], bool]:
    def test() -> bool:
        nft.run(script)
        return True

    return test


def _libnftables() -> bool:
    nft.run("")
    return True


def _iptables(backend: Backend) -> Callable[[], bool]:
    def test() -> bool:
        chain = IptablesChain(name="TRY", rules=("-m comment --comment try -j RETURN",))
        iptables.apply([(IptablesTable(backend=backend, name="filter", chains=(chain,)), None)])
        return True

    return test


def _br_netfilter() -> bool:
    """Whether what crosses a bridge meets iptables' rules; the match physdev loads the module."""
    chain = IptablesChain(name="TRY", rules=("-m physdev --physdev-is-in -j RETURN",))
    iptables.apply([(IptablesTable(backend="nft", name="filter", chains=(chain,)), None)])
    return os.path.exists("/proc/sys/net/bridge/bridge-nf-call-iptables")


def _ipset() -> bool:
    ipset.create([Ipset(name="try")])
    return True


def _conntrack() -> bool:
    from netlab.kernel import conntrack

    conntrack.listed()
    return True


_TESTS: dict[str, Callable[[], bool]] = {
    "tun": _tun,
    "netem": _netem,
    "ip_vs": _ipvs,
    "ip_vs_rr": _scheduler("rr"),
    "libnftables": _libnftables,
    "nftables": _nft(_NAT.format("accept")),
    "nftables-masquerade": _nft(_NAT.format("masquerade fully-random")),
    NFTABLES_SERVICES: _nft(_SERVICES),
    "iptables-nft": _iptables("nft"),
    "iptables-legacy": _iptables("legacy"),
    "ipset": _ipset,
    "conntrack": _conntrack,
    "br_netfilter": _br_netfilter,
}
