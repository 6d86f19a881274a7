"""What is kept of the labs of a test that failed, in a folder of its own."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from netlab.errors import NetlabError
from netlab.plan.document import diff_document
from netlab.probe.result import to_json
from netlab.pytest_plugin.stock import Held
from netlab.running import Lab

PROPERTY = "netlab-artifacts"
_LONGEST = 100  # characters of a folder's name
_WITHIN = 1.0  # seconds of a verification, which waits for everything that is lost


def folder_of(item: pytest.Item, parent: Path) -> Path:
    """A test's folder: its name, of letters that are safe in one."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", item.nodeid).strip("-.")
    return parent.absolute() / name[-_LONGEST:].lstrip("-.")


def collect(item: pytest.Item, labs: Sequence[Held], parent: Path) -> list[str]:
    """Write all that is known of the labs; returns lines for the report."""
    folder = folder_of(item, parent)
    shutil.rmtree(folder, ignore_errors=True)
    problems = []
    for held in labs:
        own = folder if len(labs) == 1 else folder / held.lab.name
        own.mkdir(parents=True)
        if held.capture:  # first, as what follows sends packets of its own
            path = own / "capture.pcapng"
            problems += _kept(path.name, partial(held.capture.save, path))
        problems += _of_lab(held.lab, own)
    item.user_properties.append((PROPERTY, str(folder)))
    return [f"What is known of the lab is in {folder}", *problems]


def _of_lab(lab: Lab, folder: Path) -> list[str]:
    documents: dict[str, Callable[[], Any]] = {
        "status": lambda: lab.status().document,
        "diff": lambda: diff_document(lab.diff(), checks_failed=lab.checks_failed),
        "verify": lambda: to_json(lab.verify(within=_WITHIN)),
    }
    problems = []
    for name, document in documents.items():
        problems += _kept(f"{name}.json", partial(_write, folder / f"{name}.json", document))
    logs = lab.folder.folder / "logs"
    if logs.is_dir():
        shutil.copytree(logs, folder / "logs")
    return problems


def _write(path: Path, document: Callable[[], Any]) -> None:
    path.write_text(json.dumps(document(), indent=2) + "\n", encoding="utf-8")


def _kept(name: str, write: Callable[[], None]) -> list[str]:
    """Write a file; why it is not there, where it cannot be."""
    try:
        write()
    except NetlabError as error:
        return [f"{name} is not there: {error}"]
    return []
