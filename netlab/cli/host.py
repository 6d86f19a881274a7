"""Commands about the host: doctor, completion."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from netlab.cli.app import App, without_lab
from netlab.errors import Unmet


@click.command()
@without_lab
@click.pass_obj
def doctor(app: App) -> int:
    """What this kernel and host can run, per dataplane, and the remedy for what they can't."""
    from netlab.report.tables import doctor_table

    document = examine()
    app.show(document, lambda: doctor_table(document))
    return 0 if document["ok"] else 3


def examine() -> dict[str, Any]:
    """The doctor's document. `ok` is whether every dataplane can run: of proxies one is enough."""
    from netlab import proxy
    from netlab.dataplane import needs, registry
    from netlab.kernel import capabilities

    names = capabilities.features()
    lacking = capabilities.missing(names)
    dataplanes = []
    notes = _notes()

    def lacks(wanted: Iterable[str]) -> list[str]:
        return [need for need in (capabilities.SANDBOX, *wanted) if need in lacking]

    for name, kind in sorted(registry().items()):
        try:
            (wanted, carrier), library = needs(kind, lacking), []
        except Unmet as unmet:
            wanted, carrier, library = kind.requires, "", [str(unmet.about)]
            notes.append(f"{name}: {unmet}")
        missing = lacks(wanted) + library
        entry = {"name": name, "ok": not missing, "missing": missing}
        dataplanes.append(entry | ({"carrier": carrier} if carrier else {}))
    return {
        "ok": all(entry["ok"] for entry in dataplanes),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rootless": os.geteuid() != 0,
        "features": [
            {"name": name, "ok": name not in lacking, "remedy": lacking.get(name)} for name in names
        ],
        "dataplanes": dataplanes,
        "proxies": [
            {"name": name, "ok": not (missing := lacks(proxy.needs(kind))), "missing": missing}
            for name, kind in sorted(proxy.PROXIES.kinds().items())
        ],
        "notes": notes,
    }


def _notes() -> list[str]:
    """What may surprise: another program called netlab, and programs that scripts need."""
    from netlab.dataplane import found

    notes = list(found().problems)
    first = shutil.which("netlab")
    here = Path(sys.executable).parent / "netlab"
    if first and here.exists() and not Path(first).samefile(here):
        notes.append(
            f"another 'netlab' is first on PATH ({first}); call {here}, or put {here.parent} first"
        )
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if not shutil.which(program):
            notes.append(
                f"the program '{program}' is not installed; only scripts of `plan --sh` need it "
                f"(package {package})"
            )
    return notes


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@without_lab
@click.pass_obj
def completion(app: App, shell: str) -> None:
    """The script that completes netlab's commands: eval "$(netlab completion bash)"."""
    from click.shell_completion import get_completion_class

    import netlab.cli

    kind = get_completion_class(shell)
    assert kind is not None
    source = kind(netlab.cli.cli, {}, "netlab", "_NETLAB_COMPLETE").source()
    app.show({"shell": shell, "script": source}, lambda: source)
