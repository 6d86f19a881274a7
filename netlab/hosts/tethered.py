"""Run on a machine: a command, for as long as somebody takes what it prints.

ssh tells a command without a terminal nothing of its own end: it would go on for ever. Its output
leads nowhere then, and that can be seen. The standard library is all that this uses.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

_MERCY = 1000  # milliseconds between SIGHUP, as with a terminal, and SIGKILL


def main(command: list[str]) -> int:
    """Returns its exit code, for a signal 128 and its number."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            os.execvp(command[0], command)
        finally:
            os._exit(126)
    with contextlib.suppress(OSError):  # it may have done it itself, and be another program
        os.setpgid(pid, pid)
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(1, 0)  # whether nobody reads it is told in any case
    if ended in dict(poll.poll()):
        return _code(pid)
    poll.unregister(1)
    for last in (signal.SIGHUP, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, last)
        if poll.poll(_MERCY):
            break
    return _code(pid)


def _code(pid: int) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
