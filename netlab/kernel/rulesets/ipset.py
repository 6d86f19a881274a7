"""ip sets by netlink: pyroute2's messages, sent in batches."""

from __future__ import annotations

import os
import socket
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

from msgspec.structs import replace

from netlab.kernel.rulesets import ipset_entries as entries
from netlab.kernel.rulesets.errors import RulesetError
from netlab.plan.rulesets import Ipset
from netlab.plan.rulesets.ipset import MAXELEM

_AT_ONCE = 64  # requests whose acknowledgements fit into the socket's buffer
_SPARE = "netlab-spare"  # a set that takes another's place


def listed() -> list[Ipset]:
    """The ip sets of the current namespace."""
    from pyroute2.ipset import IPSet

    found: dict[str, Ipset] = {}
    texts: dict[str, list[str]] = defaultdict(list)
    with IPSet() as kernel:
        for message in kernel.list():
            name = message.get_attr("IPSET_ATTR_SETNAME")
            if name not in found:  # a large set comes in several messages
                found[name] = _read(message)
            members = message.get_attr("IPSET_ATTR_ADT")
            for entry in members.get_attrs("IPSET_ATTR_DATA") if members else ():
                texts[name].append(entries.text(found[name].type, _plain(entry)))
    return [replace(item, entries=tuple(texts[name])) for name, item in found.items()]


def _read(message: Any) -> Ipset:

    kind = message.get_attr("IPSET_ATTR_TYPENAME")
    data = _plain(message.get_attr("IPSET_ATTR_DATA"))
    flags = data.get("IPSET_ATTR_CADT_FLAGS", 0)
    given: dict[str, Any] = {name: bool(flags & number) for name, number in _flags().items()}
    ipv6 = message.get_attr("IPSET_ATTR_FAMILY") == socket.AF_INET6
    return Ipset(
        name=message.get_attr("IPSET_ATTR_SETNAME"),
        type=kind,
        family="inet6" if ipv6 else "inet",
        range=_range(kind, data),
        size=data.get("IPSET_ATTR_SIZE", 8),
        maxelem=data.get("IPSET_ATTR_MAXELEM", MAXELEM),
        timeout=data.get("IPSET_ATTR_TIMEOUT"),
        **given,
    )


def _flags() -> dict[str, int]:
    """A set's extensions and their bits."""
    from pyroute2.netlink.nfnetlink import ipset

    names = ("counters", "comment", "forceadd", "skbinfo")
    return {name: getattr(ipset, f"IPSET_FLAG_WITH_{name.upper()}") for name in names}


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair[0]: pair[1] for pair in attributes["attrs"]}


def _range(kind: str, data: dict[str, Any]) -> str:
    if kind == "bitmap:port":
        return f"{data['IPSET_ATTR_PORT_FROM']}-{data['IPSET_ATTR_PORT_TO']}"
    if kind.startswith("bitmap:"):
        ends = (data[f"IPSET_ATTR_IP_{end}"]["attrs"][0][1] for end in ("FROM", "TO"))
        return "-".join(ends)
    return ""


def printed(item: Ipset) -> Ipset:
    """The set as it will be read back. Raises RulesetError for what is no entry of its type."""
    try:
        texts = (
            entries.text(item.type, entries.attributes(item.type, text)) for text in item.entries
        )
        return replace(item, entries=tuple(dict.fromkeys(texts)))
    except (KeyError, ValueError) as error:
        raise RulesetError(f"{item}: {error}") from error


def create(items: Iterable[Ipset]) -> None:
    """Make sets, empty."""
    _send((f"create {item.definition}", _create(item)) for item in items)


def apply(missing: Sequence[Ipset], changed: Sequence[tuple[Ipset, Ipset]]) -> None:
    """Make sets, and change the entries that differ.

    One that differs in more is made anew and swapped, as rules may use it.
    """
    create(missing)
    _send(request for item in missing for request in _changes(item, ()))
    for want, have in changed:
        if want.definition == have.definition:
            _send(_changes(want, have.entries))
        elif (want.type, want.family) == (have.type, have.family):
            spare = replace(want, name=_SPARE)
            create([spare])
            _send(_changes(spare, ()))
            _send([(f"swap {want.name}", _two_names("SWAP", want.name, _SPARE))])
            destroy([_SPARE])
        else:
            destroy([have.name])
            apply([want], [])


def destroy(names: Iterable[str]) -> None:
    """Remove sets, the last first, as a set of sets comes after those that it names."""
    order = reversed(list(names))
    _send((f"destroy {name}", _message("DESTROY", name)) for name in order)


def _changes(want: Ipset, present: Sequence[str]) -> Iterator[tuple[str, Any]]:
    there, wanted = set(present), set(want.entries)
    for verb, texts in (
        ("del", [text for text in present if text not in wanted]),
        ("add", [text for text in want.entries if text not in there]),
    ):
        for text in texts:
            data = entries.attributes(want.type, text)
            yield f"{verb} {want.name} {text}", _message(verb.upper(), want.name, data)


def _create(item: Ipset) -> Any:
    from pyroute2.ipset import IPSet
    from pyroute2.netlink.exceptions import IPSetError

    data: dict[str, Any] = {}
    flags = sum(number for name, number in _flags().items() if getattr(item, name))
    data |= {"IPSET_ATTR_CADT_FLAGS": flags} if flags else {}
    data |= {"IPSET_ATTR_TIMEOUT": item.timeout} if item.timeout is not None else {}
    if item.type.startswith("hash:"):
        data["IPSET_ATTR_MAXELEM"] = item.maxelem
    elif item.type == "list:set":
        data["IPSET_ATTR_SIZE"] = item.size
    else:
        data |= _ends(item)
    try:
        with IPSet() as kernel:
            _, revision = kernel.get_supported_revisions(item.type)
    except IPSetError:
        raise RulesetError(f"{item}: the kernel has no ip sets of type {item.type}") from None
    message = _message("CREATE", item.name, data)
    message["attrs"] += [
        ["IPSET_ATTR_TYPENAME", item.type],
        ["IPSET_ATTR_REVISION", revision],
        ["IPSET_ATTR_FAMILY", socket.AF_INET6 if item.family == "inet6" else socket.AF_INET],
    ]
    return message


def _ends(item: Ipset) -> dict[str, Any]:
    first, _, last = item.range.partition("-")
    if item.type == "bitmap:port":
        return {"IPSET_ATTR_PORT_FROM": int(first), "IPSET_ATTR_PORT_TO": int(last)}
    return {
        f"IPSET_ATTR_IP_{end}": {"attrs": [["IPSET_ATTR_IPADDR_IPV4", str(ip_address(ip))]]}
        for end, ip in (("FROM", first), ("TO", last))
    }


def _two_names(command: str, name: str, other: str) -> Any:
    message = _message(command, name)
    message["attrs"].append(["IPSET_ATTR_TYPENAME", other])  # also IPSET_ATTR_SETNAME2
    return message


def _message(command: str, name: str, data: dict[str, Any] | None = None) -> Any:
    from pyroute2.netlink import NLM_F_ACK, NLM_F_EXCL, NLM_F_REQUEST
    from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_IPSET, ipset

    message = ipset.ipset_msg()
    number = getattr(ipset, f"IPSET_CMD_{command}")
    message["header"]["type"] = NFNL_SUBSYS_IPSET << 8 | number
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | NLM_F_EXCL
    message["nfgen_family"] = socket.AF_INET
    message["attrs"] = [["IPSET_ATTR_PROTOCOL", 6], ["IPSET_ATTR_SETNAME", name]]
    if data is not None:
        message["attrs"].append(["IPSET_ATTR_DATA", {"attrs": [list(i) for i in data.items()]}])
    return message


def _send(requests: Iterable[tuple[str, Any]]) -> None:
    """Send requests with the words for each; raises RulesetError for the first that is refused."""
    from pyroute2.netlink import NETLINK_NETFILTER

    waiting = list(requests)
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER) as netfilter:
        for start in range(0, len(waiting), _AT_ONCE):
            part = waiting[start : start + _AT_ONCE]
            for number, (_, message) in enumerate(part):
                message["header"]["sequence_number"] = number
                message.encode()
                netfilter.send(bytes(message.data))
            for _ in part:
                _check(netfilter.recv(65536), part)


def _check(answer: bytes, requests: Sequence[tuple[str, Any]]) -> None:
    """Raise RulesetError if an acknowledgement is a refusal."""
    from pyroute2.ipset import exception_factory

    _, _, _, number, _, code = struct.unpack_from("=IHHIIi", answer)
    if code:
        words, message = requests[number]
        kind = SimpleNamespace(orig_type=message["header"]["type"])
        said = exception_factory(SimpleNamespace(code=-code), kind).args[1]
        raise RulesetError(f"{said or os.strerror(-code)}: {words}")
