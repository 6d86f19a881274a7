"""One file per dataplane. The registry finds them; nothing else names them.

A module of this package that defines a class with a `name`, `family` and `title` of its own is a
dataplane (the shape is `netlab.plan.dataplane.Dataplane`); the others are what they share.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from netlab.errors import BadInput, unknown
from netlab.plan.dataplane import Dataplane
from netlab.topology import loader
from netlab.topology.check import fit, shown
from netlab.topology.convert import convert
from netlab.topology.model import Cluster

PREFIX = "dataplane."


@dataclass(frozen=True, slots=True)
class Loaded:
    """A topology that was read. `cluster.dataplane` is `dataplane`, here with its real type."""

    name: str
    cluster: Cluster
    dataplane: Dataplane


@functools.cache
def registry() -> dict[str, type[Any]]:
    """Every dataplane's class by its name, as `flannel-vxlan`."""
    found: dict[str, type[Any]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            if _is_dataplane(value) and value.__module__ == module.__name__:
                found[value.name] = value
    return found


def families() -> dict[str, SimpleNamespace]:
    """What a topology file imports: `flannel.Vxlan` is the dataplane `flannel-vxlan`."""
    result: dict[str, SimpleNamespace] = {}
    for kind in registry().values():
        setattr(result.setdefault(kind.family, SimpleNamespace()), kind.title, kind)
    return result


def make(name: str, options: dict[str, Any] | None = None) -> Dataplane:
    """The dataplane of that name, with options; raises BadInput for a name that is unknown."""
    if name not in registry():
        raise unknown("dataplane", name, registry())
    dataplane: Dataplane = registry()[name](**(options or {}))
    return dataplane


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
        more_options=lambda cluster: _options(_value(cluster)),
    )
    dataplane = _with_options(_value(cluster), own)
    stem = loader.find(name).stem
    return Loaded(stem, dataclasses.replace(cluster, dataplane=dataplane), dataplane)


def _is_dataplane(value: object) -> bool:
    return isinstance(value, type) and "family" in vars(value)


def _value(cluster: Cluster) -> Dataplane:
    value = cluster.dataplane
    if isinstance(value, str):
        return make(value)
    if type(value) not in registry().values():
        raise BadInput(f"The dataplane {shown(value)} is not a value such as flannel.Vxlan().")
    for key, wanted in _options(value).items():
        name = key.removeprefix(PREFIX)
        try:
            fit(getattr(value, name), wanted, f"{value.family}.{value.title}.{name}")
        except TypeError as error:
            raise BadInput(f"{error}.") from error
    return value


def _options(dataplane: Dataplane) -> dict[str, Any]:
    """The options of a dataplane as the user writes them, with their types."""
    hints = typing.get_type_hints(type(dataplane))
    fields: Any = dataclasses.fields(typing.cast(Any, dataplane))
    return {PREFIX + field.name: hints[field.name] for field in fields}


def _with_options(dataplane: Dataplane, given: Mapping[str, str]) -> Dataplane:
    options = _options(dataplane)
    values = {}
    for key, text in given.items():
        if key not in options:
            raise unknown("option", key, options)
        values[key.removeprefix(PREFIX)] = convert(text, options[key], key)
    changed: Dataplane = dataclasses.replace(typing.cast(Any, dataplane), **values)
    return changed
