"""pyroute2's simple attribute types: how a value becomes bytes, and bytes a value.

Which type an attribute has, and where in a message it stands, is pyroute2's to say; here are its
few dozen types as functions, because an object for each attribute costs 2 us.
"""

from __future__ import annotations

import functools
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from netlab.kernel.pyroute import fibmsg, ifinfveth, nh, nlmsg_atoms, rtmsg


class Atom(NamedTuple):
    """A type. `sample` is a value of so many bytes, each of which is the number given."""

    write: Callable[[Any], bytes]
    read: Callable[[bytes, int, int], Any]
    sample: Callable[[int, int], Any]


def _number(layout: str) -> Atom:
    form = struct.Struct("=" + layout if layout[0] not in "<>=!" else layout)

    def read(data: bytes, start: int, end: int) -> Any:
        return form.unpack_from(data, start)[0]

    return Atom(form.pack, read, lambda size, byte: int.from_bytes(bytes([byte]) * size, "big"))


def _write_ip(value: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in value else socket.AF_INET, value)


def _read_ip(data: bytes, start: int, end: int) -> str:
    return socket.inet_ntop(
        socket.AF_INET6 if end - start == 16 else socket.AF_INET, data[start:end]
    )


def _sample_ip(size: int, byte: int) -> str:
    return _read_ip(bytes([byte]) * size, 0, size)


def _write_mac(value: str) -> bytes:
    return bytes.fromhex(value.replace(":", ""))


def _read_mac(data: bytes, start: int, end: int) -> str:
    return data[start:end].hex(":")


def _sample_mac(size: int, byte: int) -> str:
    return (bytes([byte]) * size).hex(":")


def _read_via(data: bytes, start: int, end: int) -> str:
    return _read_ip(data, start + 2, end)


def _sample_via(size: int, byte: int) -> dict[str, Any]:
    family = socket.AF_INET6 if size == 16 else socket.AF_INET
    return {"family": family, "addr": _sample_ip(size, byte)}


def _range(layout: str) -> Atom:
    """Two numbers as `from:to`, as pyroute2 has the ranges of rules."""
    form = struct.Struct("=" + layout)

    def read(data: bytes, start: int, end: int) -> str:
        return "{}:{}".format(*form.unpack_from(data, start))

    def sample(size: int, byte: int) -> str:
        number = int.from_bytes(bytes([byte]) * (size // 2), "big")
        return f"{number}:{number}"

    return Atom(lambda value: form.pack(*map(int, value.split(":"))), read, sample)


# The zero that ends a text is left to pyroute2: in a request it is nobody's value.
TEXT = Atom(
    str.encode,
    lambda data, start, end: data[start:end].strip(b"\0").decode(),
    lambda size, byte: chr(64 + byte) * size,
)
FLAG = Atom(lambda value: b"", lambda data, start, end: True, lambda size, byte: True)
IP = Atom(_write_ip, _read_ip, _sample_ip)
MAC = Atom(_write_mac, _read_mac, _sample_mac)
VIA = Atom(_write_ip, _read_via, _sample_via)
BYTES = Atom(
    bytes, lambda data, start, end: data[start:end], lambda size, byte: bytes([byte]) * size
)

_ATOMS: tuple[tuple[tuple[type, ...], Atom], ...] = (
    ((rtmsg.rtvia,), VIA),
    ((nlmsg_atoms.string,), TEXT),
    ((nlmsg_atoms.flag,), FLAG),
    ((nlmsg_atoms.ipaddr, nlmsg_atoms.ipXaddr, nlmsg_atoms.target), IP),
    ((nlmsg_atoms.l2addr, nlmsg_atoms.lladdr), MAC),
    ((nlmsg_atoms.hex, nlmsg_atoms.cdata, nlmsg_atoms.array), BYTES),
)


def atom(kind: type) -> Atom | None:
    """The simple type of one of pyroute2's classes; None for a nest."""
    for kinds, found in _ATOMS:
        if issubclass(kind, kinds):
            return found
    fields: Any = getattr(kind, "fields", ())
    if issubclass(kind, fibmsg.fra_range):
        return _range("".join(layout for _, layout in fields))
    if len(fields) == 1 and fields[0][0] == "value" and not getattr(kind, "nla_map", ()):
        layout = fields[0][1]
        return _number(layout) if layout[-1] in "bBhHiIqQ" else None
    return None


class Entry(NamedTuple):
    """An attribute as pyroute2's `nla_map` has it: `kinds` are several where others decide."""

    number: int
    name: str
    kinds: tuple[type, ...]
    array: bool


def entries(message: type) -> Iterator[Entry]:
    """The attributes that a message or nest may have."""
    nla_map: Any = getattr(message, "nla_map", ())
    if not isinstance(nla_map, tuple | list):
        return  # made up by a function for each number, as of policies
    for place, item in enumerate(nla_map):
        number, name, text = item[:3] if isinstance(item[0], int) else (place, *item[:2])
        word = text.lstrip("*").split("(")[0].split("|")[0].strip()
        kind = message if word in ("nested", "recursive") else getattr(message, word)
        kinds = (kind,) if isinstance(kind, type) else tuple(_choices(message, word))
        yield Entry(number, name, kinds, text.startswith("*"))


def _choices(message: Any, word: str) -> Iterator[type]:
    """What pyroute2's functions that choose a class choose from; nothing for those not used."""
    if word == "info_data":
        yield from message.data_map.values()
    elif word == "info_slave_data":
        yield message.bridge_slave_data
    elif word == "encap_info":
        yield from message.encaps.values()
    elif word == "af_spec":
        yield message.af_spec_inet
    elif word == "get_nh":
        yield nh
    elif word == "info_peer":
        yield ifinfveth


@functools.cache
def header(message: Any) -> tuple[struct.Struct, tuple[str, ...]]:
    """The fixed part of a message before its attributes: its layout, and the names in it."""
    layout = struct.Struct("=" + "".join(kind for _, kind in message.fields))
    names = tuple(name for name, kind in message.fields if not kind.endswith("x"))
    return layout, names
