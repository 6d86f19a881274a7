"""The pytest plugin's marks, what it explains, and what it costs whoever uses no lab."""

from __future__ import annotations

import subprocess
import sys

from netlab.plan.diff import Diff
from netlab.plan.probing.check import Check
from netlab.probe.result import Report
from netlab.pytest_plugin.explaining import explained
from netlab.pytest_plugin.marks import Wanted

LIGHT = {"netlab", "netlab.errors", "netlab.topology", "netlab.topology.check"}
HEAVY = ("pyroute2", "msgspec", "yaml", "click", "rich", "dpkt")


def test_the_plugin_imports_nothing_heavy() -> None:
    script = "import sys, pytest; before = set(sys.modules); import netlab.pytest_plugin; "
    script += "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    loaded = done.stdout.split()
    assert "netlab.pytest_plugin.marks" in loaded, done.stderr
    own = {name for name in loaded if name.startswith("netlab")}
    plugin = {name for name in own if name.startswith("netlab.pytest_plugin")}
    assert own - plugin <= {*LIGHT, "netlab.topology.model"}
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]
    assert "netlab.pytest_plugin.stock" not in plugin


def test_labs_are_alike_whoever_shares_them() -> None:
    first = Wanted("flannel-vxlan", {"nodes": 2}, "module")
    assert first.like(Wanted("flannel-vxlan", {"nodes": 2}, "session"))
    assert not first.like(Wanted("flannel-vxlan", {"nodes": 3}, "module"))
    assert not first.like(Wanted("flannel-vxlan", {"nodes": 2}, "module", force=True))


def test_what_equals_the_plan_is_said_to() -> None:
    assert explained([Diff(), 3, "text"]) == ["compared:  the kernel equals the plan"]


def test_a_report_names_what_failed_and_how_many_more() -> None:
    failed = Check("node-pod", "node-1", "pod-2-1", "a reply", "no reply", False, protocol="icmp")
    assert explained([Report(1.0, (failed,) * 12)]) == [
        "12 of 12 checks failed:",
        *["  node-pod: node-1 > pod-2-1 icmp: expected a reply, observed no reply"] * 10,
        "  and 2 more",
    ]


def test_the_last_value_of_each_kind_is_explained() -> None:
    assert explained([Report(1.0, ()), Diff(), Report(1.0, ())]) == [
        "all 0 checks passed",
        "compared:  the kernel equals the plan",
    ]
