"""Programs that run as daemons of nodes: each a file by itself, with the standard library alone.

A plan holds a program's text, which is written into the daemon's private folder: so that it runs on
every machine of a lab, and `plan --sh` has it.
"""

from __future__ import annotations

from importlib.resources import files


def source(name: str) -> str:
    """The text of a program of this folder."""
    return (files(__name__) / f"{name}.py").read_text()
