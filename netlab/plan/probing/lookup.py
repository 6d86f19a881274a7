"""To ask a DNS server for a name, what comes of it and what must."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from netlab.plan.probing.check import Verdict
from netlab.plan.routing import is_ipv6

NO_ERROR, NO_SUCH_NAME = "NOERROR", "NXDOMAIN"  # codes of an answer, as dig prints them


class Lookup(NamedTuple):
    """To ask `server`, from a namespace, for the addresses of a full name."""

    namespace: str
    server: str
    name: str
    record: Literal["A", "AAAA"]
    application: Literal["udp", "tcp"] = "udp"

    @property
    def ipv6(self) -> bool:
        return is_ipv6(self.server)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace,)

    @property
    def protocol(self) -> str:
        return self.application

    @property
    def words(self) -> str:
        return f"{self.name} {self.record}"


class Resolved(NamedTuple):
    """The answer's code, the addresses in it, and how many seconds it took; or an error."""

    code: str = ""
    addresses: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Resolves:
    """The name has these addresses and no others; `code` is what the answer says beside them."""

    addresses: frozenset[str]
    code: str = NO_ERROR

    def judge(self, action: Lookup, outcome: Resolved) -> Verdict:
        asked = f"{action.words} of {action.server}"
        expected = f"{asked}: {_words(self.code, self.addresses)}"
        if outcome.error:
            return Verdict(expected, f"{asked}: {outcome.error}", False)
        same = frozenset(outcome.addresses) == self.addresses
        ok = same and outcome.code == self.code
        observed = f"{asked}: {_words(outcome.code, outcome.addresses)}"
        return Verdict(expected, observed, ok)


def _words(code: str, addresses: frozenset[str] | tuple[str, ...]) -> str:
    if code != NO_ERROR:
        return code
    return ", ".join(sorted(addresses)) or "there, without such an address"
