"""Prepared readers: what pyroute2 knows of a message, compiled once to functions that read dumps.

pyroute2 makes an object for every attribute, 190 us a link; this reads the attributes that somebody
asked for, by the same tables, in 15. Names are unique within a message, so nests come out flat.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection
from typing import Any

from netlab.kernel.atoms import BYTES, Entry, atom, entries, header

_HEAD = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
# Nests whose layout another attribute decides, which may come later; by what pyroute2 knows it.
_DECIDED_BY = {
    "IFLA_INFO_DATA": "IFLA_INFO_KIND",
    "IFLA_INFO_SLAVE_DATA": "IFLA_INFO_SLAVE_KIND",
    "RTA_ENCAP": "RTA_ENCAP_TYPE",
}
# Structs and arrays that are handed out as they are.
RAW = frozenset({"AF_INET", "IFLA_INET6_CONF", "IFA_CACHEINFO", "NDTA_STATS", "RTA_CACHEINFO"})

OTHERS = "others"  # where attributes are collected that a strict reader does not know

Values = dict[str, Any]
_Read = Callable[[bytes, int, int], Any]
_Enter = Callable[[bytes, int, int, Values], None]
_Table = dict[int, tuple[str, _Read | None, _Enter | None]]


class Reader:
    """Reads one class of message: `names` are the attributes wanted, those of nests too.

    A call gives the fixed part, in the order of its fields, and the attributes that are there. An
    array of nests (several next hops) is a list of such pairs.

    A strict reader hands out all other attributes too, as (number, bytes) under OTHERS, but for
    `ignored`: so that nothing is overlooked that a later kernel has. So it does with those in the
    nests `within`, under OTHERS and the nest's name.
    """

    def __init__(
        self,
        message: type,
        names: Collection[str],
        *,
        ignored: Collection[str] | None = None,
        within: Collection[str] = (),
    ) -> None:
        self._names = frozenset(names)
        self._ignored = frozenset(ignored or ())
        self._rest = "" if ignored is None else OTHERS
        self._within = {name: OTHERS + name for name in within}
        self._header, self.fields = header(message)
        self._size = (self._header.size + 3) & ~3
        self._table = self._compile(message)

    def __call__(self, body: bytes, start: int = 0) -> tuple[tuple[Any, ...], Values]:
        values: Values = {}
        _read(self._table, body, start + self._size, len(body), values, self._rest)
        return self._header.unpack_from(body, start), values

    def _compile(self, message: type, *, arrays: bool = True) -> _Table:
        table = {
            entry.number: self._entry(message, entry)
            for entry in entries(message)
            if entry.name in self._names and entry.kinds and (arrays or not entry.array)
        }
        table |= {
            entry.number: (entry.name, None, None)
            for entry in entries(message)
            if entry.name in self._ignored
        }
        return table

    def _entry(self, message: Any, entry: Entry) -> tuple[str, _Read | None, _Enter | None]:
        if entry.name in RAW:
            return entry.name, BYTES.read, None
        if entry.array:
            return entry.name, self._array(entry.kinds[0]), None
        if decided_by := _DECIDED_BY.get(entry.name):
            return entry.name, None, self._choice(message, entry, decided_by)
        if simple := atom(entry.kinds[0]):
            return entry.name, simple.read, None
        table = self._compile(entry.kinds[0])

        def enter(data: bytes, start: int, end: int, values: Values) -> None:
            _read(table, data, start, end, values)

        return entry.name, None, enter

    def _choice(self, message: Any, entry: Entry, decided_by: str) -> _Enter:
        """A nest whose class is looked up by the value of another attribute."""
        known: dict[Any, type] = {
            "IFLA_INFO_DATA": getattr(message, "data_map", {}),
            "IFLA_INFO_SLAVE_DATA": {"bridge": entry.kinds[0]},
            "RTA_ENCAP": getattr(message, "encaps", {}),
        }[entry.name]
        tables: dict[Any, _Table] = {}
        rest = self._within.get(entry.name, "")

        def enter(data: bytes, start: int, end: int, values: Values) -> None:
            which = values.get(decided_by)
            if which is None:
                values[entry.name] = (data, start, end)  # kept until it is known
                return
            table = tables.get(which)
            if table is None:
                table = tables[which] = self._compile(known[which]) if which in known else {}
            if not table and self._rest:
                values.setdefault(self._rest, []).append((entry.number, data[start:end]))
            _read(table, data, start, end, values, rest)

        return enter

    def _array(self, kind: type) -> _Read:
        """Nests with a fixed part that begins with their length, as `struct rtnexthop`."""
        form, _ = header(kind)
        table = self._compile(kind, arrays=False)

        def read(data: bytes, start: int, end: int) -> list[tuple[tuple[Any, ...], Values]]:
            found = []
            while start + 2 + form.size <= end:
                (length,) = struct.unpack_from("=H", data, start)
                if length < 2:
                    break
                values: Values = {}
                _read(table, data, start + 2 + form.size, start + length, values, self._rest)
                found.append((form.unpack_from(data, start + 2), values))
                start += (length + 3) & ~3
            return found

        return read


def _read(table: _Table, data: bytes, start: int, end: int, values: Values, rest: str = "") -> None:
    late = None
    while start + 4 <= end:
        length, number = _HEAD.unpack_from(data, start)
        if length < 4:
            break
        entry = table.get(number & _TYPE_MASK)
        if entry is not None:
            name, read, enter = entry
            if read is not None:
                values[name] = read(data, start + 4, start + length)
            elif enter is not None:
                enter(data, start + 4, start + length, values)
                if name in values:
                    late = name, enter
        elif rest:
            here = number & _TYPE_MASK, data[start + 4 : start + length]
            values.setdefault(rest, []).append(here)
        start += (length + 3) & ~3
    if late is not None:
        name, enter = late
        held, start, end = values.pop(name)
        enter(held, start, end, values)
        values.pop(name, None)
