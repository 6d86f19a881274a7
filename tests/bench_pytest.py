"""What a test with a lab costs, beside one without: `sudo python tests/bench_pytest.py`.

Each figure is a test's set-up, call and teardown as pytest tells them in JUnit, 2 nodes of 2 pods:
a lab of its own, or a shared one that is put back and compared. All are of one run, kind by kind,
as the kernel goes on freeing a lab in the time of the next test.
With `--repeated 5` also 200 tests by two workers, five times: all must pass.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

ROUNDS = 20
MARK = '@pytest.mark.netlab("flannel-vxlan", nodes=2, pods_per_node=2)'
KINDS = {
    "empty": "def test_empty_{n}(): pass",
    "own": f"{MARK}\ndef test_own_{{n}}(lab): pass",
    "shared": f"{MARK}\ndef test_shared_{{n}}(lab_module): pass",
}
ASKS = f"""{MARK}
def test_{{n}}(lab):
    assert lab.pod("pod-1-1").reaches("pod-2-1", port=8080).via("vxlan")

{MARK}
def test_shared_{{n}}(lab_module):
    assert lab_module.pod("pod-1-2").reaches("pod-2-2")
    lab_module.node("node-1").run("ip", "route", "del", "10.244.1.0/24")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeated", type=int, default=0, metavar="TIMES")
    repeated = parser.parse_args().repeated
    tests = [text.format(n=n) for text in KINDS.values() for n in range(ROUNDS)]
    _, cases = run(tests)
    for kind in KINDS:
        # The first of each imports and compiles what the others find.
        seconds = sorted(one for name, one in cases if name.startswith(f"test_{kind}_"))[:-1]
        middle, most = statistics.median(seconds), seconds[-1]
        print(f"{kind:<8}{middle * 1000:7.1f} ms median, {most * 1000:.1f} ms at most")
    for turn in range(repeated):
        started = time.monotonic()
        code, cases = run([ASKS.format(n=n) for n in range(100)], "-n", "2")
        print(
            f"{len(cases)} tests, run {turn + 1}: {time.monotonic() - started:.1f} s, exit {code}"
        )


def run(tests: list[str], *options: str) -> tuple[int, list[tuple[str, float]]]:
    """Pytest's exit code, and what each test took, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_it.py").write_text("import pytest\n\n" + "\n\n".join(tests) + "\n")
        words = ["-q", "-p", "no:cacheprovider", "--junitxml=junit.xml", *options]
        command = [sys.executable, "-m", "pytest", *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            print(done.stdout[-4000:])
        cases = ElementTree.parse(Path(folder, "junit.xml")).iter("testcase")
        return done.returncode, [(c.attrib["name"], float(c.attrib["time"])) for c in cases]


if __name__ == "__main__":
    main()
