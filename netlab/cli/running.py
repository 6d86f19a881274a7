"""A running lab, as commands see it: what is stored of it, and a way inside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

from netlab.cli.app import guard
from netlab.errors import LabUnavailable
from netlab.kernel import lab as labs
from netlab.kernel.lab import Lab
from netlab.kernel.sandbox import Keeper, run_inside
from netlab.plan.dataplane import Dataplane
from netlab.plan.types import Plan
from netlab.topology.layout import Layout

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Running:
    """A lab whose keeper lives."""

    lab: Lab
    keeper: Keeper
    plan: Plan
    layout: Layout
    dataplane: Dataplane

    def inside(self, work: Callable[[], int]) -> int:
        """Run `work` inside the lab's sandbox; returns its exit code."""
        return run_inside(self.keeper, lambda: guard(work))


def running(name: str | None) -> Running:
    """The lab of that name, or the only one. Raises LabUnavailable; a stale folder is removed."""
    return stored(_alive(name))


@contextlib.contextmanager
def unchanged(name: str | None) -> Iterator[Running]:
    """A running lab, as `running`, that no `up` or `down` touches meanwhile."""
    lab = _alive(name)
    with lab.locked(shared=True):
        # Stored and alive as of now: a command may have changed it until the lock was ours.
        if lab.state != "running":
            raise LabUnavailable(f"The lab '{lab.name}' is gone: its keeper ended.")
        yield stored(lab)


def _alive(name: str | None) -> Lab:
    lab = labs.choose(name)
    if lab.state == "running":
        return lab
    removed, problems = labs.clear_stale()
    if lab.name in removed:
        raise LabUnavailable(
            f"The lab '{lab.name}' is stale: its keeper is gone, and all of the lab with it; its "
            "folder is removed."
        )
    if problems:
        raise problems[0]
    raise LabUnavailable(f"The lab '{lab.name}' is still being made by another command.")


def store(lab: Lab, keeper: Keeper, plan: Plan, layout: Layout, dataplane: Dataplane) -> Running:
    """Write what other commands need to know of a lab."""
    from netlab.plan.jsonify import plan_to_json
    from netlab.topology.layout_json import layout_to_json

    lab.write("keeper.json", {"pid": keeper.pid, "start": keeper.start})
    lab.write("plan.json", plan_to_json(plan))
    options = asdict(cast(Any, dataplane))
    lab.write(
        "layout.json",
        {"layout": layout_to_json(layout), "dataplane": dataplane.name, "options": options},
    )
    return Running(lab, keeper, plan, layout, dataplane)


def stored(lab: Lab) -> Running:
    """What is stored of a lab, alive or not."""
    from netlab.dataplane import make
    from netlab.plan.jsonify import plan_from_json
    from netlab.topology.layout_json import layout_from_json

    keeper = lab.keeper
    if keeper is None:
        raise LabUnavailable(f"The lab '{lab.name}' was never whole.")
    plan = _read(lab, "plan.json", plan_from_json)
    layout, dataplane = _read(
        lab,
        "layout.json",
        lambda data: (
            layout_from_json(data["layout"]),
            make(data["dataplane"], data["options"]),
        ),
    )
    return Running(lab, keeper, plan, layout, dataplane)


def _read(lab: Lab, file: str, convert: Callable[[dict[str, Any]], T]) -> T:
    """What a stored file holds. Raises LabUnavailable when it is gone or holds anything else."""
    try:
        return convert(lab.read(file))
    except Exception:  # whatever a value of a wrong shape makes fail
        raise lab.unusable(file) from None
