"""Errors a user can act on: one clear sentence, what to do about it, and an exit code.

NetlabError            something is not as it should be    exit code 1
├── BadInput           the user asked for what cannot be             2
├── Unmet              the host or its kernel lacks something        3
└── LabUnavailable     no such lab, or it is in use or gone          4
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


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
            return self.what
        between = " " if self.what.endswith(":") else "; "
        end = "" if self.remedy.endswith((".", "?")) else "."
        return f"{self.what}{between}{self.remedy}{end}"


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
    'install it or name another'
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
    nearest = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    if nearest:
        remedy = f"did you mean {' or '.join(nearest)}?"
    else:
        remedy = f"known are: {', '.join(choices) or 'none'}"
    return BadInput(f"There is no {what} '{name}'", remedy)
