"""What rulesets of all kinds have, and how their differences are told."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple, Self

from netlab.plan.links import Value

TOLD = 5  # rules of one chain, or elements of one set, that are named one by one


class Part(NamedTuple):
    """A piece of a ruleset that has a name of its own: a chain, or a rule by its text."""

    kind: str
    name: str
    words: str


class Ruleset(Value, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """Base of a ruleset's objects; each type has a file in `netlab/kernel/rulesets/`."""

    what: ClassVar[str] = "ruleset"

    @property
    def key(self) -> str:
        raise NotImplementedError

    @property
    def requires(self) -> tuple[str, ...]:
        """Features of the kernel (`netlab doctor`) without which it cannot be loaded."""
        return ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """What it is made of, in its order; the elements of sets are not told apart."""
        return ()

    def differences(self, have: Self) -> list[str]:
        """What `have` lacks, has too much and has differently, in words, down to the element."""
        raise NotImplementedError

    def without(self, sets: Collection[str], have: Self) -> tuple[Self, Self | None]:
        """`have` with the elements of others' sets as this plan has them, and what was theirs.

        `sets` are names as in `netlab.plan.processes.Owner`.
        """
        return have, None


def chain_parts(ruleset: Ruleset, name: str, rules: Iterable[str]) -> Iterator[Part]:
    """A chain, and each of its rules."""
    words = f"{ruleset} chain {name}"
    yield Part("chain", name, words)
    yield from (Part("rule", rule, f"{words}: {rule}") for rule in rules)


def rule_differences(where: str, want: Sequence[str], have: Sequence[str]) -> Iterator[str]:
    """How the rules of a chain differ. Rules are numbered from 1, as the plan has them."""
    if want and not have:
        yield f"{where}: all its rules are missing ({len(want)})"
        return
    words = list(_rule_words(want, have))
    yield from (f"{where}: {text}" for text in words[:TOLD])
    if len(words) > TOLD:
        yield f"{where}: {len(words) - TOLD} more rules differ"


def _rule_words(want: Sequence[str], have: Sequence[str]) -> Iterator[str]:
    matcher = difflib.SequenceMatcher(None, want, have, autojunk=False)
    for operation, start, end, other_start, other_end in matcher.get_opcodes():
        if operation == "equal":
            continue
        wanted, present = want[start:end], have[other_start:other_end]
        both = min(len(wanted), len(present))
        for number, (one, other) in enumerate(zip(wanted, present, strict=False), start + 1):
            yield f"rule {number} is '{other}', not '{one}'"
        for number, rule in enumerate(wanted[both:], start + both + 1):
            yield f"rule {number} is missing: '{rule}'"
        for rule in present[both:]:
            yield f"unexpected rule '{rule}'"


def element_differences(where: str, want: Sequence[str], have: Sequence[str]) -> Iterator[str]:
    """Which elements a set lacks or has too many; of a great many only the first are named."""
    wanted, present = set(want), set(have)
    missing = [element for element in want if element not in present]
    unexpected = [element for element in have if element not in wanted]
    yield from (f"element {element} is missing from {where}" for element in missing[:TOLD])
    if len(missing) > TOLD:
        yield f"{len(missing) - TOLD} more elements are missing from {where}"
    yield from (f"unexpected element {element} in {where}" for element in unexpected[:TOLD])
    if len(unexpected) > TOLD:
        yield f"{len(unexpected) - TOLD} more unexpected elements in {where}"
