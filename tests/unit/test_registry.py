"""Adding a dataplane is adding one file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import netlab
from netlab import dataplane
from netlab.errors import BadInput
from netlab.plan.compile import compile_plan
from netlab.topology.layout import lay_out

NEW = """
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.flannel_host_gw import FlannelHostGw  # found under its own module only
from netlab.plan.dataplane import Frame


@dataclass(frozen=True, slots=True)
class Nothing:
    name: ClassVar[str] = "unit-nothing"
    family: ClassVar[str] = "unit"
    title: ClassVar[str] = "Nothing"
    summary: ClassVar[str] = "no connection at all"
    requires: ClassVar[tuple[str, ...]] = ("tun",)
    level: int = 1

    def pod_mtu(self, layout):
        return 1500

    def refuse(self, layout):
        return None

    def unreachable(self, layout, source, target):
        return "there is nothing"

    def configure(self, layout, node, spaces):
        spaces[node.name].routes.clear()

    def frame(self, layout, source, target):
        return Frame()
"""


@pytest.fixture
def new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "unit_nothing.py").write_text(NEW)
    monkeypatch.setattr(dataplane, "__path__", [*dataplane.__path__, str(tmp_path)])
    dataplane.registry.cache_clear()
    yield
    monkeypatch.undo()
    dataplane.registry.cache_clear()


def test_the_shipped_dataplanes_are_found() -> None:
    assert {"flannel-vxlan", "flannel-host-gw"} <= dataplane.registry().keys()
    assert all(name == kind.name for name, kind in dataplane.registry().items())


@pytest.mark.usefixtures("new_file")
def test_a_new_file_is_a_new_dataplane() -> None:
    assert "unit-nothing" in dataplane.registry()
    kind = dataplane.registry()["flannel-host-gw"]
    assert kind.__module__ == "netlab.dataplane.flannel_host_gw"
    value = dataplane.make("unit-nothing", {"level": 2})
    assert netlab.unit.Nothing(level=2) == value
    plan = compile_plan("x", lay_out(netlab.Cluster(dataplane=value)), value)
    assert plan.requires == ("veth", "bridge", "tun")


@pytest.mark.usefixtures("new_file")
def test_a_new_dataplane_has_its_options_at_once(tmp_path: Path) -> None:
    topology = tmp_path / "mine.py"
    topology.write_text(
        "from netlab import Cluster, unit\ntopology = Cluster(dataplane=unit.Nothing())\n"
    )
    loaded = dataplane.load_topology(str(topology), settings={"dataplane.level": "7"})
    assert loaded.dataplane == dataplane.make("unit-nothing", {"level": 7})


def test_without_the_file_there_is_no_such_dataplane() -> None:
    with pytest.raises(BadInput, match="There is no dataplane 'unit-nothing'"):
        dataplane.make("unit-nothing")
    with pytest.raises(AttributeError):
        _ = netlab.unit


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    with pytest.raises(BadInput, match="did you mean flannel-vxlan"):
        dataplane.make("flannel-vxlna")
