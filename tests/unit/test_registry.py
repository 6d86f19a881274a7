"""Adding a dataplane is adding one file; what is wrong with one costs that one alone."""

import functools
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

import netlab
from netlab import dataplane
from netlab.dataplane.attach.bridge import Bridge
from netlab.errors import BadInput
from netlab.loading import load_topology
from netlab.plan.compile import compile_plan
from netlab.plan.dataplane import Dataplane
from netlab.topology.layout import lay_out

NEW = """
from dataclasses import dataclass
from typing import ClassVar

from netlab.dataplane.attach.bridge import Bridge
from netlab.dataplane.flannel import HostGw  # found under its own module only
from netlab.plan.dataplane import Dataplane


@dataclass(frozen=True, slots=True)
class Nothing(Dataplane):
    name: ClassVar[str] = "unit-nothing"
    summary: ClassVar[str] = "no connection at all"
    requires: ClassVar[tuple[str, ...]] = ("tun",)
    level: int = 1

    def attach(self, layout, node):
        return Bridge(1500)

    def unreachable(self, layout, source, target):
        return "there is nothing"
"""
HEAD = """
from dataclasses import dataclass
from typing import ClassVar
from netlab.plan.dataplane import Dataplane
"""
Add = Callable[..., Path]


def forget() -> None:
    """Have the registry look again."""
    dataplane.DATAPLANES.forget()


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """`add(NAME, TEXT)` puts a file beside the dataplanes that are shipped."""
    monkeypatch.setattr(dataplane, "__path__", [*dataplane.__path__, str(tmp_path)])
    before = set(sys.modules)

    def add(name: str, text: str) -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        forget()
        return tmp_path / name

    yield add
    monkeypatch.undo()
    for module in set(sys.modules) - before:
        if module.startswith("netlab.dataplane."):
            del sys.modules[module]
    forget()


@pytest.fixture
def point(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """`point(VALUE)` is an entry point named `far`, as of another package that is installed."""

    def point(value: str) -> None:
        found = importlib.metadata.EntryPoint("far", value, dataplane.DATAPLANES.group)
        real = importlib.metadata.entry_points

        def entry_points(**select: Any) -> Any:
            return (found,) if select == {"group": dataplane.DATAPLANES.group} else real(**select)

        monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
        forget()

    yield point
    monkeypatch.undo()
    forget()


def test_the_shipped_dataplanes_are_found() -> None:
    assert {"flannel-vxlan", "flannel-host-gw"} <= dataplane.registry().keys()
    assert all(name == kind.name for name, kind in dataplane.registry().items())
    assert dataplane.found().problems == ()


def test_a_new_file_is_a_new_dataplane(add: Add) -> None:
    add("unit_nothing.py", NEW)
    assert "unit-nothing" in dataplane.registry()
    kind = dataplane.registry()["flannel-host-gw"]
    assert kind.__module__ == "netlab.dataplane.flannel.host_gw"
    value = dataplane.make("unit-nothing", {"level": 2})
    plan = compile_plan("x", lay_out(netlab.Cluster(dataplane=value)), value)
    assert set(plan.requires) == {"veth", "bridge", "tun"}
    assert set(dataplane.needs(type(value), ())[0]) == {"veth", "bridge", "tun"}
    assert not dataplane.found().problems


def test_a_new_folder_is_a_new_family(add: Add) -> None:
    add("unit_family/__init__.py", "")
    add("unit_family/nothing.py", NEW)
    kind = dataplane.registry()["unit-nothing"]
    assert dataplane.title(kind) == "unit_family.Nothing"


def test_a_new_dataplane_has_its_options_at_once(add: Add, tmp_path: Path) -> None:
    add("unit_nothing.py", NEW)
    topology = tmp_path / "topologies" / "mine.py"
    topology.parent.mkdir()
    topology.write_text(
        "from netlab import Cluster\ntopology = Cluster(dataplane='unit-nothing')\n"
    )
    loaded = load_topology(str(topology), settings={"dataplane.level": "7"})
    assert loaded.dataplane == dataplane.make("unit-nothing", {"level": 7})
    topology.write_text(
        "from netlab import Cluster\nfrom netlab.dataplane.unit_nothing import Nothing\n"
        "topology = Cluster(dataplane=Nothing('9'))\n"
    )
    with pytest.raises(BadInput, match=r"^unit_nothing\.Nothing\.level is '9', not a whole number"):
        load_topology(str(topology))


def test_without_the_file_there_is_no_such_dataplane() -> None:
    with pytest.raises(BadInput, match="There is no dataplane 'unit-nothing'"):
        dataplane.make("unit-nothing")
    with pytest.raises(AttributeError):
        _ = netlab.unit  # type: ignore[attr-defined]


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    with pytest.raises(BadInput, match="did you mean flannel-vxlan"):
        dataplane.make("flannel-vxlna")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = (", "cannot be loaded: SyntaxError: '(' was never closed"),
        ("1/0", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("import nowhere_at_all", "cannot be loaded: ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        ("raise ValueError('two\\nlines')", "cannot be loaded: ValueError: two lines"),
        (
            f"{HEAD}class Bare(Dataplane):\n    name = 'unit-bare'\n",
            "Bare is no dataplane: it lacks the decorator @dataclass(frozen=True)",
        ),
        (
            f"{HEAD}@dataclass(frozen=True)\nclass Empty(Dataplane):\n    name: ClassVar = ''\n",
            "Empty is no dataplane: it has no `name`",
        ),
        (NEW.replace("unit-nothing", "flannel-vxlan"), "its name 'flannel-vxlan' is taken"),
    ],
)
def test_a_bad_file_costs_that_dataplane_alone(add: Add, text: str, problem: str) -> None:
    before = set(dataplane.registry())
    add("unit_bad.py", text)
    assert set(dataplane.registry()) == before
    [said] = dataplane.found().problems
    assert said.startswith("netlab.dataplane.unit_bad")
    assert problem in said
    assert "\n" not in said
    assert dataplane.make("flannel-vxlan")


def test_a_bad_folder_costs_that_family_alone(add: Add) -> None:
    add("unit_family/__init__.py", "1/0")
    add("unit_family/nothing.py", NEW)
    assert "flannel-vxlan" in dataplane.registry()
    assert "unit-nothing" not in dataplane.registry()
    assert any("unit_family cannot be loaded: Zero" in said for said in dataplane.found().problems)


def test_what_is_told_of_a_bad_file_is_told_by_doctor(add: Add) -> None:
    from netlab.cli.host import _notes

    add("unit_bad.py", "1/0")
    assert any("unit_bad cannot be loaded" in note for note in _notes())


@dataclass(frozen=True, slots=True)
class Far(Dataplane):
    """A dataplane of another package."""

    name: ClassVar[str] = "far-away"
    hops: int = 1

    def attach(self, layout: Any, node: Any) -> Bridge:
        return Bridge(1500)


@dataclass(frozen=True)
class Unattached(Dataplane):
    name: ClassVar[str] = "unattached"


class NotEvenOne:
    name = "x"


HERE = Far.__module__


@pytest.mark.parametrize("value", [f"{HERE}:Far", f"{HERE}:Module"], ids=["class", "module"])
def test_a_dataplane_may_come_by_an_entry_point(
    point: Callable[[str], None], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = type(sys)(HERE)
    vars(module).update(Far=Far)
    monkeypatch.setattr(sys.modules[HERE], "Module", module, raising=False)
    point(value)
    assert dataplane.registry()["far-away"] is Far
    assert dataplane.make("far-away", {"hops": 3}) == Far(3)
    assert dataplane.title(Far) == "Far"
    assert dataplane.reference(Far(2))["file"] is None
    assert dataplane.resolve(dataplane.reference(Far(2))) == Far(2)
    assert not dataplane.found().problems


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("nowhere_at_all", "the entry point far cannot be loaded: ModuleNotFoundError"),
        (f"{HERE}:Nobody", "the entry point far cannot be loaded: AttributeError"),
        ("json", "json is neither a dataplane nor a module that defines one"),
        ("json:dumps", "json:dumps is neither a dataplane nor a module that defines one"),
        (f"{HERE}:Unattached", "Unattached is no dataplane: it has no method `attach`"),
        (
            f"{HERE}:NotEvenOne",
            "NotEvenOne is no dataplane: it is not a subclass of netlab.Dataplane",
        ),
    ],
)
def test_a_bad_entry_point_costs_that_one_alone(
    point: Callable[[str], None], value: str, problem: str
) -> None:
    point(value)
    [said] = dataplane.found().problems
    assert problem in said
    assert "flannel-vxlan" in dataplane.registry()


frozen: Callable[..., Any] = functools.partial(dataclass, frozen=True)


class Undecorated(Far):
    name = "undecorated"


@frozen()
class Field(Far):
    name: str = "field"  # type: ignore[misc]


@frozen(slots=True)
class SlottedField(Far):
    requires: tuple[str, ...] = ()  # type: ignore[misc]


@frozen()
class Number(Far):
    name: ClassVar[Any] = 5


@frozen()
class NoMethod(Far):
    headers: ClassVar[Any] = "IP"


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Far, None),
        (NotEvenOne, "it is not a subclass of netlab.Dataplane"),
        (Undecorated, "it lacks the decorator @dataclass(frozen=True)"),
        (Unattached, "it has no method `attach`, which says how pods are attached"),
        (Field, "its `name` must be a ClassVar, not a field"),
        (SlottedField, "its `requires` must be a ClassVar, not a field"),
        (Number, "it has no `name`"),
        (NoMethod, "its `headers` is not a method"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_a_class_lacks_is_one_sentence(kind: type[Any], problem: str | None) -> None:
    assert dataplane.flaw(kind) == problem
    if problem and hasattr(kind, "attach"):
        with pytest.raises(BadInput, match=f"^The class {kind.__name__} is no dataplane: .*[.]$"):
            dataplane.DATAPLANES.value(kind())


@pytest.mark.parametrize("value", [Far, 5, None, object()])
def test_what_is_no_value_of_a_dataplane_at_all(value: Any) -> None:
    with pytest.raises(BadInput, match=r"is not a value such as flannel\.Vxlan\(\)"):
        dataplane.DATAPLANES.value(value)


def test_another_process_finds_a_shipped_dataplane_with_its_options() -> None:
    value = dataplane.make("flannel-vxlan", {"vni": 7, "direct_routing": True})
    told = json.loads(json.dumps(dataplane.reference(value)))
    assert told["file"] is None
    assert dataplane.resolve(told) == value
    with pytest.raises(BadInput, match="There is no dataplane 'gone'"):
        dataplane.resolve(told | {"name": "gone"})
    with pytest.raises(BadInput, match=r"The dataplane flannel-vxlan is not what it was: .*'vnj'"):
        dataplane.resolve(told | {"options": {"vnj": 1}})


def test_a_class_that_stands_in_no_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that was typed in: no other command could find it."""
    monkeypatch.delattr(sys.modules[HERE], "__file__")
    with pytest.raises(BadInput, match="The dataplane Far stands in no file; write it into one"):
        dataplane.reference(Far())


def test_what_a_dataplane_needs_of_the_kernel_is_what_its_plan_holds() -> None:
    kinds = dataplane.registry()

    def needs(kind: type[Dataplane], *lacking: str) -> tuple[str, ...]:
        return dataplane.needs(kind, lacking)[0]

    assert set(needs(kinds["flannel-vxlan"])) >= {"veth", "bridge", "vxlan"}
    assert "vxlan" not in needs(kinds["flannel-host-gw"])
    assert needs(Unattached) == Unattached.requires, "a broken one costs nobody else"
    assert "ipip" in needs(kinds["calico-ipip"])
    assert "tun" in needs(kinds["calico-ipip"], "ipip")
    assert "ipip" not in needs(kinds["calico-ipip"], "ipip")


def test_host_gw_is_shorter_than_it_was() -> None:
    """64 lines, when each backend attached the pods itself."""
    file = Path(str(sys.modules[dataplane.registry()["flannel-host-gw"].__module__].__file__))
    assert len(file.read_text().splitlines()) < 64


def test_finding_them_takes_no_kernel_and_no_packets() -> None:
    code = (
        "import sys, netlab.dataplane as d; d.found(); "
        "print([m for m in sys.modules if m.split('.')[0] in ('pyroute2', 'scapy')"
        " or m.startswith('netlab.kernel')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
