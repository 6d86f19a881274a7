"""nftables by libnftables in this process: one transaction a namespace, no `nft` started.

libnftables.so.1 is what the `nft` program itself is made of, so it is there wherever `nft` is.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from netlab.errors import Unmet
from netlab.kernel import limits
from netlab.kernel.rulesets.errors import RulesetError
from netlab.kernel.rulesets.listing import parse
from netlab.plan.rulesets import NftTable
from netlab.plan.rulesets.nft import Elements, block
from netlab.plan.rulesets.nft_transaction import transaction

_STATELESS = 1 << 2  # NFT_CTX_OUTPUT_STATELESS: no counter values
_WHERE = re.compile(r"^\S*?:(\d+):\d+-\d+: Error: ")
_DEVICES = re.compile(r"^devices = \{(.*)\}$")
REMEDY = "install the package nftables (libnftables.so.1)"

Item = TypeVar("Item", bound=Elements)


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        if limits.reached(error):
            raise
        raise Unmet("The library libnftables is not installed", REMEDY) from None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    return library


def require() -> None:
    """Raise Unmet where libnftables is not installed."""
    _library()


_ROOM = 16  # descriptors kept for libnftables
_kept: list[int] = []


def keep_room() -> None:
    """Keep some low descriptors: libnftables uses select(), which ends a process at the 1,024th.

    To be called before a large lab's namespaces are opened, each of which takes a descriptor.
    """
    while len(_kept) < _ROOM:
        _kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))


@contextlib.contextmanager
def _context() -> Iterator[ctypes.c_void_p]:
    """A libnftables context of the current network namespace."""
    library = _library()
    kept = bool(_kept)
    while _kept:
        os.close(_kept.pop())
    context = ctypes.c_void_p(library.nft_ctx_new(0))
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_output_set_flags(context, _STATELESS)
        yield context
    finally:
        library.nft_ctx_free(context)
        if kept:
            keep_room()


def run(commands: str) -> str:
    """Run commands as one transaction in the current namespace; returns what they print.

    Raises RulesetError, with the line that was refused, or Unmet without libnftables.
    """
    library = _library()
    with _context() as context:
        if not library.nft_run_cmd_from_buffer(context, commands.encode()):
            printed: bytes = library.nft_ctx_get_output_buffer(context) or b""
            return printed.decode()
    return _run_file(commands)


def _run_file(commands: str) -> str:
    """What was refused is run once more, from a file: only then libnftables tells the line."""
    library = _library()
    file = os.memfd_create("netlab-nft", os.MFD_CLOEXEC)
    try:
        os.write(file, commands.encode())
        with _context() as context:
            path = f"/proc/self/fd/{file}"
            if library.nft_run_cmd_from_filename(context, path.encode()):
                words = (library.nft_ctx_get_error_buffer(context) or b"").decode()
                raise RulesetError(_refusal(words, commands))
            printed: bytes = library.nft_ctx_get_output_buffer(context) or b""
            return printed.decode()
    finally:
        os.close(file)


def _refusal(words: str, commands: str) -> str:
    """What libnftables says first, and the line that it is about."""
    first = next((line for line in words.splitlines() if "Error: " in line), words.strip())
    message = first.partition("Error: ")[2] or first or "refused"
    if place := _WHERE.match(first):
        message += f": {commands.splitlines()[int(place[1]) - 1].strip()}"
    return message


def tables(wanted: Iterable[str]) -> list[NftTable]:
    """These tables as nft prints them."""
    # One by one: of several such commands in one run nft 1.0.6 knows only one table.
    return [table for key in wanted for table in parse(run(f"list table {key}"))]


def apply(
    missing: Sequence[NftTable],
    changed: Sequence[tuple[NftTable, NftTable]],
    unexpected: Sequence[str],
) -> None:
    """Make good what differs in one transaction, so that no packet meets half a ruleset.

    `unexpected` are keys of tables to delete. Deleting a table costs 9 ms, so it is not done where
    nothing says that there is one.
    """
    begin = [f"delete table {key}" for key in unexpected]
    end = [table.script for table in missing]
    try:
        run("\n".join([*begin, *(line for pair in changed for line in transaction(*pair)), *end]))
    except RulesetError:
        if not changed:
            raise
        # Kernels before 6.2 count late what names a chain: there, the tables are made again.
        again = [f"delete table {have.key}\n{want.script}" for want, have in changed]
        run("\n".join([*begin, *again, *end]))


def printed(planned: NftTable) -> NftTable:
    """How nft prints a table, found out in the current (scratch) namespace.

    nft rewrites what it is given, and differently from version to version. So the table is loaded
    and listed. Elements are in the order of the planned ones, unless nft made others of them
    (auto-merge).
    """
    _make_devices(planned)
    run(planned.script)
    listed = tables([planned.key])[0]
    alone = _printed_alone(planned, listed)
    return replace(
        listed,
        sets=tuple(_in_order(item, planned, alone) for item in listed.sets),
        maps=tuple(_in_order(item, planned, alone) for item in listed.maps),
    )


_Place = tuple[tuple[str, str], str]  # an element: its set's id and its text


def _printed_alone(planned: NftTable, listed: NftTable) -> dict[_Place, str]:
    """How each element is printed that the listing does not have as it is planned.

    Each is loaded once more, in a set of its own, as nft sorts and joins those of one set.
    """
    pieces: list[str] = []
    places: dict[_Place, str] = {}
    shown = listed.pieces
    for item in (*planned.sets, *planned.maps):
        other = shown[item.id]
        known = set(other.texts) if isinstance(other, Elements) else set()
        for text in (text for text in item.texts if text not in known):
            name = f"netlab-alone-{len(places)}"
            pieces.append(block(replace(item.holding([text]), name=name)))
            places[item.id, text] = name
    if not places:
        return {}
    run("\n".join([f"table {planned.key} {{", *pieces, "}"]))
    table = tables([planned.key])[0]
    texts = {item.name: item.texts for item in (*table.sets, *table.maps) if item.texts}
    return {place: texts[name][0] for place, name in places.items()}


def _in_order(item: Item, table: NftTable, alone: Mapping[_Place, str]) -> Item:
    planned = table.pieces[item.id]
    if not isinstance(planned, Elements):
        return item
    texts = [alone.get((item.id, text), text) for text in planned.texts]
    return item.holding(texts) if set(texts) == set(item.texts) else item


def _make_devices(planned: NftTable) -> None:
    """Make the devices that chains and flowtables hook into: without them nothing loads."""
    names: set[str] = set()
    for chain in planned.chains:
        names |= set(chain.hook.devices) if chain.hook else set()
    for item in planned.objects:
        for line in item.lines:
            if found := _DEVICES.match(line):
                names |= {name.strip(' "') for name in found[1].split(",")}
    if names := names - {"lo"}:
        from pyroute2.iproute import IPRoute

        with IPRoute() as route:
            for name in sorted(names):
                route.link("add", ifname=name, kind="bridge")
