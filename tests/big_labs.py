"""Are large labs that are whole called so? `sudo python tests/big_labs.py [-n TIMES] [--busy]`.

Each lab is brought up, verified and taken down so many times. A line tells how many checks there
were and how many failed, what the probes said of themselves, and the seconds of each verification.
`--busy` keeps all processors busy meanwhile. The exit code is 1 where any check failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import netlab

LABS: dict[str, dict[str, Any]] = {
    "64x2": {"nodes": 64, "pods_per_node": 2},
    "100x2": {"nodes": 100, "pods_per_node": 2},
    "253x1": {"nodes": 253, "pods_per_node": 1, "underlay": "192.168.0.0/23"},
}
DATAPLANES = ("flannel-vxlan", "flannel-host-gw")


@contextlib.contextmanager
def busy(wanted: bool) -> Iterator[None]:
    """All processors at work on something else."""
    count = len(os.sched_getaffinity(0)) if wanted else 0
    idle = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(idle) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(dataplane: str, options: dict[str, Any], times: int) -> tuple[str, int]:
    """What so many verifications came to, and how many checks failed."""
    said: list[str] = []

    def listen(words: str, _done: int, _total: int) -> None:
        if " again: " in words:
            said.append(words)

    reports = []
    for _ in range(times):
        with netlab.up(dataplane, **options) as lab:
            reports.append(lab.verify(progress=listen))
    failed = [check for report in reports for check in report.failed]
    seconds = " ".join(f"{report.seconds:.2f}" for report in reports)
    words = f"{len(reports[0].checks)} checks, {len(failed)} failed; {seconds} s"
    words += "".join(f"\n    {note}" for note in said)
    for check in failed[:5]:
        words += f"\n    {check.kind} {check.source} > {check.target}: {check.observed}"
    return words, len(failed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=5, metavar="TIMES")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--lab", choices=LABS, action="append", help="only this one")
    asked = parser.parse_args()
    total = 0
    with tempfile.TemporaryDirectory() as state, busy(asked.busy):
        os.environ["NETLAB_STATE"] = state
        for name in asked.lab or LABS:
            for dataplane in DATAPLANES:
                words, failed = measure(dataplane, LABS[name], asked.n)
                print(f"{name} {dataplane}: {words}", flush=True)
                total += failed
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
