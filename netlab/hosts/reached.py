"""The machines of an inventory, with an agent on each for as long as a command takes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from netlab.errors import BadInput, NetlabError, Unmet
from netlab.hosts import inventory, vagrant
from netlab.hosts.asking import raise_all
from netlab.hosts.connection import Connection, Unreachable
from netlab.hosts.inventory import Host
from netlab.hosts.package import digest
from netlab.hosts.prepare import Tell, folder_of, prepare
from netlab.hosts.protocol import Lacks
from netlab.hosts.ssh import Way


class Machines:
    """Agents on machines: begun at once, while the caller does something else, until `ready`.

    `connections` are those that can be used, in the inventory's order; `unreachable` says why the
    others cannot. Use it with `with`: at its end no process is left here, nor there.
    """

    def __init__(
        self, which: str | Path | Sequence[Host], only: Sequence[str] | None = None
    ) -> None:
        """`which` is an inventory's path, the word `vagrant`, or machines; `only` those of a lab.

        Raises BadInput for an inventory that cannot be read or lacks one of `only`, Unmet.
        """
        self.connections: dict[str, Connection] = {}
        self.unreachable: dict[str, NetlabError] = {}
        self._starting: dict[str, Connection] = {}
        # Short, as a socket's path has to be, and private.
        self._folder = Path(tempfile.mkdtemp(prefix="netlab-", dir="/tmp"))
        try:
            self.hosts = _hosts(which, self._folder)
            if only is not None:
                self.hosts = _chosen(self.hosts, only)
            for host in self.hosts:
                self._start(Way(host, self._folder))
        except BaseException:
            self.close()
            raise

    def ready(self, tell: Tell | None = None) -> Mapping[str, Connection]:
        """Wait for the agents, and put netlab on the machines that lack it."""
        lacking = self._greeted(self._starting)
        if lacking:
            for name in lacking:
                self._starting[name].close()
            ways = {name: self._starting[name].way for name in lacking}
            refused = prepare([(ways[name], lacks) for name, lacks in lacking.items()], tell)
            self.unreachable |= refused
            again = {name: self._start(ways[name]) for name in lacking if name not in refused}
            for name, lacks in self._greeted(again).items():
                self.unreachable[name] = Unreachable(
                    f"The machine {name} cannot load netlab, although it was just put there: "
                    f"{lacks.lacks}",
                    "see its Python",
                    name,
                )
        self.connections = {
            host.name: self._starting[host.name]
            for host in self.hosts
            if host.name not in self.unreachable
        }
        self._refuse_twice()
        return self.connections

    def _refuse_twice(self) -> None:
        """Raise BadInput where two names are of one machine, which can have one share alone."""
        names: dict[str, str] = {}
        for name, connection in self.connections.items():
            other = names.setdefault(connection.hello.identity, name)
            if other != name:
                raise BadInput(
                    f"{other} and {name} of the inventory are one machine", "leave one of them out"
                )

    def require_all(self) -> None:
        """Raise why machines cannot be used, if some cannot."""
        raise_all(self.unreachable)

    def close(self) -> None:
        """End all agents, and what they are doing, and the connections; labs stay."""
        ending, self._starting = self._starting, {}
        for connection in ending.values():  # they end meanwhile
            connection.hang_up()
        for connection in ending.values():
            connection.close()
            connection.way.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self, way: Way) -> Connection:
        connection = Connection(way, folder_of(way), digest())
        self._starting[way.host.name] = connection
        return connection

    def _greeted(self, connections: Mapping[str, Connection]) -> dict[str, Lacks]:
        """Wait for what agents say first; returns those machines that lack netlab."""
        lacking = {}
        for name, connection in connections.items():
            try:
                greeting = connection.greeting()
            except Unreachable as error:
                self.unreachable[name] = error
                continue
            if isinstance(greeting, Lacks):
                lacking[name] = greeting
        return lacking


def _hosts(which: str | Path | Sequence[Host], folder: Path) -> tuple[Host, ...]:
    if which == vagrant.WORD:
        return vagrant.read(folder)
    return inventory.read(which) if isinstance(which, str | Path) else tuple(which)


def _chosen(hosts: Sequence[Host], only: Sequence[str]) -> tuple[Host, ...]:
    known = {host.name: host for host in hosts}
    for name in only:
        if name not in known:
            raise Unmet(f"The inventory has no machine {name}, on which the lab is", "add it again")
    return tuple(known[name] for name in only)
