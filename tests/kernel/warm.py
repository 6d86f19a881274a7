"""A process that has loaded netlab and forks for each command: starting Python costs half a second.

A command that is run here is the command itself, with its own arguments, variables, folder, streams
and exit code; only what it would import is there already. Tests of how the program starts run it as
it is. `python -m tests.kernel.warm FD` serves the socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

PR_SET_MM, ENV_START, ENV_END = 35, 10, 11
_MOST = 1 << 20  # bytes of a request


class Warm:
    """The process, as who asks it sees it; any number of threads may."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # By this variable tests know the processes of a state folder's labs.
                env={key: os.environ[key] for key in os.environ if key != "NETLAB_STATE"},
            )

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], stdin: str, timeout: float
    ) -> tuple[int, str, str]:
        """Exit code, standard output and standard error; raises as `subprocess.run` does."""
        with contextlib.ExitStack() as files:
            streams = [files.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            streams[0].write(stdin.encode())
            streams[0].seek(0)
            answers, theirs = (files.enter_context(one) for one in socket.socketpair())
            request = {"arguments": arguments, "environment": environment, "folder": os.getcwd()}
            descriptors = [*(stream.fileno() for stream in streams), theirs.fileno()]
            socket.send_fds(self._socket, [json.dumps(request).encode()], descriptors)
            theirs.close()
            with answers.makefile("r") as lines:
                answers.settimeout(60)  # until the process has loaded everything
                pid = int(lines.readline())
                answers.settimeout(timeout)
                try:
                    code = int(lines.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(list(arguments), timeout) from None
            out, err = (_text(stream) for stream in streams[1:])
            return code, out, err

    def close(self) -> None:
        self._socket.close()
        self._process.wait(10)


def _text(stream: Any) -> str:
    stream.seek(0)
    text: str = stream.read().decode()
    return text


def serve(requests: socket.socket) -> None:
    """Fork for each request until nobody is there to ask."""
    _load()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, _MOST, 4)
        if not message:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _attend(json.loads(message), descriptors)
        for number in descriptors:
            os.close(number)


def _attend(request: dict[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Fork once more, and tell the process and what became of it."""
    *streams, answers = descriptors
    pid = os.fork()
    if pid == 0:
        _become(request, streams)
    os.write(answers, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _load() -> None:
    import netlab

    for module in pkgutil.walk_packages(netlab.__path__, "netlab."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("scapy.layers.inet")


def _become(request: dict[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Be the command, to its end."""
    code = 1
    try:
        for number, fd in enumerate(descriptors):
            os.dup2(fd, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        _show_environment()
        sys.argv = ["netlab", *request["arguments"]]
        from netlab.cli import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _show_environment() -> None:
    """Let the kernel show these variables as the process' own, as it does of one that was executed:
    so the tests find whatever a lab may leave."""
    block = b"".join(f"{key}={value}\0".encode() for key, value in os.environ.items())
    _show_environment.kept = buffer = ctypes.create_string_buffer(block)  # type: ignore[attr-defined]
    start = ctypes.addressof(buffer)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    # What ends must not come before what begins, whichever is set first.
    first, last = (PR_SET_MM, ENV_START, start), (PR_SET_MM, ENV_END, start + len(block))
    for words in (last, first, last):
        prctl(*(ctypes.c_ulong(word) for word in words), 0, 0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
