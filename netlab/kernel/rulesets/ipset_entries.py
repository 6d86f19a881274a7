"""Entries of ip sets between text, as `ipset save` prints them, and attributes of a message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp", 136: "udplite"}
_NUMBERS = {name: number for number, name in _PROTOCOLS.items()}
_PHYSDEV, _NOMATCH, _WILDCARD = 1 << 1, 1 << 2, 1 << 7  # IPSET_FLAG_* of an entry
_OPTION = re.compile(r'(comment) "([^"]*)"|(timeout) (\d+)|(nomatch)|(wildcard)')
# Attributes of the first and second address of an entry, and of their prefix lengths.
_IPS = (("IPSET_ATTR_IP_FROM", "IPSET_ATTR_CIDR"), ("IPSET_ATTR_IP2", "IPSET_ATTR_CIDR2"))


def attributes(kind: str, text: str) -> dict[str, Any]:
    """The attributes of an entry of a set of this type, as `hash:ip,port`.

    Raises ValueError for a text that is none.
    """
    method, _, parts = kind.partition(":")
    members, _, options = text.partition(" ")
    wanted, given = parts.split(","), members.split(",")
    if len(wanted) != len(given):
        raise ValueError(f"'{text}' is no entry of a {kind}")
    result: dict[str, Any] = {}
    ips = iter(_IPS)
    flags = 0
    for part, value in zip(wanted, given, strict=True):
        if part in ("ip", "net"):
            address, length = next(ips)
            ip, _, prefix = value.partition("/")
            result[address] = {"attrs": [[_ip_attribute(ip), ip]]}
            result |= {length: int(prefix)} if prefix else {}
        elif part == "port":
            result |= _port(value, bitmap=method == "bitmap")
        elif part == "iface":
            flags |= _PHYSDEV if value.startswith("physdev:") else 0
            result["IPSET_ATTR_IFACE"] = value.removeprefix("physdev:")
        elif part == "mac":
            result["IPSET_ATTR_ETHER"] = value.lower()
        elif part == "mark":
            result["IPSET_ATTR_MARK"] = int(value, 0)
        else:
            result["IPSET_ATTR_NAME"] = value
    return result | _options(options, flags)


def _ip_attribute(ip: str) -> str:
    return "IPSET_ATTR_IPADDR_IPV6" if ":" in ip else "IPSET_ATTR_IPADDR_IPV4"


def _port(text: str, *, bitmap: bool) -> dict[str, int]:
    protocol, colon, port = text.rpartition(":")
    if protocol in ("icmp", "icmpv6"):
        kind, _, code = port.partition("/")
        number = int(kind) << 8 | int(code)
    else:
        number = int(port)
    if bitmap:
        return {"IPSET_ATTR_PORT_FROM": number}
    known = _NUMBERS.get(protocol) if colon else _NUMBERS["tcp"]
    return {
        "IPSET_ATTR_PORT_FROM": number,
        "IPSET_ATTR_PROTO": int(protocol) if known is None else known,
    }


def _options(text: str, flags: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for _, comment, timed, seconds, nomatch, wildcard in _OPTION.findall(text):
        flags |= (_NOMATCH if nomatch else 0) | (_WILDCARD if wildcard else 0)
        if timed:
            result["IPSET_ATTR_TIMEOUT"] = int(seconds)
        elif not nomatch and not wildcard:
            result["IPSET_ATTR_COMMENT"] = comment
    if _OPTION.sub("", text).strip():
        raise ValueError(f"'{text}' is no option of an entry that netlab knows")
    return result | ({"IPSET_ATTR_CADT_FLAGS": flags} if flags else {})


def text(kind: str, data: Mapping[str, Any]) -> str:
    """An entry's attributes as text, without counters and the time that is left."""
    members = ",".join(_members(kind, data))
    flags = data.get("IPSET_ATTR_CADT_FLAGS", 0)
    words = [members]
    words += ["nomatch"] if flags & _NOMATCH else []
    words += ["wildcard"] if flags & _WILDCARD else []
    if comment := data.get("IPSET_ATTR_COMMENT"):
        words.append(f'comment "{comment}"')
    return " ".join(words)


def _members(kind: str, data: Mapping[str, Any]) -> Iterator[str]:
    ips = iter(_IPS)
    for part in kind.partition(":")[2].split(","):
        if part in ("ip", "net"):
            address, length = next(ips)
            ip = data[address]["attrs"][0][1]
            whole = 128 if ":" in ip else 32
            prefix = data.get(length, whole)
            yield ip if prefix == whole else f"{ip}/{prefix}"
        elif part == "port":
            yield _port_text(data)
        elif part == "iface":
            physical = data.get("IPSET_ATTR_CADT_FLAGS", 0) & _PHYSDEV
            yield f"{'physdev:' if physical else ''}{data['IPSET_ATTR_IFACE']}"
        elif part == "mac":
            yield data["IPSET_ATTR_ETHER"]
        elif part == "mark":
            yield f"{data['IPSET_ATTR_MARK']:#x}"
        else:
            yield data["IPSET_ATTR_NAME"]


def _port_text(data: Mapping[str, Any]) -> str:
    port, number = data["IPSET_ATTR_PORT_FROM"], data.get("IPSET_ATTR_PROTO")
    if number is None:  # a bitmap of ports
        return str(port)
    protocol = _PROTOCOLS.get(number, str(number))
    return f"{protocol}:{port >> 8}/{port & 255}" if "icmp" in protocol else f"{protocol}:{port}"
