"""Whether a daemon is ready: its ports are bound, its file is there, its command ends with 0."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from netlab.kernel import namespaces
from netlab.kernel.processes.daemons import filled, inside
from netlab.plan.processes import Daemon

_LISTENING = "0A"  # TCP_LISTEN, as /proc/net/tcp shows it
_COMMAND_SECONDS = 5.0


def lacking(namespace: str, daemon: Daemon, folder: Path) -> str:
    """What it still lacks, in words; empty when it is ready."""
    wanted = daemon.ready
    if wanted is None:
        return ""
    with namespaces.inside(namespace):
        if wanted.tcp and wanted.tcp not in set(_bound("tcp", _LISTENING)):
            return f"TCP port {wanted.tcp} is not bound"
        if wanted.udp and wanted.udp not in set(_bound("udp")):
            return f"UDP port {wanted.udp} is not bound"
        if wanted.file and not inside(folder, wanted.file).exists():
            return f"there is no file {wanted.file}"
        if wanted.command:
            return _failure([filled(word, folder) for word in wanted.command], folder)
    return ""


def _bound(protocol: str, state: str = "") -> Iterator[int]:
    """The ports that sockets of the calling thread's network namespace are bound to."""
    for family in ("", "6"):
        table = Path(f"/proc/thread-self/net/{protocol}{family}")
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        for line in lines:
            fields = line.split()
            if not state or fields[3] == state:
                yield int(fields[1].rpartition(":")[2], 16)


def _failure(command: list[str], folder: Path) -> str:
    """Run a command in the current network namespace; what went wrong, in words."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"`{' '.join(command)}` does not end"
    except OSError as error:
        return f"`{' '.join(command)}` cannot be run ({error.strerror})"
    return f"`{' '.join(command)}` ends with {done.returncode}" if done.returncode else ""
