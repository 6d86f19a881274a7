"""Commands that compare a running lab with what it should be: verify, diff."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from netlab.cli.app import App, Meter, colours, common, wait_option
from netlab.errors import BadInput

if TYPE_CHECKING:
    from netlab.probe.result import Report


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
@wait_option
@common
@click.pass_obj
def verify(app: App, full: bool, sample: int | None, junit: Path | None, wait: float) -> int:
    """Probe every expectation and show the evidence seen on the wire."""
    from netlab.api import lab
    from netlab.probe.result import to_json

    if full and sample:
        raise BadInput("--full and --sample exclude each other.")
    # Unlike Path.is_dir, os.path.isdir takes a name that no file could have.
    if junit and not os.path.isdir(junit.absolute().parent):
        raise BadInput(f"The folder of {junit} does not exist.")
    with opened(junit) as stream:
        with Meter() as meter:
            report = lab(app.lab, wait=wait).verify(
                full=full, sample=sample, progress=meter, wait=wait
            )
        if junit and stream:
            from netlab.report.junit import junit_xml

            with writable(junit):
                stream.write(junit_xml(report))
                stream.flush()
    app.show(to_json(report), lambda: show_report(report))
    return 0 if report.ok else 1


@contextlib.contextmanager
def opened(path: Path | None) -> Iterator[TextIO | None]:
    """The file, to be written; none for no path. Raises BadInput."""
    if path is None:
        yield None
        return
    with writable(path):
        stream = path.open("w", encoding="utf-8")
    with stream:
        yield stream


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"The file {path} cannot be written ({error.strerror}).") from None


@click.command()
@click.option("--all-settings", is_flag=True, help="All settings of pods, in large labs too.")
@wait_option
@common
@click.pass_obj
def diff(app: App, all_settings: bool, wait: float) -> int:
    """Kernel against plan, object by object; what daemons wrote is shown apart."""
    from netlab.api import lab
    from netlab.plan.document import diff_document
    from netlab.report.tables import diff_table

    compared = lab(app.lab, wait=wait)
    difference = compared.diff(all_settings=all_settings, wait=wait)
    failed = compared.checks_failed
    app.show(
        diff_document(difference, checks_failed=failed),
        lambda: diff_table(difference, checks_failed=failed),
    )
    return 0 if difference.ok else 1
