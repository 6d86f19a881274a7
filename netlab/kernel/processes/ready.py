"""Whether a process is ready: its ports are bound, its file is there, its command ends with 0."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from sys import byteorder

from netlab.kernel import enter, namespaces
from netlab.kernel.processes.containers import Known
from netlab.kernel.processes.daemons import filled, inside, program_path
from netlab.plan import etc
from netlab.plan.probing.queries import DaemonWords
from netlab.plan.processes import Ready

_LISTENING = "0A"  # TCP_LISTEN, as /proc/net/tcp shows it
_COMMAND_SECONDS = 5.0


def of_daemon(namespace: str, wanted: Ready, folder: Path) -> str:
    """What a daemon still lacks, in words; empty when it is ready."""
    with namespaces.inside(namespace):
        if lacks := _unbound(wanted, loopback=True):
            return lacks
        if wanted.file and not inside(folder, wanted.file).exists():
            return f"there is no file {wanted.file}"
        if wanted.command:
            return _failure([filled(word, folder) for word in wanted.command], folder)
    return ""


def of_container(namespace: str, wanted: Ready, container: Known) -> str:
    """What a container that lives still lacks, in words; empty when it is ready.

    Its ports are to be reached by others: kubelet asks the pod's address, not loopback.
    """
    with namespaces.inside(namespace):
        if lacks := _unbound(wanted, loopback=False):
            return lacks
    return _refusal(container, wanted.command) if wanted.command else ""


def _unbound(wanted: Ready, *, loopback: bool) -> str:
    """The port that nobody has in the calling thread's network namespace, in words."""
    for protocol, port, state in (("tcp", wanted.tcp, _LISTENING), ("udp", wanted.udp, "")):
        if port and port not in set(_bound(protocol, state, loopback=loopback)):
            where = "" if loopback else " on more than loopback"
            return f"{protocol.upper()} port {port} is not bound{where}"
    return ""


def _bound(protocol: str, state: str, *, loopback: bool) -> Iterator[int]:
    """The ports that sockets of the calling thread's network namespace are bound to."""
    for family in ("", "6"):
        table = Path(f"/proc/thread-self/net/{protocol}{family}")
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        for line in lines:
            fields = line.split()
            address, _, port = fields[1].rpartition(":")
            if (not state or fields[3] == state) and (loopback or not _is_loopback(address)):
                yield int(port, 16)


def _is_loopback(words: str) -> bool:
    """Whether an address is one, as /proc/net shows it: words in the machine's byte order."""
    raw = bytes.fromhex(words)
    if byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    address = IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw)
    return address.is_loopback


def _refusal(container: Known, command: tuple[str, ...]) -> str:
    """Run a command inside a container; what went wrong, in words."""
    variables = etc.environment(container.spec)
    try:
        done = enter.run(None, container.pid, command, variables, stdin="", limit=_COMMAND_SECONDS)
    except enter.NotFound:
        return f"`{' '.join(command)}` cannot be run (there is no such program)"
    except TimeoutError:
        return f"`{' '.join(command)}` does not end"
    return f"`{' '.join(command)}` ends with {done.code}" if done.code else ""


def _failure(command: list[str], folder: Path) -> str:
    """Run a command in the current network namespace; what went wrong, in words."""
    return asked(command, folder).error or ""


def asked(command: list[str], folder: Path) -> DaemonWords:
    """Run a command in the current network namespace; what it prints, or what went wrong."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"PATH": program_path()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return DaemonWords(error=f"`{' '.join(command)}` does not end")
    except OSError as error:
        return DaemonWords(error=f"`{' '.join(command)}` cannot be run ({error.strerror})")
    if done.returncode:
        return DaemonWords(error=f"`{' '.join(command)}` ends with {done.returncode}")
    return DaemonWords(done.stdout.decode(errors="replace"))
