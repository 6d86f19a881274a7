"""The agents on the machines of a lab: started all at once, asked all at once, ended together."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from netlab.errors import BadInput, NetlabError, shown
from netlab.hosts import inventory, vagrant
from netlab.hosts.connection import Connection, Pending
from netlab.hosts.inventory import Host
from netlab.hosts.package import digest
from netlab.hosts.protocol import Call, Tell
from netlab.hosts.ssh import Way

FOLDER = "/var/lib/netlab"  # on a machine: a folder below it for each netlab that came there
VAGRANT = "vagrant"
Found = TypeVar("Found")


def hosts_of(source: str) -> tuple[Host, ...]:
    """The machines of an inventory: a path, or `vagrant`. Raises BadInput, Unmet."""
    return vagrant.read(Path.cwd()) if source == VAGRANT else inventory.read(source)


class Fleet:
    """Agents on machines. `missing` says of each that cannot be used why."""

    def __init__(self, hosts: Iterable[Host], folder: str = FOLDER) -> None:
        self.hosts = {host.name: host for host in hosts}
        # Short, as a socket's path holds 107 bytes; ssh hashes the rest of its name.
        self._sockets = Path(tempfile.mkdtemp(prefix="netlab-"))
        self._folder = folder
        self.ways = {name: Way(host, self._sockets) for name, host in self.hosts.items()}
        self.missing: dict[str, NetlabError] = {}
        self.connections: dict[str, Connection] = {}
        for name in self.ways:
            self.connect(name)

    def connect(self, name: str) -> None:
        """Start a machine's agent, in place of one that ended."""
        if known := self.connections.pop(name, None):
            known.close()
        self.connections[name] = Connection(self.ways[name], self._folder, digest())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all agents and connections; labs stay."""
        _at_once([connection.close for connection in self.connections.values()])
        _at_once([way.end for way in self.ways.values()])
        shutil.rmtree(self._sockets, ignore_errors=True)

    def ready(self, progress: Tell | None = None, *, all_of_them: bool = True) -> None:
        """Have every machine's netlab be this one: what lacks is sent. Raises for all at once.

        Without `all_of_them` those that cannot be used are `missing`.
        """
        from netlab.hosts.prepare import prepare

        lacking = []
        for name, connection in self.connections.items():
            with self._missing(name):
                if not connection.is_ready():
                    lacking.append(name)
        if lacking and not (all_of_them and self.missing):
            failed = prepare({name: self.ways[name] for name in lacking}, self, progress)
            for name in lacking:
                if name in failed:
                    self.missing[name] = failed[name]
                    continue
                self.connect(name)
                with self._missing(name):
                    self.connections[name].hello  # noqa: B018  # raises where it cannot be used
        if all_of_them:
            raise_all(self.missing)

    @contextlib.contextmanager
    def _missing(self, name: str) -> Any:
        try:
            yield
        except NetlabError as error:
            self.missing[name] = error

    def start(
        self, call: Call[Any, Any], given: Callable[[str], Any], tell: Callable[[str], Tell | None]
    ) -> dict[str, Pending]:
        """Have it begun on every machine that is not missing."""
        return {
            name: connection.start(call, given(name), tell(name))
            for name, connection in self.connections.items()
            if name not in self.missing
        }

    def ask(
        self,
        call: Call[Any, Found],
        given: Callable[[str], Any],
        progress: Tell | None = None,
        limit: float | None = None,
    ) -> dict[str, Found]:
        """Have it done on every machine that is not missing. Raises what any of them raised."""
        found, problems = self.try_all(call, given, progress, limit)
        raise_all(problems)
        return found

    def try_all(
        self,
        call: Call[Any, Found],
        given: Callable[[str], Any],
        progress: Tell | None = None,
        limit: float | None = None,
    ) -> tuple[dict[str, Found], dict[str, NetlabError]]:
        """As `ask`; what went wrong is returned."""
        pending = self.start(call, given, lambda name: telling(name, progress))
        found: dict[str, Found] = {}
        problems: dict[str, NetlabError] = {}
        try:
            for name, one in pending.items():
                try:
                    found[name] = one.result(limit) if limit else one.result()
                except NetlabError as error:
                    problems[name] = error
        except BaseException:
            for one in pending.values():
                one.cancel()
            raise
        return found, problems

    def on(self, name: str) -> Connection:
        """The agent of one machine. Raises what is wrong with it."""
        if name in self.missing:
            raise self.missing[name]
        if name not in self.connections:
            raise BadInput(f"The inventory has no machine {shown(name)} any more.")
        return self.connections[name]


def telling(name: str, progress: Tell | None) -> Tell | None:
    """What a machine says on the way, with its name; bars of several machines would jump."""
    if progress is None:
        return None
    return lambda words, done, total: progress(f"{name}: {words}", 0, 0)


def raise_all(problems: Mapping[str, NetlabError]) -> None:
    """Raise what went wrong on machines, as one error that says it of each."""
    if not problems:
        return
    first, *others = problems.values()
    if not others:
        raise first
    kinds = {type(error) for error in problems.values()}
    kind = kinds.pop() if len(kinds) == 1 else type(first)
    what = "; ".join(str(error).rstrip(".") for error in problems.values())
    error = NetlabError.__new__(kind)
    NetlabError.__init__(error, what + ".")
    raise error


def _at_once(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
