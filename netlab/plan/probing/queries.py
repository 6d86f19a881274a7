"""What is asked of a node's daemon, and what it says."""

from __future__ import annotations

from typing import NamedTuple


class DaemonQuery(NamedTuple):
    """A command that asks a daemon of a node, as `birdc show protocols`; `asked` is about what.

    `{folder}` in a word is the daemon's private folder, as in the plan.
    """

    namespace: str
    daemon: str
    command: tuple[str, ...]
    asked: str
    ipv6: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace,)

    @property
    def protocol(self) -> str:
        return self.asked


class DaemonWords(NamedTuple):
    """What the command printed; or why there is no answer, in words."""

    text: str = ""
    error: str | None = None
