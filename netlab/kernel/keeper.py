"""The keeper: process 1 of a lab's sandbox. It holds the sandbox's namespaces, reaps, and waits.

While `up` is building, the keeper reads from a pipe whose other end only `up` has: when `up` ends
before it said that the lab is whole, however it ended, the keeper ends too, and with process 1 the
kernel ends every process and frees every namespace of the lab. Run as a program, not imported, so
that it stays as small as an interpreter can be.
"""

from __future__ import annotations

import os
import signal
import sys

WHOLE = b"w"


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps for a parent that ignores it
    gate = int(sys.argv[1])
    if os.read(gate, 1) != WHOLE:
        return
    os.close(gate)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
