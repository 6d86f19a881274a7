"""Virtual servers of IPVS, the kernel's load balancer, with the real servers behind them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, Self

from netlab.plan.links import Value
from netlab.plan.rulesets.base import Part, Ruleset

Method = Literal["masquerade", "local", "tunnel", "route", "bypass"]
SchedulerFlag = Literal["flag-1", "flag-2", "flag-3"]


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class RealServer(Value, frozen=True, kw_only=True):
    """Where connections are sent. With `weight` 0 those that are open go on, and no new ones come.

    `others` is what a plan never has, in words: thresholds of connections, kinds of tunnel.
    """

    address: str
    port: int
    weight: int = 1
    method: Method = "masquerade"
    others: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return _at(self.address, self.port)


class VirtualServer(Value, frozen=True, kw_only=True):
    """An address and port that IPVS balances, as `ipvsadm -ln` lists it.

    `persistence` is for how many seconds a client comes back to its real server; 0 is none.
    `flags` are the scheduler's own (`ipvsadm --sched-flags`). `others` is what a plan never has, in
    words, as a mask of persistence. One that is known by a firewall mark has it as its `port`, and
    no address; its `protocol` is fwmark.
    """

    address: str
    port: int
    protocol: str = "tcp"
    scheduler: str = "rr"
    persistence: int = 0
    flags: tuple[SchedulerFlag, ...] = ()
    real: tuple[RealServer, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        where = _at(self.address, self.port) if self.address else str(self.port)
        return f"{self.protocol} {where}"

    def __str__(self) -> str:
        return f"virtual server {self.key}"

    @property
    def settings(self) -> str:
        """What can change in place, in words."""
        words = [f"scheduler {self.scheduler}", *self.flags]
        words += [f"persistence {self.persistence} s"] if self.persistence else []
        return ", ".join([*words, *self.others])


class IpvsTable(Ruleset, frozen=True, kw_only=True):
    """All virtual servers of a namespace: each has one table."""

    what: ClassVar[str] = "ipvs"
    servers: tuple[VirtualServer, ...] = ()

    @property
    def key(self) -> str:
        return "ipvs"

    @property
    def requires(self) -> tuple[str, ...]:
        schedulers = dict.fromkeys(server.scheduler for server in self.servers)
        return ("ip_vs", *(f"ip_vs_{name}" for name in schedulers))

    def __str__(self) -> str:
        return "IPVS virtual servers"

    @property
    def by_key(self) -> dict[str, VirtualServer]:
        return {server.key: server for server in self.servers}

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for server in self.servers for part in _parts(server))

    def differences(self, have: Self) -> list[str]:
        return list(_differences(self, have))


def _parts(server: VirtualServer) -> Iterator[Part]:
    yield Part("virtual server", server.key, str(server))
    for real in server.real:
        yield Part("real server", real.key, f"{server} real server {real.key}")


def _differences(want: IpvsTable, have: IpvsTable) -> Iterator[str]:
    wanted, present = want.by_key, have.by_key
    for key, server in wanted.items():
        other = present.get(key)
        if other is None:
            yield f"{server} is missing"
            continue
        if server.settings != other.settings:
            yield f"{server} has '{other.settings}', not '{server.settings}'"
        yield from _real_differences(server, other)
    yield from (f"unexpected {server}" for key, server in present.items() if key not in wanted)


def _real_differences(want: VirtualServer, have: VirtualServer) -> Iterator[str]:
    wanted, present = ({one.key: one for one in server.real} for server in (want, have))
    for key, real in wanted.items():
        other = present.get(key)
        if other is None:
            yield f"{want}: real server {key} is missing"
        elif other != real:
            yield f"{want}: real server {key} has {_told(other)}, not {_told(real)}"
    yield from (f"{want}: unexpected real server {key}" for key in present if key not in wanted)


def _told(real: RealServer) -> str:
    return ", ".join([f"weight {real.weight}", f"method {real.method}", *real.others])


_PROTOCOLS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
_METHODS = {"masquerade": "-m", "route": "-g", "tunnel": "-i"}


def lines(table: IpvsTable) -> Iterator[str]:
    """What `ipvsadm --restore` reads."""
    for server in table.servers:
        where = f"{_PROTOCOLS[server.protocol]} {_at(server.address, server.port)}"
        persistence = f" -p {server.persistence}" if server.persistence else ""
        flags = f" -b {','.join(server.flags)}" if server.flags else ""
        yield f"-A {where} -s {server.scheduler}{persistence}{flags}"
        for real in server.real:
            yield f"-a {where} -r {real.key} {_METHODS[real.method]} -w {real.weight}"
