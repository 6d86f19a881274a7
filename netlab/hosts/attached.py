"""A command in a namespace of another machine, with the caller's own terminal or streams.

It is netlab's own `exec` there, through ssh, which hands on what is typed and printed as it comes.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import IO, Any

import msgspec

from netlab.errors import BadInput, LabUnavailable, NetlabError, Unmet
from netlab.hosts.connection import Connection, Unreachable
from netlab.hosts.ssh import cause
from netlab.kernel.enter import Completed
from netlab.kernel.syscalls import die_with_parent

_SAID = "netlab: "  # what every sentence of the command line begins with
_KINDS = {kind.exit_code: kind for kind in (NetlabError, BadInput, Unmet, LabUnavailable)}


class _Document(msgspec.Struct):
    """What `exec` there prints with --json."""

    exit_code: int
    stdout: str
    stderr: str


def attach(connection: Connection, words: Sequence[str]) -> Completed:
    """Run `netlab WORDS` there; returns its exit code."""
    return Completed(_run(connection, words, terminal=os.isatty(0) and os.isatty(1)))


def catch(connection: Connection, words: Sequence[str]) -> Completed:
    """Run `netlab --json WORDS` there, which is an `exec`; returns what that tells.

    Raises what it does not tell for, and Unreachable.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = _run(connection, ["--json", *words], out, err)
        printed, said = _whole(out), _whole(err).decode(errors="replace")
    with contextlib.suppress(ValueError):
        found = msgspec.json.decode(printed, type=_Document)
        return Completed(found.exit_code, found.stdout, found.stderr)
    name = connection.name
    for line in said.splitlines():
        if line.startswith(_SAID) and code in _KINDS:
            raise _KINDS[code](f"{name}: {line.removeprefix(_SAID)}")
    why, remedy = cause(said, code)
    raise Unreachable(f"The machine {name} cannot be used: {why}", remedy, name)


def _run(
    connection: Connection,
    words: Sequence[str],
    out: IO[bytes] | None = None,
    err: IO[bytes] | None = None,
    *,
    terminal: bool = False,
) -> int:
    way, folder = connection.way, connection.folder
    command = [f"{folder}/bin/netlab", *words]
    if not terminal:
        command = [way.python, "-I", "-S", f"{folder}/netlab/hosts/tethered.py", *command]
    shell = way.as_root(*command, terminal=terminal, stdin=True)
    # The password goes before what the caller gives, which then has to pass through here.
    passing = subprocess.PIPE if way.password and not terminal else None
    with subprocess.Popen(
        way.command(shell, terminal=terminal),
        stdin=passing,
        stdout=out,
        stderr=err,
        preexec_fn=functools.partial(die_with_parent, os.getpid()),
    ) as process:
        if process.stdin:
            given = (process.stdin, way.password.encode() + b"\n")
            threading.Thread(target=_pass_on, args=given, daemon=True).start()
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            raise


def _pass_on(to: Any, first: bytes) -> None:
    with contextlib.suppress(OSError, ValueError), to:
        data = first
        while data:
            to.write(data)
            to.flush()
            data = os.read(0, 1 << 16)


def _whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
