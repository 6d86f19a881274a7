"""nftables rulesets, by libnftables in this process: one transaction a namespace, no `nft` started.

libnftables.so.1 is what the `nft` program itself is made of, so it is there wherever `nft` is.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterable, Iterator, Mapping

from netlab.errors import Unmet
from netlab.kernel.namespaces import scratch
from netlab.plan.types import Table

_STATELESS = 1 << 2  # NFT_CTX_OUTPUT_STATELESS: no counter values
REMEDY = "install the package nftables (libnftables.so.1)"


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError:
        raise Unmet(f"The library libnftables is not installed; {REMEDY}.") from None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    return library


class NftError(Exception):
    """A ruleset that libnftables or the kernel refused, in its words."""


@contextlib.contextmanager
def _context() -> Iterator[ctypes.c_void_p]:
    """A libnftables context of the current network namespace."""
    library = _library()
    context = ctypes.c_void_p(library.nft_ctx_new(0))
    try:
        library.nft_ctx_buffer_output(context)
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_output_set_flags(context, _STATELESS)
        yield context
    finally:
        library.nft_ctx_free(context)


def run(commands: str) -> str:
    """Run commands as one transaction in the current namespace; returns what they print."""
    library = _library()
    with _context() as context:
        failed = library.nft_run_cmd_from_buffer(context, commands.encode())
        output: bytes = library.nft_ctx_get_output_buffer(context) or b""
        if failed:
            words = (library.nft_ctx_get_error_buffer(context) or b"").decode()
            raise NftError(words.strip().splitlines()[0] if words else "refused")
        return output.decode()


def replace(missing: Iterable[Table], unwanted: Iterable[Table]) -> None:
    """Remove and load tables in one transaction: no packet meets half a ruleset."""
    # `add` first, as `delete` of a table that is not there fails.
    commands = [f"table {table.key} {{ }}\ndelete table {table.key}\n" for table in unwanted]
    commands += [table.script for table in missing]
    run("".join(commands))


def tables() -> list[Table]:
    """The tables of the current namespace, as nft prints them."""
    return [
        Table(family, name, body) for (family, name), body in _split(run("list ruleset")).items()
    ]


def _split(listing: str) -> dict[tuple[str, str], str]:
    result: dict[tuple[str, str], str] = {}
    lines: list[str] = []
    key = ("", "")
    for line in listing.splitlines():
        if line.startswith("table "):
            _, family, name, _ = line.split(" ", 3)
            key, lines = (family, name), []
        elif line == "}":
            result[key] = "\n".join(lines)
        else:
            lines.append(line)
    return result


def printed(planned: Iterable[Table]) -> Mapping[Table, str]:
    """How nft prints the body of each table once it is loaded.

    nft rewrites what it is given, and differently from version to version. So all tables are
    loaded, under other names, into one scratch namespace, and listed.
    """
    distinct = list(dict.fromkeys(planned))
    if not distinct:
        return {}
    renamed = [Table(table.family, f"t{i}", table.body) for i, table in enumerate(distinct)]
    with scratch():
        run("".join(table.script for table in renamed))
        bodies = _split(run("list ruleset"))
    return {
        table: bodies[(other.family, other.name)]
        for table, other in zip(distinct, renamed, strict=True)
    }
