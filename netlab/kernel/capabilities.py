"""What this kernel and host can do, found out by doing it in a scratch network namespace.

A kernel's configuration or version says less than an attempt: modules load on demand, and a user
who is not root may have fewer rights. Everything is tried in a child process, so nothing is left.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
from collections.abc import Callable, Iterable

from netlab.errors import Unmet
from netlab.kernel import sandbox
from netlab.kernel import syscalls as sys_
from netlab.kernel.messages import (
    IFLA_IFNAME,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    LOOPBACK,
    RTM_NEWLINK,
    link_header,
)
from netlab.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Netlink,
    Request,
    attribute,
    nest,
    text,
)
from netlab.kernel.rulesets import RulesetError, nft
from netlab.kernel.sandbox import rootless

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
_RTM_NEWQDISC = 36
_NAT = "table ip t {{ chain c {{ type nat hook postrouting priority 100; {}; }}\n}}"


def missing(names: Iterable[str]) -> dict[str, str]:
    """Those of the features that this host lacks, each with its remedy."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    found = _in_child(wanted)
    if SANDBOX not in found:  # nothing else could be tried, so this comes first for all
        return dict.fromkeys(wanted, remedy(SANDBOX))
    return {name: remedy(name) for name in wanted if name not in found}


def require(names: Iterable[str], what: str) -> None:
    """Raise Unmet, naming what lacks and the remedy, unless the host has all of the features."""
    lacking = missing(names)
    if lacking:
        name, cure = next(iter(lacking.items()))
        others = [other for other in lacking if lacking[other] != cure]
        more = f" (it also lacks {', '.join(others)})" if others else ""
        raise Unmet(f"{what} needs {name}, which this host lacks{more}: {cure}.")


def remedy(name: str) -> str:
    """What a user can do about a feature that lacks."""
    if name == SANDBOX:
        return sandbox.remedy()
    if name == "libnftables":
        return nft.REMEDY
    if name == "tun":
        return "make /dev/net/tun readable and writable (modprobe tun; chmod 0666 /dev/net/tun)"
    module = {"nftables": "nf_tables", "nftables-masquerade": "nft_masq", "ipvs": "ip_vs"}
    module |= {"netem": "sch_netem", "vlan": "8021q", "gre": "ip_gre"}
    return f"load the kernel module {module.get(name, name)}, or use a kernel that has it"


def features() -> list[str]:
    """Every feature that `doctor` looks for."""
    return [SANDBOX, *LINK_KINDS, *_TESTS]


def _in_child(names: list[str]) -> set[str]:
    """Try the features in a child process, in new namespaces; returns those that work."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        found: list[str] = []
        try:
            user = sys_.CLONE_NEWUSER if rootless() else 0
            # The mount namespace shows whether the rights are real: a restricted user namespace
            # may be made, but allows nothing in it.
            sys_.unshare(user | sys_.CLONE_NEWNET | sys_.CLONE_NEWNS)
            sys_.mount("none", "/", flags=sys_.MS_REC | sys_.MS_PRIVATE)
            found.append(SANDBOX)
            found += [name for name in names if name != SANDBOX and _works(name)]
        except OSError:
            pass
        finally:
            os.write(into, json.dumps(found).encode())
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as answer:
        found_names = set(json.load(answer))
    os.waitpid(pid, 0)
    return found_names


def _works(name: str) -> bool:
    test = _TESTS.get(name)
    try:
        return test() if test else _link_kind(name)
    except (OSError, RulesetError, Unmet):
        return False


def _link_kind(kind: str) -> bool:
    """Whether the kernel knows a kind of device; what else it may want for one does not matter."""
    info = nest(IFLA_LINKINFO, text(IFLA_INFO_KIND, kind))
    body = link_header() + text(IFLA_IFNAME, f"try-{kind}") + info
    return errno.EOPNOTSUPP not in _send(RTM_NEWLINK, body)


def _netem() -> bool:
    head = struct.pack("=BxxxiIII", 0, LOOPBACK, 0, 0xFFFFFFFF, 0)  # at the root of lo
    options = struct.pack("=IIIIII", 0, 1000, 0, 0, 0, 0)
    return not _send(_RTM_NEWQDISC, head + text(1, "netem") + attribute(2, options))


def _send(kind: int, body: bytes) -> list[int]:
    """Send one request in the current namespace; the errno it was refused with, if it was."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    with contextlib.closing(Netlink(sock)) as netlink:
        request = Request(kind, NLM_F_CREATE | NLM_F_EXCL, body, "try")
        return [refusal.code for refusal in netlink.send([request])]


def _tun() -> bool:
    os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    return True


def _ipvs() -> bool:
    """Generic netlink knows the family when the module is there, and loads it if it can."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as generic:
        body = struct.pack("=BBH", 3, 1, 0) + text(2, "IPVS")  # CTRL_CMD_GETFAMILY by its name
        generic.send(struct.pack("=IHHII", 16 + len(body), 16, 1 | 4, 1, 0) + body)
        answer = generic.recv(65536)
        return int(struct.unpack_from("=H", answer, 4)[0]) == 16


def _nft(rule: str) -> Callable[[], bool]:
    def test() -> bool:
        nft.run(_NAT.format(rule))
        return True

    return test


def _libnftables() -> bool:
    nft.run("")
    return True


_TESTS: dict[str, Callable[[], bool]] = {
    "tun": _tun,
    "netem": _netem,
    "ipvs": _ipvs,
    "libnftables": _libnftables,
    "nftables": _nft("accept"),
    "nftables-masquerade": _nft("masquerade fully-random"),
}
