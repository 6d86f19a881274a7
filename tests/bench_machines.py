"""What it costs that a lab is on two machines: the same lab on one of them, in the same run.

    ./bootstrap python tests/bench_machines.py [--rounds N]

The machines are VMs in emulation (see `tests/hosts`), and prepared before. On one machine netlab
runs there; over both it runs here, and reaches them by ssh. Medians of so many rounds, in seconds.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.hosts.machines import Machine, Machines

TOPOLOGY = "flannel-vxlan"
ALONE = "/var/lib/netlab/current/bin/netlab"  # where `netlab` puts itself on a machine
COMMANDS = {"up": f"up {TOPOLOGY} --no-verify", "again": f"up {TOPOLOGY} --no-verify"}
COMMANDS |= {"verify": "verify", "diff": "diff", "down": "down"}
LIMIT = 300


def on_one(machine: Machine) -> dict[str, float]:
    return {
        name: timed(lambda w=words: machine.run(f"{ALONE} {w}", LIMIT).check())
        for name, words in COMMANDS.items()
    }  # type: ignore[misc]


def on_all(machines: Machines) -> dict[str, float]:
    found = {}
    for name, words in COMMANDS.items():
        there = ("--inventory", str(machines.inventory)) if words.startswith("up") else ()
        found[name] = timed(lambda w=words, t=there: machines.netlab(*w.split(), *t).check())  # type: ignore[misc]
    return found


def timed(work: object) -> float:
    started = time.monotonic()
    work()  # type: ignore[operator]
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with Machines(2) as machines:
        first = timed(lambda: on_all(machines))
        print(f"first of all, netlab put on both included: {first:.1f} s for all commands")
        alone, spread = [], []
        for _ in range(rounds):
            alone.append(on_one(machines.all[0]))
            spread.append(on_all(machines))
    print(f"{'':8}{'on one':>8}{'on two':>8}{'more':>8}{'ratio':>8}")
    for name in COMMANDS:
        one, two = (median(found[name] for found in all_) for all_ in (alone, spread))
        print(f"{name:8}{one:8.2f}{two:8.2f}{two - one:8.2f}{two / one:8.2f}")


if __name__ == "__main__":
    main()
