"""The error of every kind of ruleset."""

from __future__ import annotations


class RulesetError(Exception):
    """A ruleset that a tool or the kernel refused, in its words and with what was refused."""
