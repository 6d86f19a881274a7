"""A comparison as a picture: for each dataplane what it costs, drawn by matplotlib (an extra)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from netlab.probe.measures.cells import UNDERLAYS, Comparison, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Column and title of each panel; a ratio has a line at 1, where plain routing is.
_PANELS = (
    ("latency-udp", "Latency (UDP)\nmultiple of plain routing", True),
    ("throughput", "TCP throughput\nmultiple of plain routing", True),
    ("packets", "Packets per second\nmultiple of plain routing", True),
    ("overhead", "Encapsulation\nbytes", False),
)
_COLOURS = {"one-segment": "#4477aa", "two-subnets": "#ee8866"}
_BAR = 0.38  # of the room that a dataplane has
_MARGIN = 1.2  # as much wider than the longest bar, for its figure


def chart(found: Comparison) -> str:
    """The SVG document. Text stays text, and the same values are the same picture."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows = [row for row in found.rows if not row.unable]
    names = list(dict.fromkeys(row.dataplane for row in rows))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "netlab"}):
        figure = Figure(figsize=(13, 1.8 + 0.6 * len(names)), layout="constrained")
        panels: Any = figure.subplots(1, len(_PANELS), sharey=True, squeeze=False)[0]
        for axes, (column, title, is_ratio) in zip(panels, _PANELS, strict=True):
            _panel(axes, rows, names, column)
            axes.set_title(title, fontsize=10)
            if is_ratio:
                axes.axvline(1, color="#666666", linewidth=0.8)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].invert_yaxis()
        bars = [Patch(color=colour, label=underlay) for underlay, colour in _COLOURS.items()]
        figure.legend(handles=bars, loc="outside lower center", ncols=len(bars))
        figure.suptitle(f"Dataplanes on Linux {found.kernel}, median of {found.rounds} rounds")
        document = io.StringIO()
        figure.savefig(document, format="svg", metadata={"Date": None})
    return document.getvalue()


def _panel(axes: Axes, rows: list[Row], names: list[str], column: str) -> None:
    """The bars of a column, with the spread of each, and its figure."""
    longest = 1.0
    for row in rows:
        colour, shift = _COLOURS[row.underlay], (list(UNDERLAYS).index(row.underlay) - 0.5) * _BAR
        cell, place = row.cell(column), names.index(row.dataplane) + shift
        if cell is None or cell.value is None:
            axes.text(0, place, " not measured", va="center", fontsize=7, color=colour)
            continue
        least, most = cell.spread or (cell.value, cell.value)
        longest = max(longest, most, cell.value)
        axes.barh(place, cell.value, _BAR, color=colour)
        axes.hlines(place, least, most, color="black", linewidth=1)
        axes.text(max(most, cell.value), place, f" {cell.value:.3g}", va="center", fontsize=7)
    axes.set_xlim(0, longest * _MARGIN)
