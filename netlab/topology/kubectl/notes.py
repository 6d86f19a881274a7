"""What a dump leaves open, and what was assumed: a sentence each."""

from __future__ import annotations

from collections.abc import Sequence

from netlab.errors import sentence

_LISTED = 3  # names; of more the number is told


class Notes:
    """The sentences in the order in which they came."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        text = sentence(text)
        if text not in self.said:
            self.said.append(text)

    def left_out(self, names: Sequence[str], what: str, why: str) -> None:
        """That some are not in the lab, said once with their number."""
        self.are(names, what, f"left out, {why}")

    def are(self, names: Sequence[str], what: str, how: str) -> None:
        """What some of a kind are, said once with their number."""
        if names:
            some = ", ".join(names[:_LISTED]) + (" and others" if len(names) > _LISTED else "")
            plural = what if len(names) == 1 else f"{what}s"
            is_are = "is" if len(names) == 1 else "are"
            self.say(f"{len(names)} {plural} {is_are} {how}: {some}.")
