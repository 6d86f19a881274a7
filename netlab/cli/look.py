"""Commands that compare a running lab with what it should be: verify, diff."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click

from netlab.cli.app import App, colours, common
from netlab.cli.running import Running, unchanged
from netlab.errors import BadInput
from netlab.kernel.apply import Engine, Progress
from netlab.kernel.containers import Containers
from netlab.probe.result import Report


def engine(lab: Running, progress: Progress | None = None) -> Engine:
    """The engine of a lab; to be used inside its sandbox."""
    return Engine(lab.plan, Containers(lab.lab), progress)


def run_verify(lab: Running, *, full: bool, sample: int | None) -> Report:
    """Probe every expectation, from inside the sandbox."""
    from netlab.probe.pairs import Volume
    from netlab.probe.verify import verify as probe

    work = engine(lab)
    report = probe(
        lab.layout,
        lab.dataplane,
        lab.plan,
        containers=work.containers.namespaces(),
        drift=work.difference,
        volume=Volume(full=full, sample=sample),
        progress=_tell,
    )
    _tell("")
    return report


def _tell(words: str) -> None:
    """Say on a terminal what is probed, in a line that the next one overwrites."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[Kprobing: {words}" if words else "\r\x1b[K", nl=False, err=True)


def show_report(report: Report) -> str:
    from netlab.report.matrix import matrix

    return matrix(report, style=colours(), width=shutil.get_terminal_size().columns)


@click.command()
@click.option("--full", is_flag=True, help="Every pair of pods, however many.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="N pairs of pods.")
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write JUnit XML.",
)
@common
@click.pass_obj
def verify(app: App, full: bool, sample: int | None, junit: Path | None) -> int:
    """Probe every expectation and show the evidence seen on the wire."""
    if full and sample:
        raise BadInput("--full and --sample exclude each other.")
    if junit and not junit.absolute().parent.is_dir():
        raise BadInput(f"The folder of {junit} does not exist.")
    # The file is opened out here: the sandbox has a /run of its own.
    with unchanged(app.lab) as lab, _opened(junit) as stream:

        def work() -> int:
            from netlab.probe.result import to_json
            from netlab.report.junit import junit_xml

            report = run_verify(lab, full=full, sample=sample)
            if junit and stream:
                with _writable(junit):
                    stream.write(junit_xml(report))
                    stream.flush()
            app.show(to_json(report), lambda: show_report(report))
            return 0 if report.ok else 1

        return lab.inside(work)


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextIO | None]:
    """The file, to be written; none for no path. Raises BadInput."""
    if path is None:
        yield None
        return
    with _writable(path):
        stream = path.open("w", encoding="utf-8")
    with stream:
        yield stream


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"The file {path} cannot be written ({error.strerror}).") from None


@click.command()
@common
@click.pass_obj
def diff(app: App) -> int:
    """Kernel against plan, object by object."""
    with unchanged(app.lab) as lab:

        def work() -> int:
            from netlab.plan.jsonify import diff_to_json
            from netlab.report.tables import diff_table

            difference = engine(lab).difference()
            app.show(diff_to_json(difference), lambda: diff_table(difference))
            return 0 if difference.ok else 1

        return lab.inside(work)
