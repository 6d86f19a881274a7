"""Kinds of one part of a cluster (its dataplane, its proxy): a file each, found by themselves.

A kind is a frozen dataclass below the part's base class with a `name`. It stands in the part's own
package, in a user's topology file, or comes from another package by an entry point. What is wrong
with one costs that one alone.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from netlab.errors import BadInput, shown, unknown
from netlab.plan.types import Reference
from netlab.topology import loader
from netlab.topology.check import fit
from netlab.topology.convert import convert
from netlab.topology.model import Named

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Kind(Protocol):
    """What every kind has, whatever it is a part of."""

    @property
    def name(self) -> str:
        """How commands call it."""
        ...


K = TypeVar("K", bound=Kind)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found(Generic[K]):
    """Every kind's class by its name, as `flannel-vxlan`; and what could not be one, why."""

    kinds: Mapping[str, type[K]]
    problems: tuple[str, ...]


class Registry(Generic[K]):
    """The kinds below `base`, which users call `word`; `package` holds those that are shipped.

    `group` is that of entry points, and `example` is how a value is written. `own_flaw` tells what
    a class lacks beside what every kind must have, and `class_variables` are names that no field
    may have. `family` is the module by which users import all that are shipped, if there is one.
    """

    def __init__(
        self,
        word: str,
        base: type[K],
        package: str,
        group: str,
        example: str,
        class_variables: Iterable[str],
        own_flaw: Callable[[type[Any]], str | None] = lambda kind: None,
        family: str = "",
    ) -> None:
        self.word, self.base, self.package, self.example = word, base, package, example
        self.prefix, self.group = f"{word}.", group
        self._class_variables = tuple(class_variables)
        self._own_flaw, self._family = own_flaw, family
        self.found = functools.cache(self._found)
        self._shipped = functools.cache(self._find_shipped)

    def forget(self) -> None:
        """Look again when next asked."""
        self.found.cache_clear()
        self._shipped.cache_clear()

    def kinds(self) -> Mapping[str, type[K]]:
        """Every kind's class by its name."""
        return self.found().kinds

    def lookup(self, name: str) -> type[K] | None:
        """The class of that name; entry points are looked through (10 ms) where no file has it."""
        return self._shipped().kinds.get(name) or self.kinds().get(name)

    def is_shipped(self, kind: type[Any]) -> bool:
        return kind in self._shipped().kinds.values()

    def make(self, name: str, options: Mapping[str, Any] | None = None) -> K:
        """The value of that name, with options. Raises BadInput for a name that is unknown."""
        kind = self.lookup(name)
        if kind is None:
            raise unknown(self.word, name, self.kinds())
        return kind(**(options or {}))

    def value(self, given: Any) -> K:
        """What a topology gives, a value or a name, made and checked. Raises BadInput."""
        if isinstance(given, str):
            return self.make(given)
        if isinstance(given, Named):
            return self._with_values(self.make(given.name), _tuples(given.options))
        likely = isinstance(given, self.base) or hasattr(type(given), "name")
        if isinstance(given, type) or not likely:
            raise BadInput(f"The {self.word} {shown(given)} is not a value such as {self.example}.")
        if problem := self.flaw(type(given)):
            raise BadInput(f"The class {type(given).__name__} is no {self.word}: {problem}.")
        checked: K = given
        return self._checked(checked)

    def flaw(self, kind: type[Any]) -> str | None:
        """What a class lacks to be a kind, in words; None where it is one."""
        its: Any = kind  # also where it is a subclass of the base, of which less is known
        if not issubclass(kind, self.base):
            return f"it is not a subclass of netlab.{self.base.__name__}"
        if "__dataclass_fields__" not in vars(kind):
            return "it lacks the decorator @dataclass(frozen=True)"
        fields = {field.name for field in dataclasses.fields(its)}
        for name in self._class_variables:
            if name in fields:
                return f"its `{name}` must be a ClassVar, not a field"
        if not isinstance(its.name, str) or not its.name:
            return "it has no `name`"
        if problem := self._own_flaw(kind):
            return problem
        for name, method in vars(self.base).items():
            public = callable(method) and not name.startswith("_")
            if public and not callable(getattr(kind, name)):
                return f"its `{name}` is not a method"
        return None

    def title(self, kind: type[Any]) -> str:
        """How Python calls it, as `flannel.Vxlan`."""
        parts = kind.__module__.split(".")
        if parts[:2] != self.package.split(".") or len(parts) < 3:
            return kind.__name__
        return f"{self._family or parts[2]}.{kind.__name__}"

    def guarded(self, value: Any, work: Callable[[], T]) -> T:
        """Do work that calls a value's methods; what a stranger's raises becomes one sentence."""
        if self.is_shipped(type(value)):
            return work()
        file = _file_of(type(value))
        return loader.guard(file, work) if file else work()

    def reference(self, value: Any) -> Reference:
        """How another process finds the same value: `resolve` is the inverse. Raises BadInput."""
        options = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        kind = type(value)
        known = self.lookup(value.name) is kind
        file = None if known else _file_of(kind)
        if file is None and not known:
            raise BadInput(
                f"The {self.word} {kind.__name__} stands in no file",
                "write it into one, where other commands find it",
            )
        return {
            "name": value.name,
            "options": options,
            "file": str(file.absolute()) if file else None,
            "class": kind.__name__,
        }

    def resolve(self, data: Reference) -> K:
        """The value that `reference` told of, from the registry or its topology's file.

        Raises BadInput where there is no such one any more.
        """
        name, file = data["name"], data["file"]
        kind = self.lookup(name) if file is None else self._kind_in(Path(file), data["class"])
        if kind is None:
            raise unknown(self.word, name, self.kinds())
        try:
            return self._checked(kind(**_tuples(data["options"])))
        except TypeError as error:
            raise BadInput(f"The {self.word} {name} is not what it was: {error}.") from error

    def options(self, value: Any) -> dict[str, Any]:
        """The options of a value as the user writes them (`dataplane.vni`), with their types."""
        hints = typing.get_type_hints(type(value))
        return {self.prefix + field.name: hints[field.name] for field in dataclasses.fields(value)}

    def with_options(self, value: K, given: Mapping[str, str]) -> K:
        """The value with options that a user gave as text. Raises BadInput."""
        known = self.options(value)
        values = {}
        for key, text in given.items():
            if key not in known:
                raise unknown("option", key, known)
            values[key.removeprefix(self.prefix)] = convert(text, known[key], key)
        changed: K = dataclasses.replace(value, **values)  # type: ignore[type-var]
        return changed

    def _with_values(self, value: Any, values: Mapping[str, Any]) -> K:
        """The value with options that have their types already. Raises BadInput."""
        for name in values:
            if name not in (known := [field.name for field in dataclasses.fields(value)]):
                raise unknown(f"option of {value.name}", name, known)
        changed: K = dataclasses.replace(value, **values)
        return self._checked(changed)

    def _checked(self, value: K) -> K:
        """The value, whose options have the types that they must. Raises BadInput."""
        for key, wanted in self.options(value).items():
            name = key.removeprefix(self.prefix)
            try:
                fit(getattr(value, name), wanted, f"{self.title(type(value))}.{name}")
            except TypeError as error:
                raise BadInput(f"{error}.") from error
        return value

    def _kind_in(self, file: Path, name: str) -> type[K]:
        kind = getattr(loader.module(file), name, None)
        if not isinstance(kind, type) or self.flaw(kind):
            raise BadInput(f"{file} has no {self.word} {name} any more.")
        return kind

    def _found(self) -> Found[K]:
        """Look through the package and the entry points of others."""
        return self._find([*self._modules(), *self._points()])

    def _find_shipped(self) -> Found[K]:
        return self._find(self._modules())

    def _find(self, sources: Iterable[tuple[str, Callable[[], Any]]]) -> Found[K]:
        kinds: dict[str, type[Any]] = {}
        problems: list[str] = []
        for where, load in sources:
            try:
                classes = list(self._kinds_of(load()))
            except (Exception, SystemExit) as error:  # whatever a file of somebody else's does
                said = " ".join(str(error).split())
                problems.append(f"{where} cannot be loaded: {type(error).__name__}: {said}")
                continue
            for kind in classes:
                problem = self.flaw(kind)
                if problem is None and kinds.setdefault(kind.name, kind) is not kind:
                    problem = f"its name '{kind.name}' is taken"
                if problem:
                    problems.append(f"{where}: {kind.__name__} is no {self.word}: {problem}")
        return Found(kinds, tuple(problems))

    def _modules(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        path = sys.modules[self.package].__path__
        for info in pkgutil.walk_packages(path, f"{self.package}.", onerror=lambda _name: None):
            yield info.name, functools.partial(importlib.import_module, info.name)

    def _points(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        from importlib.metadata import entry_points

        for point in entry_points(group=self.group):
            yield f"the entry point {point.name}", functools.partial(self._named, point)

    def _named(self, point: EntryPoint) -> Any:
        source = point.load()
        if not isinstance(source, type) and not list(self._kinds_of(source)):
            raise LookupError(
                f"{point.value} is neither a {self.word} nor a module that defines one"
            )
        return source

    def _kinds_of(self, source: Any) -> Iterator[type[Any]]:
        """The kinds that a module defines itself, or a class that an entry point names."""
        if isinstance(source, type):
            yield source
            return
        for value in vars(source).values() if isinstance(source, ModuleType) else ():
            if self._means_to_be_one(value) and value.__module__ == source.__name__:
                yield value

    def _means_to_be_one(self, value: object) -> bool:
        """Whether it is a class that means to be one: bases of a family have no name."""
        return isinstance(value, type) and issubclass(value, self.base) and "name" in vars(value)


def _file_of(kind: type[Any]) -> Path | None:
    """The file in which a class stands; None where it was typed in."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return Path(file) if file else None


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no tuples, and options that are sequences are tuples."""
    return {key: tuple(one) if isinstance(one, list) else one for key, one in options.items()}
