"""A plan: everything that each namespace of a lab must hold. The observer reads the same back.

All values are fully specified (a MAC is never left to chance), so that equality is `==`.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

import msgspec

from netlab.plan.attachment import Attachment
from netlab.plan.links import AnyLink, Link
from netlab.plan.processes import Container, Daemon
from netlab.plan.routing import (
    DEFAULT_RULES,
    Address,
    Extra,
    FdbEntry,
    Neighbour,
    Route,
    Rule,
    Sysctl,
)
from netlab.plan.rulesets import AnyRuleset, Ruleset

Role = Literal["switch", "router", "node", "pod", "endpoint", "external"]
ATTACHED: frozenset[Role] = frozenset({"pod", "endpoint"})  # what hangs on a node
Object = (
    Link
    | Address
    | Route
    | Rule
    | Neighbour
    | FdbEntry
    | Extra
    | Sysctl
    | Ruleset
    | Daemon
    | Container
)
# How another process finds a dataplane or proxy: what `netlab.registry` makes of one.
Reference = TypedDict(
    "Reference", {"name": str, "options": dict[str, Any], "file": str | None, "class": str}
)


class Namespace(msgspec.Struct):
    """Everything one network namespace must hold.

    `ipv6` is whether IPv6 is on there: without, the plan has the setting that turns it off.
    """

    name: str
    role: Role
    ipv6: bool = False
    links: list[AnyLink] = []
    addresses: list[Address] = []
    routes: list[Route] = []
    rules: list[Rule] = msgspec.field(default_factory=lambda: list(DEFAULT_RULES))
    neighbours: list[Neighbour] = []
    fdb: list[FdbEntry] = []
    extras: list[Extra] = []
    sysctls: list[Sysctl] = []
    ruleset: list[AnyRuleset] = []
    daemons: list[Daemon] = []
    containers: list[Container] = []

    def link(self, name: str) -> AnyLink:
        return next(link for link in self.links if link.name == name)


# The lists of a namespace that hold objects, and of what type these are.
FIELDS: dict[str, Any] = {
    "links": Link,
    "addresses": Address,
    "routes": Route,
    "rules": Rule,
    "neighbours": Neighbour,
    "fdb": FdbEntry,
    "extras": Extra,
    "sysctls": Sysctl,
    "ruleset": Ruleset,
    "daemons": Daemon,
    "containers": Container,
}


class Plan(msgspec.Struct):
    """The desired state of a lab. Namespaces are in the order in which they are built."""

    topology: str
    requires: tuple[str, ...]
    namespaces: dict[str, Namespace]
    attachments: list[Attachment] = []
