"""What must come of asking a Service: who answers, how often, and under which address it is asked.

Where chance chooses the endpoint a sample can look wrong in a healthy lab. So what fails is asked
once more, by a larger sample of its own, and only what fails both times is red.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netlab.plan.probing.actions import Request, Response
from netlab.plan.probing.chance import p_value
from netlab.plan.probing.check import Verdict
from netlab.plan.probing.expectations import GONE
from netlab.plan.probing.repeated import Repeated

# Connections for each endpoint, so many that the chi-square distribution holds; and so many times
# as many where the first sample is doubted.
PER_ENDPOINT, MORE = 10, 4
# A sample is doubted where chance does as much once in a thousand times, and the second is judged
# by a millionth: both fail in a healthy lab once in 10^9 times. That one of n endpoints is never
# asked happens n times in e^10, and then in e^40.
DOUBTED, UNLIKELY = 1e-3, 1e-6
_NAMED = 3  # endpoints that are named in words
Seen = Mapping[str, tuple[str, ...]]  # a responder, and the addresses of which it sees one


@dataclass(frozen=True, slots=True)
class Served:
    """Endpoints answer, each as a responder `POD CONTAINER`, and have seen the client as `seen`
    says. With an `alpha` all of them do, as evenly as chance does more often than that.
    """

    seen: Seen
    alpha: float | None = None

    def judge(self, action: Repeated, outcome: Sequence[Response]) -> Verdict:
        asked = asked_for(action.request)
        problems = [*_failures(outcome), *_strangers(outcome, self.seen)]
        counts = _counted(outcome, self.seen)
        evidence = _shares(counts, even=self.alpha is not None)
        if self.alpha is not None and len(counts) > 1:
            chance = p_value([*counts.values()])
            evidence += f"; chi-square test: p = {chance:.2g}"
            problems += _unevenness(counts, chance, self.alpha)
        expected = f"{asked}: {self._who()} {_clients(self.seen)}"
        return _verdict(expected, asked, problems, evidence)

    def _who(self) -> str:
        if len(self.seen) == 1:
            return f"{next(iter(self.seen))} answers, and sees"
        if self.alpha is None:
            return f"some of {len(self.seen)} endpoints answer, and see"
        return f"{len(self.seen)} endpoints answer evenly, and see"


@dataclass(frozen=True, slots=True)
class Kept:
    """One of the endpoints keeps the client (affinity), and has seen it as `seen` says."""

    seen: Seen

    def judge(self, action: Repeated, outcome: Sequence[Response]) -> Verdict:
        asked = asked_for(action.request)
        counts = +_counted(outcome, self.seen)
        problems = [*_failures(outcome), *_strangers(outcome, self.seen)]
        if len(counts) > 1:
            problems.append(f"{len(counts)} endpoints answer one client: {_shares(counts)}")
        who = _list(self.seen) if len(self.seen) == 1 else f"one of {len(self.seen)} endpoints"
        expected = f"{asked}: {who} keeps the client, and sees {_clients(self.seen)}"
        return _verdict(expected, asked, problems, _shares(counts))


@dataclass(frozen=True, slots=True)
class Itself:
    """Some of a pod's connections come back to itself, under one of `clients` (hairpin)."""

    by: str
    clients: tuple[str, ...]

    def judge(self, action: Repeated, outcome: Sequence[Response]) -> Verdict:
        asked = asked_for(action.request)
        own = [one for one in outcome if one.responder == self.by and not one.error]
        problems = [*_strangers(own, {self.by: self.clients})]
        if not own:
            problems = [f"it never answered itself in {len(outcome)} connections"]
            problems += _failures(outcome)
        expected = f"{asked}: it answers itself, and sees {' or '.join(self.clients)}"
        evidence = f"{len(own)} of {len(outcome)} connections"
        return _verdict(expected, asked, problems, evidence)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nothing comes back, for a reason; what is refused or gone is not as expected."""

    reason: str

    def judge(self, action: Request, outcome: Response) -> Verdict:
        asked = asked_for(action)
        observed = outcome.error or f"answered by {outcome.body}"
        ok = observed.startswith("timed out")
        expected = f"{asked}: no answer: {self.reason}"
        return Verdict(expected, f"{asked}: {outcome.failure or observed}", ok)


@dataclass(frozen=True, slots=True)
class NotServed:
    """Nobody answers as a Service, for a reason, however one is told; what is gone is no reason."""

    reason: str

    def judge(self, action: Request, outcome: Response) -> Verdict:
        asked = asked_for(action)
        ok = outcome.error is not None and GONE not in outcome.error
        observed = outcome.failure or f"answered by {outcome.body}"
        return Verdict(f"{asked}: nobody answers: {self.reason}", f"{asked}: {observed}", ok)


def asked_for(request: Request) -> str:
    """What is asked, as `TCP 10.96.0.10:53`."""
    host = f"[{request.address}]" if request.ipv6 else request.address
    return f"{request.protocol.upper()} {host}:{request.port}"


def _verdict(expected: str, asked: str, problems: Sequence[str], evidence: str) -> Verdict:
    if problems:
        return Verdict(expected, f"{asked}: {'; '.join(problems)}", False, evidence)
    return Verdict(expected, expected, True, evidence)


def _counted(outcome: Sequence[Response], known: Collection[str]) -> Counter[str]:
    counts = Counter(dict.fromkeys(known, 0))
    counts.update(one.responder for one in outcome if one.responder in counts and not one.error)
    return counts


def _failures(outcome: Sequence[Response]) -> Iterator[str]:
    for words, count in Counter(one.failure for one in outcome if one.error).items():
        yield f"{count} of {len(outcome)} connections: {words}"


def _strangers(outcome: Sequence[Response], seen: Seen) -> Iterator[str]:
    """Who answers and is no endpoint, and who saw another client than it should."""
    answers = Counter((one.responder, one.client) for one in outcome if not one.error)
    for (responder, client), count in answers.items():
        if responder not in seen:
            yield f"{responder} answers {count} times and is no endpoint"
        elif client not in seen[responder]:
            yield f"{responder} sees {client}, not {' or '.join(seen[responder])}"


def _unevenness(counts: Counter[str], chance: float, alpha: float) -> Iterator[str]:
    total = counts.total()
    never = [name for name, count in counts.items() if not count]
    if never and total:
        yield f"{_list(never)} never answered in {total} connections"
    elif chance < alpha:
        once = f"chance does this once in {1 / chance:,.0f} times" if chance else "no chance"
        yield f"uneven, {once}: {_shares(counts, even=True)}"


def _clients(seen: Seen) -> str:
    return _list({client for clients in seen.values() for client in clients}, " or ")


def _shares(counts: Counter[str], *, even: bool = False) -> str:
    """Who answered how often, and (`even`) who not; of many the most and the least."""
    ranked = [f"{name} {count}" for name, count in counts.most_common() if count or even]
    if len(ranked) <= 2 * _NAMED:
        return ", ".join(ranked)
    return f"{', '.join(ranked[:_NAMED])}, … {', '.join(ranked[-_NAMED:])}"


def _list(names: Collection[str], word: str = ", ") -> str:
    ordered = sorted(names)
    if len(ordered) <= _NAMED:
        return word.join(ordered)
    return f"{word.join(ordered[:_NAMED])} and {len(ordered) - _NAMED} more"
