"""What a lab costs a test: an own one, a shared one that is put back, and none, in one run.

python tests/bench_pytest.py            the median of each kind
python tests/bench_pytest.py --many 5   200 tests under `-n 2`, so many times
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

LIMITS = {"own": 0.35, "shared": 0.06}  # seconds
ROUNDS = 20
MANY = 200
TESTS = """
import pytest

@pytest.fixture(scope="module", autouse=True)
def loaded():
    import netlab.running, netlab.making  # what only the first test of a run pays

@pytest.mark.parametrize("number", range({rounds}))
def test_empty(number):
    pass

@pytest.mark.parametrize("number", range({rounds}))
@pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=2)
def test_own(lab, number):
    pass

@pytest.mark.parametrize("number", range({rounds}))
@pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=2)
def test_shared(lab_module, number):
    pass
"""
MANY_TESTS = """
import pytest

@pytest.mark.parametrize("number", range({many} // 2))
@pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=2)
class TestMany:
    def test_own(self, lab, number):
        assert lab.pod("pod-1-1").reaches("pod-2-1", port=8080).via("vxlan")

    def test_shared(self, lab_module, number):
        assert lab_module.pod("pod-1-1").reaches("pod-2-2").via("vxlan")
        lab_module.node("node-1").run("ip", "route", "del", "10.244.1.0/24")
        assert lab_module.pod("pod-1-1").not_reaches("pod-2-2", timeout=0.1)
"""


def run(folder: Path, text: str, *options: str) -> tuple[int, str]:
    (folder / "test_bench.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--netlab-strict"]
    done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout


def costs(folder: Path) -> bool:
    """Print the medians; whether they are within the limits."""
    code, said = run(folder, TESTS.format(rounds=ROUNDS), "--junitxml=report.xml")
    if code:
        sys.exit(said)
    seconds: dict[str, list[float]] = defaultdict(list)
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        kind = case.attrib["name"].removeprefix("test_").split("[")[0]
        seconds[kind].append(float(case.attrib["time"]))  # setup and teardown too
    for kind, each in seconds.items():
        limit = f", at most {LIMITS[kind] * 1000:.0f}" if kind in LIMITS else ""
        median, first = statistics.median(each), each[0]
        print(f"{kind:<8}{median * 1000:7.1f} ms (the first {first * 1000:.0f} ms{limit})")
    return all(statistics.median(seconds[kind]) <= limit for kind, limit in LIMITS.items())


def many(folder: Path, times: int) -> bool:
    """Print how each run ended; whether all tests passed in all."""
    passed = True
    for _ in range(times):
        began = time.monotonic()
        code, said = run(folder, MANY_TESTS.format(many=MANY), "-n", "2")
        print(f"{time.monotonic() - began:6.1f} s: {said.splitlines()[-1]}", flush=True)
        if code:
            print(said)
        passed = passed and code == 0
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--many", type=int, metavar="TIMES", help=f"{MANY} tests under -n 2")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = many(folder, chosen.many) if chosen.many else costs(folder)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
