"""Namespaces made in a process of its own, each to be used as soon as it is there.

Making one takes the kernel a third of a pod's time, of which little is spent under the lock that
devices are made under: so the one goes on beside the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from netlab.kernel import namespaces
from netlab.kernel.apart import Apart

_FEW = 32  # made here, in less time than another process takes to begin

T = TypeVar("T")


class Ahead(Generic[T]):
    """Begins to make namespaces, in this order; that process does `then` what it is given."""

    def __init__(self, names: Sequence[str], then: Callable[[], T]) -> None:
        self._names = names
        self._then = then
        self._places = {name: place for place, name in enumerate(names)}
        self._made = 0
        self._results: list[T] = []
        self._noting: int | None = None
        if len(names) <= _FEW:
            self._make()
        self._noted, self._noting = os.pipe()
        self._apart = Apart(self._work, keep=(self._noting,))
        os.close(self._noting)
        self._noting = None

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def wait(self, name: str) -> None:
        """Until the namespace is there. Raises what making it raised."""
        while self._made <= self._places[name] and self._hear():
            pass
        if self._made <= self._places[name]:
            self.result()

    def result(self) -> T:
        """Wait until all are there, and for what was done then; raises what any of it raised."""
        if not self._results:
            while self._hear():
                pass
            self._results.append(self._apart.result())
            os.close(self._noted)
        return self._results[0]

    def _hear(self) -> bool:
        """Wait for more of them; whether there were any."""
        notes = os.read(self._noted, 4096)
        self._made += len(notes)
        return bool(notes)

    def _work(self) -> T:
        """Of the other process; if that is killed, the rest is done in this one."""
        self._make()
        if self._noting is not None:
            os.close(self._noting)
        return self._then()

    def _make(self) -> None:
        for name in self._names[self._made :]:
            namespaces.create(name)
            if self._noting is None:
                self._made += 1
            else:
                os.write(self._noting, b"+")
