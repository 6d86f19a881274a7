"""A capture in a running lab, as a program holds it: it runs in the background."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from netlab.errors import BadInput, NetlabError, shown
from netlab.kernel.background import Background
from netlab.probe.engines import recording
from netlab.probe.engines.recording import Recorded, Wanted

if TYPE_CHECKING:
    from netlab.kernel.sandbox import Keeper
    from netlab.probe.engines.pcapng import Frame
    from netlab.probe.engines.recorder import Device


class Capture:
    """A capture that runs in the background inside `with`, whose block begins when it does.

    `packets` and `lost` are known after the block; `lost` found no room in a socket. `devices` are
    those captured, as `node-1/eth0`: those made later come too. A node or pod that is made anew
    meanwhile is another: its frames are not seen.

    >>> with netlab.up("flannel-vxlan", nodes=2) as lab:
    ...     with lab.capture("pod-1-1:eth0", "node-1:flannel.1", filter="icmp") as capture:
    ...         _ = lab.pod("pod-1-1").run("ping", "-c1", "10.244.1.2")
    ...         capture.save("/dev/null")
    ...     capture.devices, capture.packets, capture.lost
    (('pod-1-1/eth0', 'node-1/flannel.1'), 4, 0)
    """

    def __init__(self, keeper: Keeper, wanted: Wanted, file: int | str | Path | None) -> None:
        self._keeper, self._wanted, self._file = keeper, wanted, file
        self._background: Background[Recorded] | None = None
        self.recorded = Recorded({}, {})
        self.devices: tuple[str, ...] = ()

    @property
    def packets(self) -> int:
        return self.recorded.packets

    @property
    def lost(self) -> int:
        return self.recorded.lost

    def __enter__(self) -> Self:
        from netlab import __version__

        caller = os.pidfd_open(os.getpid())
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        wanted, number = self._wanted, control.fileno()
        try:
            self._background = Background(
                self._keeper,
                lambda: recording.record(wanted, number, caller, f"netlab {__version__}"),
                (number, caller),
            )
        finally:
            os.close(caller)
            control.close()
        try:
            self.devices = tuple(self._done())
            if self._file is not None:
                self._hand_over(recording.STREAM, self._file)
        except BaseException:
            with contextlib.suppress(NetlabError):
                self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(NetlabError) if error else contextlib.nullcontext():
            self._end()

    def clear(self) -> None:
        """Forget what was recorded so far. Raises BadInput for a capture into a file."""
        self._needs_ring("clear")
        self._say(recording.CLEAR)
        self._done()

    def save(self, path: str | Path) -> None:
        """Write a pcapng of what is held now, up to this moment; the capture goes on.

        Raises BadInput for a file that cannot be written, and for a capture into a file.
        """
        self._needs_ring("save")
        self._hand_over(recording.SAVE, path)
        if problem := self._done():
            raise BadInput(f"The file {path} cannot be written ({problem}).")

    def stop(self) -> None:
        """Have it end soon; it may be called from a handler of signals."""
        with contextlib.suppress(OSError):  # it has ended
            self._control.send(recording.STOP)

    def seen(self) -> Iterator[Sequence[tuple[Device, Frame]]]:
        """What is seen, as it comes, until the capture ends by itself or by `stop`."""
        assert self._background
        while (message := self._background.next()) is not None:
            yield message[1]

    def _end(self) -> None:
        assert self._background
        self.stop()
        try:
            self.recorded = self._background.result()
        finally:
            self._control.close()

    def _say(self, word: bytes, files: Sequence[int] = ()) -> None:
        with contextlib.suppress(BrokenPipeError):  # how it ended is told by who waits for it
            socket.send_fds(self._control, [word], files)

    def _done(self) -> Any:
        """Wait for the next answer. Raises why the capture has ended, if so."""
        assert self._background
        if (message := self._background.next()) is None:
            self._background.result()
            raise NetlabError("The capture has ended.")
        return message[1]

    def _hand_over(self, word: bytes, file: int | str | Path) -> None:
        """Have a file written there that was opened here, by the caller's own rights."""
        if isinstance(file, int):
            self._say(word, [file])
            return
        try:
            opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise BadInput(f"The file {shown(str(file))} cannot be written ({why}).") from None
        try:
            self._say(word, [opened])
        finally:
            os.close(opened)

    def _needs_ring(self, what: str) -> None:
        if self._wanted.into != "ring":
            raise BadInput(
                f"A capture into a file has nothing to {what}", "leave the file out to hold packets"
            )
