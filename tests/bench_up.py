"""How long `up`, `up` again and `down` take, as ratios against peers in the same run.

    sudo .venv/bin/python tests/bench_up.py [--rounds N] [--pods N]

The peers are the script of `ip`, `bridge` and `nft` commands that `netlab plan --sh` prints, which
builds the same lab, and for the large lab also tests/floor.c: the same kernel work from C with
nothing in between. Each figure is the median of the rounds; peers take turns within a round, as
machines are noisy. Large rows have no containers, as the floor has none, except where said.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

NETLAB = [sys.executable, "-m", "netlab"]
HERE = Path(__file__).parent
NODES = 10


class Bench:
    """Runs commands with a state folder of its own and collects seconds by row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.environment = os.environ | {
            "NETLAB_STATE": str(folder / "state"),
            "PYTHONPATH": str(HERE.parent),
        }

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed ({done.returncode}): {done.stderr}")
        return done.stdout

    def timed(self, row: str, *command: str) -> str:
        began = time.perf_counter()
        output = self.run(*command)
        self.seconds[row].append(time.perf_counter() - began)
        return output

    def script(self, *options: str) -> str:
        """The shell script of a topology, written to a file."""
        path = self.folder / "lab.sh"
        path.write_text(self.run(*NETLAB, "plan", "flannel-vxlan", *options, "--sh"))
        return str(path)

    def median(self, row: str) -> float:
        return statistics.median(self.seconds[row])


def small(bench: Bench) -> None:
    """Two nodes with two pods of two containers each, verified."""
    size = ("--nodes", "2", "--pods-per-node", "2")
    settle()
    bench.timed("interpreter alone", sys.executable, "-c", "pass")
    document = json.loads(
        bench.timed("up and verify", *NETLAB, "--json", "up", "flannel-vxlan", *size)
    )
    assert document["ok"]
    bench.seconds["of it building"].append(document["seconds"])
    bench.seconds["of it verifying"].append(document["verify"]["seconds"])
    again = json.loads(
        bench.timed("up again", *NETLAB, "--json", "up", "flannel-vxlan", *size, "--no-verify")
    )
    assert again["writes"] == 0
    bench.timed("down", *NETLAB, "down")
    bench.timed("script", "sh", bench.script(*size), "true")


def large(bench: Bench, pods: int, floor: str) -> None:
    """Many pods on ten nodes."""
    size = ("--nodes", str(NODES), "--pods-per-node", str(pods // NODES))
    bare = (*size, "--set", "containers=0")
    up = (*NETLAB, "--json", "up", "flannel-vxlan")
    settle()
    output = bench.run(floor, str(pods), str(pods // NODES))
    bench.seconds["large floor"].append(float(output.split()[3]))
    settle()
    document = json.loads(bench.timed("large up whole command", *up, *bare, "--no-verify"))
    bench.seconds["large up"].append(document["seconds"])
    bench.timed("large up again", *up, *bare, "--no-verify")
    bench.timed("large verify", *NETLAB, "verify")
    bench.timed("large down", *NETLAB, "down")
    settle()
    with_containers = json.loads(bench.timed("large with containers", *up, *size, "--no-verify"))
    assert with_containers["ok"]
    bench.run(*NETLAB, "down")
    settle()
    bench.timed("large script", "sh", bench.script(*bare), "true")


def settle() -> None:
    """The kernel frees namespaces in the background; do not let one peer pay for another's."""
    time.sleep(3)


def report(bench: Bench, pods: int) -> None:
    median = bench.median
    print(f"kernel {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    print("\n2 nodes x 2 pods x 2 containers, flannel-vxlan")
    wall = median("up and verify") - median("interpreter alone")
    line("up and verified, after the interpreter's start", wall, ("script", median("script")))
    line("  of it building", median("of it building"), ("script", median("script")))
    line("  of it verifying", median("of it verifying"))
    line("up again, nothing differs (0 writes)", median("up again"), ("script", median("script")))
    line("down", median("down"), ("script", median("script")))
    if "large up" not in bench.seconds:
        return
    peers = ("floor", median("large floor")), ("script", median("large script"))
    print(f"\n{pods} pods on {NODES} nodes, flannel-vxlan")
    line("floor in C", median("large floor"))
    line("script of ip commands", median("large script"), peers[0])
    line("up", median("large up"), *peers)
    line("up, the whole command", median("large up whole command"), *peers)
    line("up with 2 containers a pod, whole command", median("large with containers"), *peers)
    line("up again, nothing differs (0 writes)", median("large up again"), *peers)
    line("verify, sampled", median("large verify"), *peers)
    line("down", median("large down"), *peers)


def line(what: str, seconds: float, *peers: tuple[str, float]) -> None:
    ratios = "".join(f"   {seconds / other:6.2f} x {name}" for name, other in peers)
    print(f"{what:48s} {seconds:8.3f} s{ratios}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pods", type=int, default=1000, help="of the large lab; 0: none")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("The benchmark needs root: its floor does.")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        floor = str(Path(folder) / "floor")
        if options.pods:
            bench.run("cc", "-O2", "-o", floor, str(HERE / "floor.c"))
        for _ in range(options.rounds):
            small(bench)
            if options.pods:
                large(bench, options.pods, floor)
        report(bench, options.pods)


if __name__ == "__main__":
    main()
