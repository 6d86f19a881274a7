"""`up --rebuild`: one namespace is made anew, with its cables, settings and processes."""

from __future__ import annotations

import pytest

from tests.kernel.conftest import Netlab
from tests.kernel.test_repair import sandbox

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Netlab:
    shared.ok("up", "flannel-vxlan", "--nodes", "2", "--pods-per-node", "2", "--no-verify")
    return shared


def again(lab: Netlab, *options: str) -> object:
    return lab.ok("up", "flannel-vxlan", "--nodes", "2", "--pods-per-node", "2", *options)


def identity(lab: Netlab, target: str) -> str:
    """The namespace's number in the kernel, which a later one may get, and when it was made."""
    return sandbox(lab, f"stat -Lc '%i %z' /run/netns/{target}").strip()


@pytest.mark.parametrize("target", ["node-1", "pod-1-1", "underlay", "external"])
def test_a_target_is_made_anew_and_the_rest_stays(lab: Netlab, target: str) -> None:
    others = {"node-1", "node-2", "pod-1-1", "pod-2-1", "external"} - {target}
    before = {name: identity(lab, name) for name in (target, *others)}
    document = again(lab, "--rebuild", target)
    assert isinstance(document, dict)
    assert document["ok"]
    assert document["changes"] > 10
    after = {name: identity(lab, name) for name in (target, *others)}
    assert [name for name in before if before[name] != after[name]] == [target]
    assert lab.ok("diff")["ok"]


def test_what_nothing_else_repairs_goes_with_the_namespace(lab: Netlab) -> None:
    """A process that nobody started through netlab keeps a socket there, and a name is gone."""
    lab.inside("pod-1-2", "nohup sleep 1000 >/dev/null 2>&1 & echo started")
    containers = lab.ok("status")
    again(lab, "--rebuild", "pod-1-2")
    assert lab.ok("status")["health"] == containers["health"]
    assert "sleep 1000" not in lab.inside("pod-1-2", "ps ax || true")


def test_an_unknown_target_is_refused_and_so_is_a_lab_that_does_not_run(lab: Netlab) -> None:
    words = ("up", "flannel-vxlan", "--nodes", "2", "--pods-per-node", "2", "--rebuild")
    before = identity(lab, "node-1")
    refused = lab.run(*words, "node-7")
    assert (refused.code, refused.out) == (2, "")
    assert "node-7" in refused.err
    assert "Traceback" not in refused.err
    assert identity(lab, "node-1") == before
    refused = lab.run("-l", "other", *words, "node-1")
    assert (refused.code, refused.out) == (2, "")
    assert "--rebuild has no effect" in refused.err
    assert not (lab.state / "other").exists()
