"""The cable between VMs: what one sends, all others get. The place to capture and to cut."""

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

FULL = 0.5  # seconds for a VM to take a frame; then it is dropped, as a switch would
CAPTURED = 100_000  # frames at most


class Wire:
    """A hub for QEMU's `-netdev dgram`: each VM has a socket, and sends to the one that is here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "hub"))
        self._socket.settimeout(FULL)
        self._ports: list[str] = []
        self._captured: deque[bytes] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def options(self, name: str) -> str:
        """What QEMU's `-netdev` is to be for this VM, and for it again when it comes back."""
        port = self._folder / f"port-{name}"
        port.unlink(missing_ok=True)
        if str(port) not in self._ports:
            self._ports.append(str(port))
        local = f"local.type=unix,local.path={port}"
        return f"dgram,{local},remote.type=unix,remote.path={self._folder / 'hub'}"

    @contextlib.contextmanager
    def capture(self) -> Iterator[deque[bytes]]:
        """The frames that are sent meanwhile, each once."""
        self._captured = frames = deque(maxlen=CAPTURED)
        try:
            yield frames
        finally:
            self._captured = None

    def close(self) -> None:
        self._closed = True
        self._thread.join()
        self._socket.close()

    def _carry(self) -> None:
        while not self._closed:
            try:
                frame, sender = self._socket.recvfrom(1 << 16)
            except TimeoutError:
                continue
            if self._captured is not None:
                self._captured.append(frame)
            for port in self._ports:
                if port != sender:
                    # Nobody is there (a VM that is off), or it takes nothing.
                    with contextlib.suppress(OSError):
                        self._socket.sendto(frame, port)
