"""The command that measures dataplanes, and sets beside it what is claimed about them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import click

from netlab.cli.app import App, Meter, colours, without_lab
from netlab.cli.look import opened, writable
from netlab.errors import BadInput, Unmet


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from netlab.dataplane import registry

    return [name for name in sorted(registry()) if name.startswith(incomplete)]


@click.command()
@click.argument("dataplanes", nargs=-1, metavar="[DATAPLANE]...", shell_complete=_complete)
@click.option(
    "--rounds",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    metavar="N",
    help="How often traffic is measured; more say more about the spread.",
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also draw the ratios, by matplotlib.",
)
@without_lab
@click.pass_obj
def compare(app: App, dataplanes: tuple[str, ...], rounds: int, svg: Path | None) -> None:
    """Measure dataplanes, and say which common claims about them are wrong.

    Each is built in labs of its own, on one segment and on two subnets, which are gone afterwards.
    Without a DATAPLANE all that this host can run.
    """
    from netlab.comparing import compare as measure
    from netlab.report.claims import judge, shipped
    from netlab.report.comparison import comparison_table, document

    if svg and not os.path.isdir(svg.absolute().parent):
        raise BadInput(f"The folder of {svg} does not exist.")
    if svg and importlib.util.find_spec("matplotlib") is None:
        raise Unmet("The picture is drawn by matplotlib, which is not installed", _REMEDY)
    with opened(svg) as stream:
        with Meter() as meter:
            found = measure(dataplanes, rounds=rounds, progress=meter)
        if svg and stream:
            from netlab.report.chart import chart

            with writable(svg):
                stream.write(chart(found))
                stream.flush()
    judged = judge(shipped(), found)
    app.show(document(found, judged), lambda: comparison_table(found, judged, style=colours()))


_REMEDY = "install netlab with its extra `compare`, as pip install 'netlab-k8s[compare]'"
