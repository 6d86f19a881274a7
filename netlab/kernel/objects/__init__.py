"""A file for each type of object that netlink carries beside devices; the registry finds them."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from netlab.kernel.objects.base import ObjectType


def _find() -> dict[type[Any], ObjectType]:
    found: dict[type[Any], ObjectType] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if (
                isinstance(value, type)
                and issubclass(value, ObjectType)
                and value is not ObjectType
            ):
                found[value.type] = value()
    return found


TYPES = _find()


def of(item: object) -> ObjectType | None:
    """The type of a planned object; None for one that is made by something else."""
    return TYPES.get(type(item))
