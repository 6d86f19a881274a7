"""Filter expressions as tcpdump takes them, compiled by libpcap to programs for the kernel."""

from __future__ import annotations

import ctypes
import functools
import re
from typing import Any, NamedTuple

from netlab.errors import BadInput, Unmet, sentence
from netlab.probe.engines.bpf import REFUSE, Instruction

_LIBRARIES = ("libpcap.so.0.8", "libpcap.so.1", "libpcap.so")  # Debian's name, and the others'
_ETHERNET, _RAW = 1, 12  # pcap/dlt.h: DLT_EN10MB, DLT_RAW
_WHOLE = 262144  # bytes: the length that a program lets pass
_UNKNOWN_NETMASK = 0xFFFFFFFF
_OF_TAGS = re.compile(r"(?<![\w.-])vlan(?![\w.-])")


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_ushort),
        ("true", ctypes.c_ubyte),
        ("false", ctypes.c_ubyte),
        ("value", ctypes.c_uint),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.POINTER(_Instruction)))


class Filter(NamedTuple):
    """An expression, and its programs for devices with an Ethernet header and for those without.

    `only_ethernet` is why there is nothing without that header that it could let pass.
    """

    expression: str = ""
    ethernet: tuple[Instruction, ...] = ()
    raw: tuple[Instruction, ...] = ()
    only_ethernet: str = ""


def compiled(expression: str) -> Filter:
    """Raises BadInput, with libpcap's own words, and Unmet where there is no libpcap."""
    if not expression.strip():
        raise BadInput("The filter is empty", "leave it out to have every packet")
    if _OF_TAGS.search(expression):
        raise BadInput(
            "The filter cannot ask for a VLAN, as the kernel takes a frame's tag off before it",
            "capture without, and filter the file, where the tags are",
        )
    try:
        ethernet = _compile(expression, _ETHERNET)
    except ValueError as error:
        what = f"The filter '{expression}' cannot be used, as libpcap says: {error}"
        raise BadInput(f"{sentence(what)}.") from None
    try:
        return Filter(expression, ethernet, _compile(expression, _RAW))
    except ValueError as error:
        return Filter(expression, ethernet, REFUSE, str(error))


def _compile(expression: str, link: int) -> tuple[Instruction, ...]:
    """Raises ValueError."""
    pcap = _library()
    handle = pcap.pcap_open_dead(link, _WHOLE)
    program = _Program()
    try:
        words = expression.encode(errors="surrogateescape")
        if b"\0" in words:
            raise ValueError("it has a NUL character")
        if pcap.pcap_compile(handle, ctypes.byref(program), words, 1, _UNKNOWN_NETMASK):
            raise ValueError(pcap.pcap_geterr(handle).decode(errors="replace").rstrip("."))
        found = tuple(
            (one.code, one.true, one.false, one.value)
            for one in program.instructions[: program.length]
        )
        pcap.pcap_freecode(ctypes.byref(program))
        return found
    finally:
        pcap.pcap_close(handle)


@functools.cache
def _library() -> Any:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.pcap_open_dead.restype = ctypes.c_void_p
        library.pcap_geterr.restype = ctypes.c_char_p
        library.pcap_geterr.argtypes = library.pcap_close.argtypes = [ctypes.c_void_p]
        library.pcap_compile.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_int,
            ctypes.c_uint,
        ]
        library.pcap_freecode.argtypes = [ctypes.c_void_p]
        return library
    raise Unmet(
        "A filter needs libpcap, which is not here", "install it (Debian's package libpcap0.8)"
    )
