"""The questions that `verify` asks of every lab: a file for each, or for a small family of them.

Every class of a file here that is a `Scenario` with a `kind` is found and asked; nothing else names
them.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from netlab.plan.probing.check import KINDS
from netlab.plan.probing.scenario import Scenario


@functools.cache
def registry() -> tuple[Scenario, ...]:
    """All scenarios, in the order of their kinds: who reaches whom first, then the evidence."""
    found: list[Scenario] = []
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        found += [
            value()
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, Scenario)
            and value.__module__ == module.__name__
            and hasattr(value, "kind")
        ]
    return tuple(sorted(found, key=lambda scenario: KINDS.index(scenario.kind)))
