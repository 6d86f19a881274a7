"""A repair that cannot be stored is not begun; names that lead astray are given back."""

from __future__ import annotations

import subprocess

import pytest

from tests.kernel.conftest import Netlab
from tests.kernel.test_repair import sandbox
from tests.kernel.test_robust import sentence, shell

SMALL = ("flannel-host-gw", "--nodes", "2", "--pods-per-node", "2", "--set", "containers=1")
UP = ("up", *SMALL, "--no-verify")


@pytest.mark.parametrize(
    ("more", "spoil"),
    [
        ("", "mount --bind $lab $lab && mount -o remount,bind,ro $lab"),
        # A file system of the lab's own size, which is then full.
        (
            "--pods-per-node 3",
            "cp -a $lab $lab.copy; mount -t tmpfs -o size=1m none $lab; cp -a $lab.copy/. $lab; "
            "head -c 2m /dev/zero >$lab/filler 2>/dev/null || true",
        ),
    ],
    ids=["read-only", "full"],
)
def test_what_cannot_be_stored_is_not_begun(netlab: Netlab, spoil: str, more: str) -> None:
    netlab.ok(*UP)
    netlab.inside("node-1", "ip route del 10.244.1.0/24")
    lab = str(netlab.state / "flannel-host-gw")
    words = " ".join([*UP, more])
    done = shell(netlab, f"set -e; {spoil}; exec $netlab {words}", lab=lab)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "cannot be used" in sentence(done.stderr)
    left = netlab.run("--json", "diff").json
    assert [entry["namespace"] for entry in left["missing"]] == ["node-1"]
    assert not left["unexpected"]
    assert not list((netlab.state / "flannel-host-gw").glob(".plan*"))
    assert netlab.ok(*UP)["changes"] == 1
    subprocess.run(["rm", "-rf", f"{lab}.copy"], check=True)


@pytest.mark.parametrize(
    ("other", "containers"),
    [
        ("pod-1-2", "1"),
        pytest.param("node-2", "0", marks=pytest.mark.long),
        pytest.param("home", "1", marks=pytest.mark.long),
    ],
)
def test_a_name_of_another_namespace_is_given_back(
    netlab: Netlab, other: str, containers: str
) -> None:
    words = ("up", *SMALL[:-1], f"containers={containers}", "--no-verify")
    netlab.ok(*words)
    source = "/proc/1/ns/net" if other == "home" else f"/run/netns/{other}"
    # As `ip netns attach` would, were the name not taken.
    sandbox(netlab, f"umount -l /run/netns/pod-1-1; mount --bind {source} /run/netns/pod-1-1")
    assert netlab.run("diff").code == 1
    netlab.ok(*words)
    assert netlab.ok("diff")["ok"]
    assert netlab.ok("verify")["ok"]
    assert netlab.ok(*words)["writes"] == 0
    home = sandbox(netlab, "ip -o link | wc -l")
    assert int(home) == 1, "nothing of a pod is left in the sandbox's own namespace"


def test_a_second_name_for_a_namespace_is_taken_away(netlab: Netlab) -> None:
    netlab.ok(*UP)
    sandbox(netlab, "touch /run/netns/aaa; mount --bind /run/netns/pod-1-1 /run/netns/aaa")
    assert [item["namespace"] for item in netlab.run("--json", "diff").json["unexpected"]] == [
        "aaa"
    ]
    assert netlab.ok(*UP)["changes"] == 1
    assert netlab.ok("verify")["ok"]
