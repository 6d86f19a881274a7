"""One call to many machines at once, and what comes of it told together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from netlab.errors import NetlabError
from netlab.hosts.connection import LIMIT, Connection, Pending
from netlab.hosts.protocol import Call, Tell

Found = TypeVar("Found")
Given = Callable[[str], Any]  # what the machine of that name is given


def start(
    machines: Mapping[str, Connection],
    call: Call[Any, Any],
    given: Given,
    tell: Callable[[str], Tell | None],
) -> dict[str, Pending]:
    """Have it begun on every machine."""
    return {name: one.start(call, given(name), tell(name)) for name, one in machines.items()}


def ask(
    machines: Mapping[str, Connection],
    call: Call[Any, Found],
    given: Given,
    progress: Tell | None = None,
    limit: float = LIMIT,
) -> dict[str, Found]:
    """Have it done on every machine. Raises what went wrong on any, of all of them at once."""
    found, problems = try_all(machines, call, given, progress, limit)
    raise_all(problems)
    return found


def try_all(
    machines: Mapping[str, Connection],
    call: Call[Any, Found],
    given: Given,
    progress: Tell | None = None,
    limit: float = LIMIT,
) -> tuple[dict[str, Found], dict[str, NetlabError]]:
    """As `ask`; what went wrong is returned beside what came."""
    pending = start(machines, call, given, lambda name: telling(name, progress))
    found: dict[str, Found] = {}
    problems: dict[str, NetlabError] = {}
    try:
        for name, one in pending.items():
            try:
                found[name] = one.result(limit)
            except NetlabError as error:
                problems[name] = error
    except BaseException:  # Ctrl-C: nobody waits for the others any more
        for one in pending.values():
            one.cancel()
        raise
    return found, problems


def telling(name: str, progress: Tell | None) -> Tell | None:
    """What a machine says on the way, with its name; bars of several would take turns."""
    if progress is None:
        return None
    return lambda words, _done, _total: progress(f"{name}: {words}", 0, 0)


def raise_all(problems: Mapping[str, NetlabError]) -> None:
    """Raise what went wrong on machines as one error, which says it of each."""
    if not problems:
        return
    first, *others = problems.values()
    if not others:
        raise first
    # Of several kinds the one that counts most, as of a single command's problems.
    kind = max((type(error) for error in problems.values()), key=lambda one: one.exit_code)
    base = next(one for one in kind.__mro__ if one.__module__ == NetlabError.__module__)
    raise base(f"{reasons(problems)}.")


def reasons(problems: Mapping[str, NetlabError]) -> str:
    """What went wrong on machines, in one line."""
    return "; ".join(str(error).rstrip(".") for error in problems.values())
