"""Dataplanes: a folder for each family, a file for each backend. The registry finds them.

A dataplane is a frozen dataclass below `netlab.plan.dataplane.Dataplane` with a `name`. It may also
stand in a user's own topology file, or come from another package by an entry point of the group
`netlab.dataplanes`. What is wrong with one costs that one alone.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
import sys
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from netlab.errors import BadInput, Unmet, shown, unknown
from netlab.plan.compile import compile_plan
from netlab.plan.dataplane import Dataplane
from netlab.plan.types import Reference
from netlab.topology import loader
from netlab.topology.check import fit
from netlab.topology.convert import convert
from netlab.topology.layout import lay_out
from netlab.topology.model import Cluster, DataplaneNamed

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PREFIX = "dataplane."
GROUP = "netlab.dataplanes"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A topology that was read. `cluster.dataplane` is `dataplane`, here with its real type."""

    name: str
    cluster: Cluster
    dataplane: Dataplane


@dataclass(frozen=True, slots=True)
class Found:
    """Every dataplane's class by its name, as `flannel-vxlan`; and what could not be one, why."""

    kinds: Mapping[str, type[Dataplane]]
    problems: tuple[str, ...]


@functools.cache
def found() -> Found:
    """Look through this package and the entry points of others."""
    return _find([*_modules(), *_points()])


@functools.cache
def _shipped() -> Found:
    return _find(_modules())


def lookup(name: str) -> type[Dataplane] | None:
    """The class of that name; entry points are looked through (10 ms) where no file has it."""
    return _shipped().kinds.get(name) or registry().get(name)


def _find(sources: Iterable[tuple[str, Callable[[], Any]]]) -> Found:
    kinds: dict[str, type[Dataplane]] = {}
    problems: list[str] = []
    for where, load in sources:
        try:
            classes = list(_dataplanes(load()))
        except (Exception, SystemExit) as error:  # whatever a file of somebody else's does
            said = " ".join(str(error).split())
            problems.append(f"{where} cannot be loaded: {type(error).__name__}: {said}")
            continue
        for kind in classes:
            problem = flaw(kind)
            if problem is None and kinds.setdefault(kind.name, kind) is not kind:
                problem = f"its name '{kind.name}' is taken"
            if problem:
                problems.append(f"{where}: {kind.__name__} is no dataplane: {problem}")
    return Found(kinds, tuple(problems))


def registry() -> Mapping[str, type[Dataplane]]:
    """Every dataplane's class by its name."""
    return found().kinds


def _modules() -> Iterator[tuple[str, Callable[[], Any]]]:
    for info in pkgutil.walk_packages(__path__, __name__ + ".", onerror=lambda _name: None):
        yield info.name, functools.partial(importlib.import_module, info.name)


def _points() -> Iterator[tuple[str, Callable[[], Any]]]:
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP):
        yield f"the entry point {point.name}", functools.partial(_named, point)


def _named(point: EntryPoint) -> Any:
    source = point.load()
    if not isinstance(source, type) and not list(_dataplanes(source)):
        raise LookupError(f"{point.value} is neither a dataplane nor a module that defines one")
    return source


def _dataplanes(source: Any) -> Iterator[type[Dataplane]]:
    """The dataplanes that a module defines itself, or a class that an entry point names."""
    if isinstance(source, type):
        yield source
        return
    for value in vars(source).values() if isinstance(source, ModuleType) else ():
        if _is_dataplane(value) and value.__module__ == source.__name__:
            yield value


def _is_dataplane(value: object) -> bool:
    """Whether it is a class that means to be one: bases of a family have no name."""
    return isinstance(value, type) and issubclass(value, Dataplane) and "name" in vars(value)


def flaw(kind: type[Any]) -> str | None:
    """What a class lacks to be a dataplane, in words; None where it is one."""
    if not issubclass(kind, Dataplane):
        return "it is not a subclass of netlab.Dataplane"
    if "__dataclass_fields__" not in vars(kind):
        return "it lacks the decorator @dataclass(frozen=True)"
    fields = {field.name for field in dataclasses.fields(kind)}
    for name in ("name", "summary", "requires", "ipam", "dual_stack", "explains"):
        if name in fields:
            return f"its `{name}` must be a ClassVar, not a field"
    if not isinstance(kind.name, str) or not kind.name:
        return "it has no `name`"
    if kind.attach is Dataplane.attach:
        return "it has no method `attach`, which says how pods are attached"
    for name, method in vars(Dataplane).items():
        if callable(method) and not name.startswith("_") and not callable(getattr(kind, name)):
            return f"its `{name}` is not a method"
    return None


def needs(kind: type[Dataplane], lacking: Collection[str]) -> tuple[tuple[str, ...], str]:
    """The features of the kernel that a small cluster takes on it, with its default options, where
    these are lacking; and what then carries packets, where it has a choice.

    Raises Unmet where what plans it lacks something.
    """
    try:
        dataplane = kind().without(lacking)
        layout = lay_out(Cluster(nodes=2, pods_per_node=1), dataplane.allocator())
        plan = compile_plan(kind.name, layout, dataplane, force=True)
        return plan.requires, dataplane.carrier()
    except Unmet:
        raise
    except Exception:  # a stranger's, or one that has no defaults
        return kind.requires, ""


def title(kind: type[Dataplane]) -> str:
    """How Python calls it, as `flannel.Vxlan`."""
    parts = kind.__module__.split(".")
    return f"{parts[2]}.{kind.__name__}" if parts[:2] == __name__.split(".") else kind.__name__


def make(name: str, options: Mapping[str, Any] | None = None) -> Dataplane:
    """The dataplane of that name, with options; raises BadInput for a name that is unknown."""
    kind = lookup(name)
    if kind is None:
        raise unknown("dataplane", name, registry())
    return kind(**(options or {}))


def load_topology(
    name: str,
    *,
    nodes: int | None = None,
    pods_per_node: int | None = None,
    settings: Mapping[str, str] = loader.NO_SETTINGS,
) -> Loaded:
    """Run a topology's file, by name or path, and apply what the user set.

    Settings are those of `netlab.topology.loader.load`, and `dataplane.OPTION` for a field of the
    dataplane. Raises BadInput.
    """
    own = {key: text for key, text in settings.items() if key.startswith(PREFIX)}
    cluster = loader.load(
        name,
        nodes=nodes,
        pods_per_node=pods_per_node,
        settings={key: text for key, text in settings.items() if key not in own},
        more_options=lambda cluster: _options(value_of(cluster)),
    )
    dataplane = _with_options(value_of(cluster), own)
    stem = loader.find(name).stem
    return Loaded(stem, dataclasses.replace(cluster, dataplane=dataplane), dataplane)


def value_of(cluster: Cluster) -> Dataplane:
    """The dataplane of a cluster, checked. Raises BadInput."""
    value: Any = cluster.dataplane
    if isinstance(value, str):
        return make(value)
    if isinstance(value, DataplaneNamed):
        return _with_values(make(value.name), _tuples(value.options))
    if isinstance(value, type) or not (
        isinstance(value, Dataplane) or hasattr(type(value), "attach")
    ):
        raise BadInput(f"The dataplane {shown(value)} is not a value such as flannel.Vxlan().")
    if problem := flaw(type(value)):
        raise BadInput(f"The class {type(value).__name__} is no dataplane: {problem}.")
    checked: Dataplane = value
    return _checked(checked)


def _checked(value: Dataplane) -> Dataplane:
    """The dataplane, whose options have the types that they must. Raises BadInput."""
    for key, wanted in _options(value).items():
        name = key.removeprefix(PREFIX)
        try:
            fit(getattr(value, name), wanted, f"{title(type(value))}.{name}")
        except TypeError as error:
            raise BadInput(f"{error}.") from error
    return value


def guarded(dataplane: Dataplane, work: Callable[[], T]) -> T:
    """Do work that calls a dataplane's methods; what a stranger's raises becomes one sentence."""
    if type(dataplane) in _shipped().kinds.values():
        return work()
    file = _file_of(type(dataplane))
    return loader.guard(file, work) if file else work()


def _file_of(kind: type[Dataplane]) -> Path | None:
    """The file in which a class stands; None where it was typed in."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return Path(file) if file else None


def reference(dataplane: Dataplane) -> Reference:
    """How another process finds the same dataplane: `resolve` is the inverse. Raises BadInput."""
    options = {
        field.name: getattr(dataplane, field.name) for field in dataclasses.fields(dataplane)
    }
    kind = type(dataplane)
    known = lookup(dataplane.name) is kind
    file = None if known else _file_of(kind)
    if file is None and not known:
        raise BadInput(
            f"The dataplane {kind.__name__} stands in no file",
            "write it into one, where other commands find it",
        )
    return {
        "name": dataplane.name,
        "options": options,
        "file": str(file.absolute()) if file else None,
        "class": kind.__name__,
    }


def resolve(data: Reference) -> Dataplane:
    """The dataplane that `reference` told of, from the registry or its topology's file.

    Raises BadInput where there is no such one any more.
    """
    name, file = data["name"], data["file"]
    kind = lookup(name) if file is None else _kind_in(Path(file), data["class"])
    if kind is None:
        raise unknown("dataplane", name, registry())
    try:
        return _checked(kind(**_tuples(data["options"])))
    except TypeError as error:
        raise BadInput(f"The dataplane {name} is not what it was: {error}.") from error


def _kind_in(file: Path, name: str) -> type[Dataplane]:
    kind = getattr(loader.module(file), name, None)
    if not isinstance(kind, type) or flaw(kind):
        raise BadInput(f"{file} has no dataplane {name} any more.")
    return kind


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples, and options that are sequences are tuples."""
    return {key: tuple(one) if isinstance(one, list) else one for key, one in options.items()}


def _options(dataplane: Dataplane) -> dict[str, Any]:
    """The options of a dataplane as the user writes them, with their types."""
    hints = typing.get_type_hints(type(dataplane))
    return {PREFIX + field.name: hints[field.name] for field in dataclasses.fields(dataplane)}


def _with_options(dataplane: Dataplane, given: Mapping[str, str]) -> Dataplane:
    options = _options(dataplane)
    values = {}
    for key, text in given.items():
        if key not in options:
            raise unknown("option", key, options)
        values[key.removeprefix(PREFIX)] = convert(text, options[key], key)
    return dataclasses.replace(dataplane, **values)


def _with_values(dataplane: Dataplane, values: Mapping[str, Any]) -> Dataplane:
    """The dataplane with options that have their types already. Raises BadInput."""
    for name in values:
        if name not in (known := [field.name for field in dataclasses.fields(dataplane)]):
            raise unknown(f"option of {dataplane.name}", name, known)
    return _checked(dataclasses.replace(dataplane, **values))
