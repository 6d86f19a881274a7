"""Neighbour entries that the kernel learned, and flushing them as `ip neigh flush` does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import NamedTuple

from netlab.kernel.objects import neighbour


class Entry(NamedTuple):
    namespace: str
    device: str
    address: str


def flush(entries: Iterable[Entry]) -> None:
    """Delete entries of both families; those that are not there are no error."""
    by_namespace: dict[str, list[tuple[str, str]]] = {}
    for entry in entries:
        by_namespace.setdefault(entry.namespace, []).append((entry.device, entry.address))
    for namespace, listed in by_namespace.items():
        with contextlib.suppress(FileNotFoundError):
            neighbour.flush(namespace, listed)
