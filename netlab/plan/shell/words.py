"""How the words of a script are written: safely, as `ip`, `bridge` and `nft` parse them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from netlab.errors import BadInput
from netlab.plan.routing import Sysctl

# What a word may hold where ip, bridge and nft parse it themselves and quoting does not help.
PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./][A-Za-z0-9_@%+=:,./-]*")


def word(text: str) -> str:
    """A name as those tools can read it. Raises BadInput for one they cannot."""
    if not PLAIN.fullmatch(text):
        raise BadInput(f"The name {text!r} cannot be put into a script of ip commands.")
    return text


def batch(command: str, lines: Iterable[str]) -> str:
    """A command that reads its commands from standard input; nothing where there are none."""
    content = list(lines)
    return here_document(f"{command} -batch -", content) if content else ""


def here_document(command: str, lines: Iterable[str]) -> str:
    """A command with text on its standard input, in which the shell expands nothing."""
    content = list(lines)
    end = "END"
    while end in content:
        end += "_"
    return "\n".join([f"{command} <<'{end}'", *content, end, ""])


def settings(namespace: str, items: Iterable[Sysctl]) -> str:
    """A call of the script's own `settings`."""
    words = (shlex.quote(f"{item.path}={item.value}") for item in items)
    return " ".join(["settings", word(namespace), *words])
