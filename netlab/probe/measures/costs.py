"""What a path costs, as ratios to a plain routed one of the same lab, taken in turn with it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from netlab.probe.engines.traffic import Broken, Path, packet_rates, round_trips, throughputs
from netlab.probe.measures.cells import Cell, unmeasured
from netlab.probe.measures.processors import Work, runs_in

_TURN = 0.05  # seconds of one kind of traffic in one round, on both paths together
Pair = list[float]  # of the pods' path and of the plain one


class _Measure(NamedTuple):
    """`scale` makes of what is measured, in SI units, the `unit` that is shown."""

    name: str
    unit: str
    scale: float
    take: Callable[[_Traffic], Pair]


class _Traffic(NamedTuple):
    """Both paths, and who worked while a stream went by each of them."""

    paths: tuple[Path, Path]
    work: tuple[Work, Work]

    def streams(self) -> Pair:
        return throughputs(self.paths, _TURN, lambda number: self.work[number].counted())


_MEASURES = (
    _Measure("latency-udp", "us", 1e6, lambda on: round_trips(on.paths, "udp", _TURN)),
    _Measure("latency-tcp", "us", 1e6, lambda on: round_trips(on.paths, "tcp", _TURN)),
    _Measure("throughput", "gbit_s", 8e-9, _Traffic.streams),
    _Measure("packets", "per_s", 1, lambda on: packet_rates(on.paths, _TURN)),
)
NAMES = (*(measure.name for measure in _MEASURES), "runs-in")
UNITS: Mapping[str, str] = {"us": "µs", "gbit_s": "Gbit/s", "per_s": "/s"}


def costs(
    row: str,
    pods: Path,
    plain: Path,
    rounds: int,
    names: Mapping[int, str],
    tell: Callable[[str], None],
) -> Iterator[Cell]:
    """Latency, throughput and packets per second, and who carries the packets.

    `names` are daemons' by process id. What does not come through is a cell that is not measured.
    """
    traffic = _Traffic((pods, plain), (Work(), Work()))
    taken: dict[str, list[Pair]] = {measure.name: [] for measure in _MEASURES}
    broken: dict[str, str] = {}
    for number in range(rounds):
        tell(f"traffic, round {number + 1} of {rounds}")
        for measure in _MEASURES:
            if measure.name not in broken:
                try:
                    taken[measure.name].append(measure.take(traffic))
                except Broken as error:
                    broken[measure.name] = str(error)
    for measure in _MEASURES:
        check = f"{row}/{measure.name}"
        if measure.name in broken:
            yield unmeasured(check, broken[measure.name])
        else:
            yield ratio(check, measure.unit, measure.scale, taken[measure.name])
    yield runs_in(row, *traffic.work, names)


def ratio(check: str, unit: str, scale: float, pairs: list[Pair]) -> Cell:
    """The median of the rounds' ratios, with their spread and the medians of both paths."""
    ratios = [pods / plain for pods, plain in pairs]
    value, (least, most) = statistics.median(ratios), middle_half(ratios)
    ours, theirs = (scale * statistics.median(column) for column in zip(*pairs, strict=True))
    words = f"{figure(ours)} {UNITS[unit]}, {figure(value)}x ({figure(least)}-{figure(most)})"
    count = "1 round" if len(pairs) == 1 else f"{len(pairs)} rounds"
    evidence = (
        f"{figure(ours)} {UNITS[unit]}, plain {figure(theirs)}; ratio {figure(least)} to "
        f"{figure(most)} in the middle half of {count}"
    )
    figures = {unit: round(ours, 3), f"plain_{unit}": round(theirs, 3)}
    spread = round(least, 4), round(most, 4)
    return Cell(check, round(value, 4), words, evidence, spread, figures)


def middle_half(values: Sequence[float]) -> tuple[float, float]:
    """The quartiles around the middle: what one round that others disturbed does not change."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def figure(number: float) -> str:
    """Two or three digits that count, as 0.034, 0.91, 1.5, 12 or 143,000."""
    if number >= 1000:
        return f"{round(number, -3):,.0f}"
    if number >= 10:
        return f"{number:.0f}"
    if number >= 0.1:
        return f"{number:.2f}"
    return f"{number:.3f}"
