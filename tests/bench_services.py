"""What many Services cost, as ratios against the proxy's own programs in the same run.

    sudo .venv/bin/python tests/bench_services.py [PROXY] [--set OPTION=VALUE]… [--rounds N]
        [--services N] [--endpoints N] [--no-commands]

One node has 1,000 Services of 10 endpoints. Its peer is what loads the same rules and nothing else:
`iptables-restore`, `nft -f -` or `ipset restore` with the same text. Measured are the first load,
one endpoint that goes from one Service, and reading all of it for a comparison; then the commands
`up` and `diff` as a whole. Each figure is the median of the rounds; peers take turns within a
round, each in a namespace of its own, as machines are noisy.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from msgspec.structs import replace

from netlab.designing import design
from netlab.kernel import namespaces, rulesets
from netlab.plan.rulesets import Ipset, IptablesTable, NftTable, Ruleset
from netlab.plan.rulesets import iptables as iptables_tables
from netlab.plan.rulesets.nft_transaction import transaction as nft_transaction
from netlab.plan.shell.rulesets import command, lines

NETLAB = [sys.executable, "-m", "netlab"]
HERE = Path(__file__).parent
NODE = "node-1"
TOPOLOGY = """
from netlab import Cluster, Service

def topology(gone=0):
    services = [Service(f"s{{n}}", port=80, target_port=8080) for n in range({services})]
    if gone:
        pods = tuple(f"pod-1-{{n}}" for n in range(2, {endpoints} + 1))
        services[{services} // 2] = Service(
            f"s{{{services} // 2}}", port=80, target_port=8080, pods=pods)
    return Cluster(nodes=1, pods_per_node={endpoints}, containers=1, services=services,
                   dataplane="flannel-host-gw", proxy={proxy!r})
"""
Pair = tuple[Ruleset, Ruleset]


class Bench:
    """Collects seconds by row, of what takes turns."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.topology = folder / "services.py"
        self.topology.write_text(
            TOPOLOGY.format(
                services=options.services, endpoints=options.endpoints, proxy=options.proxy
            )
        )
        self.settings = {f"proxy.{key}": text for key, text in options.set}
        self.environment = os.environ | {
            "NETLAB_STATE": str(folder / "state"),
            "PYTHONPATH": str(HERE.parent),
        }
        began = time.perf_counter()
        self.want = self.planned(gone="0")
        self.seconds["plan"].append(time.perf_counter() - began)
        self.after = self.planned(gone="1")

    def planned(self, gone: str) -> list[Ruleset]:
        found = design(str(self.topology), self.settings | {"gone": gone})
        return list(found.plan.namespaces[NODE].ruleset)

    @property
    def changed(self) -> list[Pair]:
        old = {item.key: item for item in self.want}
        return [(item, old[item.key]) for item in self.after if item != old[item.key]]

    def timed(self, row: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        self.seconds[row].append(time.perf_counter() - began)

    def netlab(self, *arguments: str) -> dict[str, object]:
        done = subprocess.run(
            [*NETLAB, "--json", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"netlab {' '.join(arguments)} failed ({done.returncode}): {done.stderr}")
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def median(self, row: str) -> float:
        return statistics.median(self.seconds[row])


def feed(inputs: dict[str, str]) -> None:
    """Give each program its text, in the current namespace."""
    for program, text in inputs.items():
        done = subprocess.run(
            program.split(), input=text, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{program} failed ({done.returncode}): {done.stderr}")


def inputs(parts: Iterable[tuple[Ruleset, Iterable[str]]]) -> dict[str, str]:
    """What each program reads, all tables of one in one input."""
    found: dict[str, list[str]] = defaultdict(list)
    for item, text in parts:
        found[command(item)] += text
    return {program: "\n".join([*text, ""]) for program, text in found.items()}


def whole(items: Iterable[Ruleset]) -> dict[str, str]:
    return inputs((item, lines(item)) for item in items)


def difference(want: Ruleset, have: Ruleset) -> Iterator[str]:
    """The least that the program must read for a change."""
    if isinstance(want, NftTable) and isinstance(have, NftTable):
        yield from nft_transaction(want, have)
    elif isinstance(want, IptablesTable) and isinstance(have, IptablesTable):
        yield from iptables_tables.transaction(want, have)
    elif isinstance(want, Ipset) and isinstance(have, Ipset):
        gone, come = set(have.entries) - set(want.entries), set(want.entries) - set(have.entries)
        yield from (f"del {want.name} {entry}" for entry in gone)
        yield from (f"add {want.name} {entry}" for entry in come)


def partial_sync(want: IptablesTable, have: IptablesTable) -> Iterator[str]:
    """What kube-proxy's iptables mode writes: these chains always, all others if they changed."""
    always = {"KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"}
    if want.name == "filter":
        always = {chain.name for chain in want.chains if chain.policy is None}
    less = [chain for chain in have.chains if chain.name not in always]
    yield from iptables_tables.transaction(want, replace(have, chains=tuple(less)))


def kernel(bench: Bench) -> None:
    """One round of loading, changing and reading, with and without netlab."""
    load, changed = whole(bench.want), bench.changed
    change = inputs((want, difference(want, have)) for want, have in changed)
    with namespaces.scratch():
        bench.timed("load alone", lambda: feed(load))
        bench.timed("change alone", lambda: feed(change))
    if tables := sync_of(bench.want, bench.after):
        with namespaces.scratch():
            feed(load)
            bench.timed("change by kube-proxy", lambda: feed(inputs(tables)))
    with namespaces.scratch():
        bench.timed("load", lambda: rulesets.apply(bench.want, [], []))
        bench.timed("change", lambda: rulesets.apply([], changed, []))
        bench.timed("read", lambda: check(bench.after))


def sync_of(want: Sequence[Ruleset], after: Sequence[Ruleset]) -> list[tuple[Ruleset, list[str]]]:
    pairs = zip(after, want, strict=True)
    return [
        (new, list(partial_sync(new, old)))
        for new, old in pairs
        if isinstance(new, IptablesTable)
        and isinstance(old, IptablesTable)
        and new.name in ("filter", "nat")
    ]


def check(want: list[Ruleset]) -> None:
    """What `diff` does of it."""
    found = rulesets.observe(want, rulesets.prepare(want))
    assert found == want, "what was loaded is not what was planned"


def commands(bench: Bench) -> None:
    """One round of the whole commands, in a lab of its own."""
    settings = [f"--set={key}={text}" for key, text in bench.settings.items()]
    up = ("up", str(bench.topology), *settings, "--no-verify")
    bench.timed("up", lambda: bench.netlab(*up))
    bench.timed("diff", lambda: bench.netlab("diff"))
    bench.timed("up changed", lambda: bench.netlab(*up, "--set=gone=1"))
    bench.netlab("down")


def report(bench: Bench) -> None:
    options, median = bench.options, bench.median
    text = "".join(whole(bench.want).values())
    print(f"kernel {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs")
    print(
        f"{options.proxy}: {options.services} Services x {options.endpoints} endpoints on one node,"
        f" {text.count(chr(10)):,} lines, {len(text) / 1e6:.2f} MB"
    )
    line("planned, once", median("plan"))
    first, one = ("alone", median("load alone")), ("alone", median("change alone"))
    print("\nfirst load")
    line("its programs alone", first[1])
    line("netlab's write", median("load"), first)
    print("\none endpoint gone from one Service")
    line("its programs alone, the least change", one[1])
    peers = [one]
    if "change by kube-proxy" in bench.seconds:
        peers.append(("kube-proxy's sync", median("change by kube-proxy")))
        line("its programs alone, kube-proxy's partial sync", peers[-1][1])
    line("netlab's write", median("change"), *peers)
    print("\ncompared with the plan")
    line("read and compared", median("read"))
    if "up" in bench.seconds:
        print("\nwhole commands")
        line("up --no-verify", median("up"), first)
        line("diff", median("diff"))
        line("up again with the endpoint gone", median("up changed"))


def line(what: str, seconds: float, *peers: tuple[str, float]) -> None:
    ratios = "".join(f"   {seconds / other:6.2f} x {name}" for name, other in peers)
    print(f"{what:48s} {seconds:8.3f} s{ratios}")


def setting(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("proxy", nargs="?", default="iptables")
    parser.add_argument("--set", type=setting, action="append", default=[], help="its options")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--no-commands", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("The benchmark needs root: it makes namespaces.")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), options)
        for _ in range(options.rounds):
            kernel(bench)
            if not options.no_commands:
                commands(bench)
        report(bench)


if __name__ == "__main__":
    main()
