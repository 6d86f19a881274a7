"""Processes of a lab: a pod's containers, and the daemons of a node."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from netlab.plan.links import Value
from netlab.plan.routing import Route


class Ready(Value, frozen=True, kw_only=True):
    """How a process shows that it is ready, within `seconds`: by every condition that is given.

    A TCP or UDP port that is bound (by a container, on more than loopback), a command that ends
    with 0, and for a daemon a file (in its private folder) that is there.
    """

    tcp: int = 0
    udp: int = 0
    file: str = ""
    command: tuple[str, ...] = ()
    seconds: float = 10.0


class Container(Value, frozen=True):
    """A process of a pod (or the client's server), in PID, mount and UTS namespaces of its own.

    `command` None is netlab's own server on `port` (all addresses) and `local_port` (loopback); it
    answers as `pod`, the pod's name in the lab, or as `hostname` where that is the same. `env` are
    its own variables (`NAME=VALUE`). Its files under /etc follow from its pod's `addresses`,
    `aliases` (each an address and its names), Kubernetes `namespace` and `nameserver`; the
    namespace is empty for a machine outside the cluster, the nameserver where nobody knows names.
    """

    what: ClassVar[str] = "container"
    name: str
    hostname: str
    command: tuple[str, ...] | None = None
    port: int = 0
    local_port: int = 0
    pod: str = ""
    env: tuple[str, ...] = ()
    ready: Ready | None = None
    addresses: tuple[str, ...] = ()
    aliases: tuple[tuple[str, ...], ...] = ()
    namespace: str = "default"
    nameserver: str = ""

    @property
    def key(self) -> str:
        return self.name

    def __str__(self) -> str:
        return f"container {self.name}"


class File(Value, frozen=True):
    """A file written for a daemon into its private folder; `mode` as chmod takes it."""

    path: str
    content: str
    mode: int = 0o644


class Owner(Value, frozen=True, kw_only=True):
    """What a daemon writes into its namespace by itself: netlab shows it and never touches it.

    Routes by their protocol or table, devices by name, sets (of nftables as `FAMILY TABLE SET`, or
    ip sets) whose elements are the daemon's.
    """

    protocols: tuple[str, ...] = ()
    tables: tuple[int, ...] = ()
    devices: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()


class Daemon(Value, frozen=True, kw_only=True):
    """A process of a node (or router), in the node's network namespace and nothing else of its own.

    It runs in a private folder, in which `files` are written; `{folder}` in a word of `command`,
    of `ready.command` and in a file's content is that folder, and `{packages}` the one in which the
    libraries of netlab's Python are. When it ends it is started again
    after `backoff` seconds, twice as long each time up to 30. `needs` are the programs that must
    be on the machine, each with the words that say how to get it. `brings` are routes that it must
    bring about: they are awaited, and never written. `reloads` are those of its files that it reads
    anew on SIGHUP, as BIRD does its configuration.
    """

    what: ClassVar[str] = "daemon"
    name: str
    command: tuple[str, ...]
    files: tuple[File, ...] = ()
    ready: Ready | None = None
    owns: Owner = Owner()
    brings: tuple[Route, ...] = ()
    backoff: float = 0.5
    needs: tuple[tuple[str, str], ...] = ()
    reloads: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.name

    def __str__(self) -> str:
        return f"daemon {self.name}"

    def takes_over(self, before: Daemon) -> bool:
        """Whether a process that was started as another value can become this one as it runs.

        At most the content of files differs that it reads anew, and what only others know of it:
        a file by which it is ready is removed for each process.
        """
        return self._started_as() == before._started_as()

    def _started_as(self) -> Daemon:
        files = tuple(
            replace(file, content="") if file.path in self.reloads else file for file in self.files
        )
        ready = Ready(file=self.ready.file if self.ready else "")
        return replace(self, files=files, ready=ready, owns=Owner(), brings=(), needs=())
