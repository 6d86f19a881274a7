"""What an agent can be asked: each a function, run in a process of its own there."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from netlab.hosts.protocol import Call


@functools.cache
def calls() -> Mapping[str, Call[Any, Any]]:
    """Every call by its name: all public functions that are made in these modules.

    Loads what they need, so that the processes which the agent forks share it.
    """
    from netlab.hosts import interface, machine, segment, share

    found: dict[str, Call[Any, Any]] = {}
    for module in (interface, machine, segment, share):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                assert name not in found, f"two calls are named {name}"
                found[name] = function
    return MappingProxyType(found)
