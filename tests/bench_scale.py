"""What flows between the others see while nodes and pods come and go, in every shipped topology.

    sudo .venv/bin/python tests/bench_scale.py [--rate N] [--topology NAME]… [--no-verify]

Each lab gets a node more, one less, a pod a node more, and one less. Meanwhile there are flows
between pods of two nodes in both directions, in one node, from a node to a pod and back, and to the
client outside: of each, RATE packets of UDP a second and one TCP connection. What `up` then proves
by itself is part of it, unless said otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.traffic import Seen, flows_of, traffic

NETLAB = [sys.executable, "-m", "netlab"]
TOPOLOGIES = [path.stem for path in sorted(Path(__file__).parent.parent.glob("topologies/*.py"))]
FIXED = {"seed-cilium"}  # names its nodes, so that their number cannot be set
HEAD = f"{'topology and step':46s} {'changes':>7s} {'writes':>6s} {'s':>5s} {'checks':>11s}"
HEAD += f" {'sent':>6s} {'lost':>4s} {'slowest ms':>10s} {'messages':>8s} {'broken':>6s}"


class Bench:
    def __init__(self, state: str, rate: int, verify: bool) -> None:
        self.rate = rate
        self.more = () if verify else ("--no-verify",)
        root = str(Path(__file__).parent.parent)
        self.environment = os.environ | {"NETLAB_STATE": state, "PYTHONPATH": root}
        self.lost = 0

    def run(self, *arguments: str) -> Any:
        done = subprocess.run(
            [*NETLAB, "--json", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1) or not done.stdout:
            sys.exit(f"netlab {' '.join(arguments)} failed ({done.returncode}): {done.stderr}")
        return json.loads(done.stdout)

    def topology(self, name: str) -> None:
        self.run("up", name, "--no-verify")
        status = self.run("status")
        nodes = len(status["nodes"])
        pods = len(status["pods"]) // nodes
        steps = [] if name in FIXED else [("--nodes", nodes + 1), ("--nodes", nodes)]
        steps += [("--pods-per-node", pods + 1), ("--pods-per-node", pods)]
        for option, number in steps:
            with traffic(NETLAB, self.environment, flows_of(status), self.rate) as seen:
                found = self.run("up", name, option, str(number), *self.more)
            self.line(f"{name} {option} {number}", found, seen)
        self.run("down")

    def line(self, step: str, found: Any, seen: list[Seen]) -> None:
        checks = "-"
        if report := found.get("verify"):
            summary = report["summary"]
            checks = f"{summary['passed']}/{summary['checks']}"
        lost = sum(one.lost for one in seen)
        broken = [one for one in seen if one.broken]
        self.lost += lost + len(broken)
        slowest = max(max(one.slowest, one.slowest_message) for one in seen)
        print(
            f"{step:46s} {found['changes']:7d} {found['writes']:6d} {found['seconds']:5.2f} "
            f"{checks:>11s} {sum(one.sent for one in seen):6d} {lost:4d} {slowest:10.1f} "
            f"{sum(one.messages for one in seen):8d} {len(broken):6d}",
            flush=True,
        )
        for one in seen:
            if one.lost or one.broken:
                print(f"    {one.flow}: {one.lost} of {one.sent} lost at {one.when} {one.broken}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=1000, help="packets a second of each flow")
    parser.add_argument("--topology", action="append", choices=TOPOLOGIES)
    parser.add_argument("--no-verify", action="store_true")
    options = parser.parse_args()
    print(HEAD)
    with tempfile.TemporaryDirectory() as state:
        bench = Bench(state, options.rate, not options.no_verify)
        for name in options.topology or TOPOLOGIES:
            try:
                bench.topology(name)
            finally:
                subprocess.run([*NETLAB, "down", "--all"], env=bench.environment, check=False)
    sys.exit(bench.lost > 0)


if __name__ == "__main__":
    main()
