"""The error of every kind of ruleset."""

from __future__ import annotations

from netlab.errors import NetlabError


class RulesetError(NetlabError):
    """A ruleset that a tool or the kernel refused, in its words and with what was refused."""
