"""Errors a user can act on: one clear sentence, and the exit code the contract gives it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NetlabError(Exception):
    """An error with a sentence for the user; never shown as a traceback."""

    exit_code = 1


class BadInput(NetlabError):
    """The user asked for something that cannot be (exit code 2)."""

    exit_code = 2


class Unmet(NetlabError):
    """The host or its kernel lacks something the lab needs (exit code 3)."""

    exit_code = 3


class LabUnavailable(NetlabError):
    """There is no such lab, or another command is using it (exit code 4)."""

    exit_code = 4


def unknown(what: str, name: str, known: Iterable[str]) -> BadInput:
    """The error for a name that is not known, with the nearest names that are."""
    choices = sorted(known)
    nearest = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
    if nearest:
        return BadInput(f"There is no {what} '{name}'; did you mean {' or '.join(nearest)}?")
    return BadInput(f"There is no {what} '{name}'; known are: {', '.join(choices) or 'none'}.")
