"""Labs of many nodes are green: what floods a switch with frames is no fault of the network."""

from __future__ import annotations

import pytest

from netlab.probe.engines.capture import Capture
from tests.kernel.conftest import Netlab


@pytest.mark.parametrize(
    ("topology", "nodes", "pods", "options", "paths"),
    [
        ("flannel-vxlan", 64, 2, ("containers=0",), 320),
        pytest.param(*("flannel-host-gw", 64, 2, ("containers=0",), 320), marks=pytest.mark.long),
        # All addresses of a segment but the router's; its containers answer in all at once.
        pytest.param(
            *("flannel-host-gw", 253, 1, ("containers=1", "underlay=192.168.0.0/23"), 1012),
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_lab_of_many_nodes_is_green(
    netlab: Netlab, topology: str, nodes: int, pods: int, options: tuple[str, ...], paths: int
) -> None:
    size = ("--nodes", str(nodes), "--pods-per-node", str(pods))
    settings = [word for option in options for word in ("--set", option)]
    report = netlab.ok("up", topology, *size, *settings)["verify"]
    wires = [check for check in report["checks"] if check["kind"] == "wire"]
    assert len(wires) >= paths
    assert all(check["ok"] for check in wires)


def test_frames_that_the_capture_lost_are_asked_for_again(
    netlab: Netlab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within this process, where the capture can be made to forget."""
    import netlab as package

    lost = iter([3, 0])
    monkeypatch.setattr(Capture, "dropped", property(lambda _self: next(lost, 0)))
    monkeypatch.setenv("NETLAB_STATE", str(netlab.state))
    said: list[str] = []
    with package.up("flannel-host-gw", nodes=2, pods_per_node=1, containers=0) as lab:
        assert lab.verify(progress=lambda words, _done, _total: said.append(words)).ok
    assert any("3 frames were lost by the capture" in words for words in said)
