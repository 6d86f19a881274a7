"""Listeners of a machine's share for the other machines, held while all of them probe.

A verification of a lab on several machines has three steps, each for all before the next: every
machine listens (`Listening`), every machine probes (`inside.verify`), every machine stops
(`Listening.close`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from netlab import inside
from netlab.kernel import sandbox
from netlab.kernel.lab import LabFolder
from netlab.kernel.sandbox import Keeper
from netlab.state import Design, Share

Progress = Callable[[str, int, int], None]


class Listening:
    """A process inside the lab that answers calls from other machines until `close`.

    When this is made, its listeners are open, and the lab's daemons and containers were awaited.
    Raises what went wrong. The process ends with this one too, whatever happens to it.
    """

    def __init__(
        self,
        keeper: Keeper,
        folder: LabFolder,
        design: Design,
        share: Share,
        *,
        full: bool = False,
        sample: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._progress = progress
        self._failures: list[BaseException] = []
        self._settled = threading.Event()
        stopping, self._stop = os.pipe()

        def work() -> None:
            inside.listen(folder, design, share, stopping, full=full, sample=sample)

        self._thread = threading.Thread(target=self._run, args=(keeper, work, stopping))
        self._thread.start()
        self._settled.wait()
        for failure in self._failures:
            self.close()
            raise failure

    def _run(self, keeper: Keeper, work: Callable[[], None], stopping: int) -> None:
        try:
            sandbox.run_inside(keeper, work, relay=self._relay)
        except BaseException as error:  # it is for who waits
            self._failures.append(error)
        finally:
            os.close(stopping)
            self._settled.set()

    def _relay(self, words: str, done: int, total: int) -> None:
        if words == inside.LISTENING:
            self._settled.set()
        elif self._progress:
            self._progress(words, done, total)

    def close(self) -> None:
        """Stop listening; returns when the process has ended, whatever it then failed of."""
        if self._stop < 0:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._stop, b".")
        self._thread.join()
        os.close(self._stop)
        self._stop = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
