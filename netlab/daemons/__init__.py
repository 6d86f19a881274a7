"""Programs that run as daemons, with the standard library alone; of names, with dnslib.

A plan holds a program's text, which is written into the daemon's private folder: so that it runs on
every machine of a lab, and `plan --sh` has it. What a program imports of this folder is to lie
beside it there.
"""

from __future__ import annotations

import functools
from importlib.resources import files


@functools.cache  # every node's daemon has it
def source(name: str) -> str:
    """The text of a program of this folder, which finds others beside itself."""
    text = (files(__name__) / f"{name}.py").read_text()
    return text.replace(f"from {__name__}.", "from ")
