"""Errors a user can act on: one clear sentence, what to do about it, and an exit code.

NetlabError            something is not as it should be    exit code 1
├── BadInput           the user asked for what cannot be             2
├── Unmet              the host or its kernel lacks something        3
└── LabUnavailable     no such lab, or it is in use or gone          4
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

LONGEST = 60  # characters of a value that an error shows
_SENTENCE = 600  # characters of a sentence that quotes what others said
_WORD = re.compile(r"\S{201,}")


def shown(value: object) -> str:
    """A value as an error shows it: in one short line that no terminal takes for a command.

    It may be the user's own, with a `repr` that fails.
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def sentence(text: str) -> str:
    """What is said, as one line of sensible length; it may quote others, as names of files."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
    return _without_middle(_WORD.sub(lambda word: _without_middle(word[0], 200), line), _SENTENCE)


def _without_middle(text: str, longest: int) -> str:
    half = longest // 2
    return text if len(text) <= longest else f"{text[: half - 1]}…{text[-half:]}"


class NetlabError(Exception):
    """An error with a sentence for the user; never shown as a traceback.

    `what` is wrong: a whole sentence, or with a `remedy` one without its full stop, to which the
    remedy is added after a semicolon (or after the colon that it ends with). `about` is the object
    it concerns, where there is one. `str()` is the one sentence.

    >>> error = netlab.NetlabError("The lab is in use", "wait for it to end")
    >>> str(error)
    'The lab is in use; wait for it to end.'
    """

    exit_code = 1

    def __init__(self, what: str, remedy: str = "", about: Any = None) -> None:
        super().__init__(what, remedy, about)
        self.what = what
        self.remedy = remedy
        self.about = about

    def __str__(self) -> str:
        if not self.remedy:
            return sentence(self.what)
        between = " " if self.what.endswith(":") else "; "
        end = "" if self.remedy.endswith((".", "?")) else "."
        return f"{sentence(self.what)}{between}{sentence(self.remedy)}{end}"


class BadInput(NetlabError):
    """The user asked for something that cannot be (exit code 2).

    >>> try:
    ...     netlab.up("flannel-vxlam")
    ... except netlab.BadInput as error:
    ...     print(error)
    There is no topology 'flannel-vxlam'; did you mean flannel-vxlan or ...
    """

    exit_code = 2


class Unmet(NetlabError):
    """The host or its kernel lacks something the lab needs (exit code 3).

    >>> program = netlab.Container("web", command=("no-such-server",))
    >>> pods = [netlab.Pod("web", containers=(program,))]
    >>> try:
    ...     netlab.up(netlab.Cluster(nodes=[netlab.Node(pods=pods)]))
    ... except netlab.Unmet as error:
    ...     error.remedy
    'install it, give its whole path or name another'
    """

    exit_code = 3


class LabUnavailable(NetlabError):
    """There is no such lab, or another command is using it (exit code 4).

    >>> try:
    ...     netlab.lab()
    ... except netlab.LabUnavailable as error:
    ...     print(error)
    No lab is running; start one with `netlab up TOPOLOGY`.
    """

    exit_code = 4


def unknown(what: str, name: str, known: Iterable[str]) -> BadInput:
    """The error for a name that is not known, with the nearest names that are."""
    choices = sorted(known)
    nearest = difflib.get_close_matches(name[:_SENTENCE], choices, n=3, cutoff=0.5)
    if nearest:
        remedy = f"did you mean {' or '.join(nearest)}?"
    else:
        remedy = f"known are: {', '.join(choices) or 'none'}"
    return BadInput(f"There is no {what} {shown(name)}", remedy)
