"""A comparison as plain values: rows of cells, each measured by one check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Underlay = Literal["one-segment", "two-subnets"]
UNDERLAYS: Mapping[Underlay, tuple[str, ...]] = {
    "one-segment": ("192.168.0.0/24",),
    "two-subnets": ("192.168.1.0/24", "192.168.2.0/24"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """What one check measured. `check` is its id, as `flannel-vxlan/one-segment/mtu`.

    `value` is a plain value, None where it could not be measured; `words` are the same as a table
    shows it, and `evidence` is what was seen. A ratio has its `spread`, the quartiles of all
    rounds, and `figures` that it was made of, in units that their names say.
    """

    check: str
    value: Any
    words: str
    evidence: str = ""
    spread: tuple[float, float] | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The column that it is in."""
        return self.check.rpartition("/")[2]


def unmeasured(check: str, why: str) -> Cell:
    """A cell that could not be measured, and why."""
    return Cell(check, None, "-", why)


@dataclass(frozen=True, slots=True)
class Row:
    """One dataplane on one underlay.

    `unable` is why it cannot be built on this host, as for want of a kernel module: then there are
    no cells. `refusal` is why it says that it cannot work there; it was built nevertheless.
    """

    dataplane: str
    underlay: Underlay
    unable: str = ""
    refusal: str = ""
    cells: tuple[Cell, ...] = ()

    @property
    def id(self) -> str:
        """What the ids of its checks begin with."""
        return row_id(self.dataplane, self.underlay)

    def cell(self, name: str) -> Cell | None:
        return next((cell for cell in self.cells if cell.name == name), None)


def row_id(dataplane: str, underlay: Underlay) -> str:
    return f"{dataplane}/{underlay}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that was measured; `general` are cells of no one dataplane. `kernel` is its release."""

    kernel: str
    processors: int
    rounds: int
    seconds: float
    rows: tuple[Row, ...]
    general: tuple[Cell, ...]

    @property
    def cells(self) -> Iterator[Cell]:
        for row in self.rows:
            yield from row.cells
        yield from self.general
