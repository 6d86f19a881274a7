"""ip sets, as iptables matches them (`-m set`)."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Literal, Self

import msgspec

from netlab.plan.rulesets.base import Ruleset, element_differences

MAXELEM = 65536  # the kernel's own default (IPSET_DEFAULT_MAXELEM)


class Ipset(Ruleset, frozen=True, kw_only=True):
    """An ip set; entries are as `ipset save` prints them, as `10.0.0.1,tcp:80`, with their
    comment and `nomatch`, without counters and remaining time.

    `timeout`, in seconds, is that of new entries; with one (0 too) entries that rules or programs
    added are no drift. `size` is of a list:set, `range` (FROM-TO) of a bitmap. How large the hash
    is that the kernel made (hashsize, bucketsize) is its own affair.
    """

    what: ClassVar[str] = "ipset"
    name: str
    type: str = "hash:ip"
    family: Literal["inet", "inet6"] = "inet"
    range: str = ""
    size: int = 8
    maxelem: int = MAXELEM
    timeout: int | None = None
    counters: bool = False
    comment: bool = False
    forceadd: bool = False
    skbinfo: bool = False
    entries: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"ipset {self.name}"

    @property
    def requires(self) -> tuple[str, ...]:
        return ("ipset",)

    def __str__(self) -> str:
        return self.key

    @property
    def definition(self) -> str:
        """What `ipset create` takes; a difference in it takes a new set."""
        words = [self.name, self.type]
        if self.type.startswith("hash:"):
            words += ["family", self.family, "maxelem", str(self.maxelem)]
        words += ["range", self.range] if self.range else []
        words += ["size", str(self.size)] if self.type == "list:set" else []
        words += ["timeout", str(self.timeout)] if self.timeout is not None else []
        flags = ("counters", "comment", "forceadd", "skbinfo")
        return " ".join([*words, *(flag for flag in flags if getattr(self, flag))])

    def differences(self, have: Self) -> list[str]:
        words = []
        if have.definition != self.definition:
            words.append(f"it is '{have.definition}', not '{self.definition}'")
        return words + list(element_differences(str(self), self.entries, have.entries))

    def without(self, sets: Collection[str], have: Self) -> tuple[Self, Self | None]:
        if self.name not in sets:
            return have, None
        compared = msgspec.structs.replace(have, entries=self.entries)
        return compared, have if have.entries else None
