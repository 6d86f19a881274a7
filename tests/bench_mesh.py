"""How long all pairs of pods take: `sudo python tests/bench_mesh.py [LAB …]`.

Prints the seconds of `verify --full`, of which those that its processes had a processor, and how
many pairs that is a second. The exit code is 1 where a check failed.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time

import netlab

LABS = {"1x253": (1, 253), "10x100": (10, 100), "4x250": (4, 250)}


def measure(nodes: int, pods: int) -> tuple[str, int]:
    with netlab.up("flannel-vxlan", nodes=nodes, pods_per_node=pods, containers=0) as lab:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        report = lab.verify(full=True)
        seconds = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime - before.ru_utime + used.ru_stime - before.ru_stime
    pairs = nodes * pods * (nodes * pods - 1)
    words = f"{pairs:,} pairs in {seconds:.2f} s ({cpu:.2f} s of CPU), {pairs / seconds:,.0f}/s"
    return f"{words}, {len(report.failed)} failed", len(report.failed)


def main() -> int:
    total = 0
    with tempfile.TemporaryDirectory() as state:
        os.environ["NETLAB_STATE"] = state
        for name in sys.argv[1:] or LABS:
            words, failed = measure(*LABS[name])
            print(f"{name}: {words}", flush=True)
            total += failed
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
