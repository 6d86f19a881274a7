"""The command that records what passes devices of a lab: capture."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import click

from netlab.cli.app import App, common
from netlab.cli.enter import complete_target
from netlab.errors import BadInput

if TYPE_CHECKING:
    from netlab.captures import Capture
    from netlab.probe.engines.recording import Recorded

STANDARD_OUTPUT = "-"
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.command()
@click.argument("targets", nargs=-1, metavar="[TARGET[:DEVICE]]...", shell_complete=complete_target)
@click.option("-w", "--write", "file", metavar="FILE", help="Write a pcapng; - is standard output.")
@click.option("-f", "--filter", "expression", metavar="EXPR", help="As tcpdump takes it.")
@click.option("-c", "--count", type=click.IntRange(1), metavar="N", help="End after N packets.")
@click.option(
    "-d",
    "--duration",
    type=click.FloatRange(0, 10**8, min_open=True),
    metavar="SECONDS",
    help="End after so long.",
)
@common
@click.pass_obj
def capture(
    app: App,
    targets: tuple[str, ...],
    file: str | None,
    expression: str | None,
    count: int | None,
    duration: float | None,
) -> None:
    """Record what passes devices of nodes and pods, of all without a target; Ctrl-C ends it.

    Without a file each packet is a line.
    """
    from netlab.api import lab
    from netlab.probe.engines.libpcap import Filter, compiled
    from netlab.probe.engines.recording import Wanted

    if duration is not None and math.isnan(duration):
        raise BadInput("The duration is not a number of seconds.")
    if file == STANDARD_OUTPUT:
        _refuse_output(app)
    into: Literal["file", "eyes", "nowhere"] = "file" if file else "eyes"
    if app.json and not file:
        into = "nowhere"
    chosen = lab(app.lab)
    wanted = Wanted(
        chosen.devices(targets),
        Filter() if expression is None else compiled(expression),
        into,
        count=count or 0,
        seconds=duration or 0,
    )
    recording = chosen.recording(wanted, 1 if file == STANDARD_OUTPUT else file)
    with recording, _ended_by_signals(recording.stop):
        number = len(recording.devices)
        app.say(f"capturing on {number} device{'' if number == 1 else 's'}")
        _show(recording)
    found = recording.recorded
    app.say(_summary(found))
    if app.json:
        document = {
            "packets": found.packets,
            "lost": found.lost,
            "devices": found.devices,
            "lost_in": found.lost_in,
            "file": file,
        }
        app.show(document, str)


def _refuse_output(app: App) -> None:
    """Raises BadInput where standard output is not for a file."""
    if app.json:
        raise BadInput("The file and the JSON cannot both go to standard output", "name a file")
    if os.isatty(1):
        raise BadInput(
            "A capture file is nothing for a terminal", "name a file, or lead it to a program"
        )


def _show(recording: Capture) -> None:
    """Print what is seen until the capture ends."""
    from netlab.report.frames import line

    width = max(map(len, recording.devices), default=0)
    for frames in recording.seen():
        sys.stdout.writelines(f"{line(device, frame, width)}\n" for device, frame in frames)
        sys.stdout.flush()


def _summary(found: Recorded) -> str:
    packets = f"{found.packets} packet{'' if found.packets == 1 else 's'}, {found.lost} lost"
    if not found.lost:
        return packets
    where = ", ".join(f"{count} in {name}" for name, count in found.lost_in.items())
    return f"{packets}: there was no room for {where}; a filter or fewer devices leave more"


@contextlib.contextmanager
def _ended_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Meanwhile what else would end the command ends the capture, so that it is complete."""
    before = {number: signal.signal(number, lambda *_: stop()) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
