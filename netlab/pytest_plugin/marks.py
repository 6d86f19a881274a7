"""The mark `netlab`: which lab a test wants, and what is wrong with the wish."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netlab.errors import BadInput, NetlabError, shown, unknown

if TYPE_CHECKING:
    from netlab.state import Design
    from netlab.topology.model import Cluster

SCOPES = ("function", "class", "module", "session")
FIXTURES = ("lab", "lab_module", "lab_session")
USAGE = (
    "netlab(topology, *, scope='function', force=False, **options): what the fixture `lab` is: a "
    "topology's name, a file (relative to the test's) or a Cluster, with the options of netlab.up"
)
_EXAMPLE = 'name one, as in @pytest.mark.netlab("flannel-vxlan", nodes=2)'
_known: list[tuple[Wanted, Design]] = []


@dataclass(frozen=True, slots=True)
class Wanted:
    """A lab as a mark describes it."""

    topology: str | Path | Cluster
    options: Mapping[str, Any]
    scope: str = "function"
    force: bool = False

    def like(self, other: Wanted) -> bool:
        """Whether it is the same lab, whoever shares it."""
        return (self.topology, self.options, self.force) == (
            other.topology,
            other.options,
            other.force,
        )

    def design(self) -> Design:
        """What it is to be on this kernel; worked out once. Raises BadInput."""
        for wanted, known in _known:
            if wanted.like(self):
                return known
        from netlab.making import design_here

        made = design_here(self.topology, self.options, force=self.force)
        _known.append((self, made))
        return made


def of(item: pytest.Item) -> Wanted:
    """What a test's nearest mark says. Raises BadInput."""
    mark = item.get_closest_marker("netlab")
    if mark is None:
        raise BadInput("The test uses a lab and has no mark `netlab` with a topology", _EXAMPLE)
    if not mark.args:
        raise BadInput("The mark `netlab` has no topology", _EXAMPLE)
    if len(mark.args) > 1:
        raise BadInput(
            f"The mark `netlab` takes one topology, not {len(mark.args)}",
            "give options by name, as nodes=2",
        )
    return wanted(mark.args[0], mark.kwargs, item)


def wanted(topology: Any, options: Mapping[str, Any], item: pytest.Item) -> Wanted:
    """A lab as a test describes it. Raises BadInput."""
    from netlab.topology.model import Cluster

    given = dict(options)
    scope, force = given.pop("scope", "function"), given.pop("force", False)
    if scope not in SCOPES:
        raise unknown("scope", str(scope), SCOPES)
    if not isinstance(force, bool):
        raise BadInput(f"`force` is {shown(force)}", "give True or False")
    if isinstance(topology, str | os.PathLike):
        topology = _path(os.fspath(topology), item.path.parent)
    elif not isinstance(topology, Cluster):
        raise BadInput(f"{shown(topology)} is no topology", "give a name, a path or a Cluster")
    return Wanted(topology, given, scope, force)


def _path(text: str, folder: Path) -> str:
    """A name as it is, and a file by its path."""
    if "/" in text or text.endswith((".py", ".yaml", ".yml")):
        return str(folder / Path(text).expanduser())
    return text


def fault(item: pytest.Item) -> str:
    """What is wrong with what a test says of its lab, and where; empty where nothing is."""
    mark = item.get_closest_marker("netlab")
    uses = _uses(item)
    if mark is None and not uses:
        return ""
    from netlab.designing import design

    try:
        found = of(item)
        if not any(found.like(one) for one, _ in _known):
            design(found.topology, found.options, force=found.force)
    except NetlabError as error:
        path, line, _ = item.location
        return f"{path}:{(line or 0) + 1}: {error}"
    return ""


def _uses(item: pytest.Item) -> bool:
    """Whether it has one of this plugin's fixtures, and not another of that name."""
    if not isinstance(item, pytest.Function):
        return False
    return any(
        found[-1].func.__module__ == __package__
        for name in FIXTURES
        if (found := item._fixtureinfo.name2fixturedefs.get(name))
    )
