"""The command line. Thin: each command is a few calls into the rooms."""

from __future__ import annotations

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while modules load ends without a traceback

try:
    import click

    from netlab import __version__
    from netlab.cli import (
        capture,
        compare,
        enter,
        explain,
        host,
        labs,
        look,
        services,
        topologies,
    )
    from netlab.cli.app import App, common, guard, prepare_streams
except (MemoryError, SyntaxError):  # CPython 3.11's parser tells want of memory as either
    sys.stderr.write("netlab: There is not room to start; raise RLIMIT_AS (ulimit -v).\n")
    sys.exit(3)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="netlab")
@common
@click.pass_context
def cli(context: click.Context) -> None:
    """Kubernetes networking on real Linux, without Kubernetes."""
    context.ensure_object(App)


for command in (
    topologies.list_,
    topologies.plan,
    labs.up,
    look.verify,
    labs.status,
    look.diff,
    explain.explain,
    services.scale,
    services.endpoint,
    services.service,
    enter.exec_,
    enter.shell,
    enter.logs,
    capture.capture,
    topologies.ipcalc,
    topologies.addresses,
    topologies.export,
    compare.compare,
    labs.down,
    labs.gc,
    host.doctor,
    host.completion,
):
    cli.add_command(command)


def main() -> None:
    """The entry point. Exit codes: 0 as expected, 1 a check failed, 2 to 4 see `netlab.errors`."""

    def work() -> int:
        if len(sys.argv) == 1:
            return cli.main(["--help"], prog_name="netlab", standalone_mode=False) or 0
        result = cli.main(
            prog_name="netlab", complete_var="_NETLAB_COMPLETE", standalone_mode=False
        )
        return result if isinstance(result, int) else 0

    prepare_streams()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(guard(work))
