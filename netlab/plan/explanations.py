"""What is told of an object: which part of a real system writes it, and why. Values, no objects.

The words stand beside the code that plans the object: a dataplane and a way to attach pods have
them as `explains`, other modules as EXPLAINS. Nothing of it is in a plan; who asks looks it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from netlab.plan.types import Role

KERNEL = "kernel"
NETLAB = "netlab"  # the writer of what no real system has


class Says(NamedTuple):
    """What is told of the objects whose words (`str`, as `netlab diff` has them) are like `of`.

    `of` is a pattern as for file names, as `link flannel*`. A chain and a rule of a ruleset follow
    its words: `iptables-* table nat chain X: RULE`. `writer` is a program, or KERNEL or NETLAB;
    `why` one or two lines. `role` is of what namespaces it is true, empty: of all; `when` is for
    what words do not tell.

    >>> from netlab.plan.explanations import Says
    >>> Says("link tun*", "my-agent", "What it reads pods' packets from.").fits("node", "link tun0")
    True
    """

    of: str
    writer: str
    why: str
    role: Role | None = "node"
    when: Callable[[Any], bool] | None = None

    def fits(self, role: Role, words: str, item: object = None) -> bool:
        return (
            self.role in (None, role)
            and fnmatchcase(words, self.of)
            and (self.when is None or self.when(item))
        )


def explains(kind: type[Any]) -> tuple[Says, ...]:
    """What a class says of the objects that it plans, then what its bases say; may be nothing."""
    return tuple(says for one in kind.__mro__ for says in vars(one).get("explains", ()))


def told(says: Iterable[Says], role: Role, words: str, item: object) -> Says | None:
    """The first that is true of an object; None where nothing is told of it."""
    return next((one for one in says if one.fits(role, words, item)), None)
