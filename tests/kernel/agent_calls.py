"""An agent with calls for tests, on the standard streams, and how long it endures silence:

python -m tests.kernel.agent_calls SECONDS
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from netlab.errors import Unmet
from netlab.hosts.agent import main
from netlab.hosts.protocol import Tell


def sleep(seconds: float, tell: Tell) -> str:
    """Tells a process that it started, and takes a while."""
    tell("started", subprocess.Popen(["sleep", "60"]).pid, os.getpid())
    time.sleep(seconds)
    return "slept"


def refuse(words: str, tell: Tell) -> str:
    raise Unmet(words, "bring something")


def stumble(words: str, tell: Tell) -> str:
    raise ValueError(words)


def vanish(words: str, tell: Tell) -> str:
    os.kill(os.getpid(), 9)
    return words


def much(size: int, tell: Tell) -> str:
    return "x" * size


def leave(words: str, tell: Tell) -> str:
    """Leaves a process that holds all that this one has open, as a daemon may."""
    if os.fork() == 0:
        os.setsid()
        time.sleep(1)
        os._exit(0)
    return words


if __name__ == "__main__":
    calls = {call.__name__: call for call in (sleep, refuse, stumble, vanish, much, leave)}
    main(calls, float(sys.argv[1]))
