"""The plain values a plan is made of; the observer reads the same ones back from the kernel.

Every value has a `key`, unique within its namespace and kind: two values with one key are the same
object in two states, so a diff says *changed* for them and not *missing* and *unexpected*.
All values are fully specified (a MAC is never left to chance), so that equality is `==`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

MAIN_TABLE = 254
Role = Literal["switch", "router", "node", "pod", "external"]


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a veth: the namespace it is in, and its name there."""

    namespace: str
    link: str


@dataclass(frozen=True, slots=True)
class Vxlan:
    """What `ip -d link` shows of a VXLAN device; `port` is the UDP destination port."""

    vni: int
    port: int
    local: str
    device: str
    learning: bool = False
    gbp: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A network device. `mtu` is in bytes; `hairpin` is that of a bridge port.

    `altered` is None in a plan; in what is observed it tells, in words, which of the device's many
    other settings are not the kernel's defaults.
    """

    what: ClassVar[str] = "link"
    name: str
    kind: Literal["veth", "bridge", "vxlan", "loopback"]
    mac: str
    mtu: int
    up: bool = True
    master: str | None = None
    hairpin: bool = False
    txqlen: int = 1000
    peer: Peer | None = None
    vxlan: Vxlan | None = None
    altered: str | None = None

    @property
    def key(self) -> str:
        return self.name

    def __str__(self) -> str:
        return f"link {self.name}"


LOOPBACK = Link("lo", "loopback", "00:00:00:00:00:00", 65536)


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 address with its prefix length, as `10.244.0.1/24`, on a device.

    The broadcast address is implied: networks of /30 and wider have one, as
    `ip address add … brd +` and the netlink library of flannel and the CNI plugins set it.
    """

    what: ClassVar[str] = "address"
    link: str
    address: str

    @property
    def key(self) -> str:
        return f"{self.address} dev {self.link}"

    def __str__(self) -> str:
        return f"address {self.key}"


LOCALHOST = Address("lo", "127.0.0.1/8")


@dataclass(frozen=True, slots=True)
class Route:
    """A route. A `kind` other than unicast, as blackhole, has no device: `link` is empty.

    A connected route, which the kernel makes for an address, has no gateway and the address as its
    `source`. `metrics` are settings such as an MTU, in words.
    """

    what: ClassVar[str] = "route"
    destination: str
    link: str
    gateway: str | None = None
    onlink: bool = False
    metric: int = 0
    kind: str = "unicast"
    source: str | None = None
    tos: int = 0
    table: int = MAIN_TABLE
    metrics: str = ""

    @property
    def connected(self) -> bool:
        return self.source is not None and self.gateway is None

    @property
    def key(self) -> str:
        return f"{self.destination} metric {self.metric} tos {self.tos} table {self.table}"

    def __str__(self) -> str:
        kind = "" if self.kind == "unicast" else f"{self.kind} "
        via = f" via {self.gateway}" if self.gateway else ""
        device = f" dev {self.link}" if self.link else ""
        onlink = " onlink" if self.onlink else ""
        source = f" src {self.source}" if self.source else ""
        table = f" table {self.table}" if self.table != MAIN_TABLE else ""
        tos = f" tos {self.tos:#x}" if self.tos else ""
        metrics = f" {self.metrics}" if self.metrics else ""
        return f"route {kind}{self.destination}{via}{device}{source}{onlink}{table}{tos}{metrics}"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour (ARP) entry; what the kernel learns by itself is not in a plan."""

    what: ClassVar[str] = "neighbour"
    link: str
    address: str
    mac: str

    @property
    def key(self) -> str:
        return f"{self.address} dev {self.link}"

    def __str__(self) -> str:
        return f"neighbour {self.address} lladdr {self.mac} dev {self.link}"


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """A permanent forwarding entry of a VXLAN device: frames to `mac` go to VTEP `destination`.

    `port` and `vni` are 0 where they are the device's own.
    """

    what: ClassVar[str] = "fdb"
    link: str
    mac: str
    destination: str
    port: int = 0
    vni: int = 0

    @property
    def key(self) -> str:
        return f"{self.mac} dev {self.link}"

    def __str__(self) -> str:
        return f"fdb {self.mac} dev {self.link} dst {self.destination}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the routing policy. `selector` says what it applies to; empty: everything."""

    what: ClassVar[str] = "rule"
    priority: int
    table: int
    action: str = "lookup"
    selector: str = ""

    @property
    def key(self) -> str:
        return str(self)

    def __str__(self) -> str:
        target = f"lookup {self.table}" if self.action == "lookup" else self.action
        return f"rule {self.priority}: {self.selector or 'all'} {target}"


DEFAULT_RULES = (Rule(0, 255), Rule(32766, MAIN_TABLE), Rule(32767, 253))


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A setting under /proc/sys. `path` is in slash form, as device names may hold dots."""

    what: ClassVar[str] = "sysctl"
    path: str
    value: str

    @property
    def key(self) -> str:
        return self.path

    def __str__(self) -> str:
        return f"sysctl {self.path}={self.value}"


@dataclass(frozen=True, slots=True)
class Table:
    """One nftables table, as `nft` syntax without the surrounding `table family name { … }`.

    The unit of repair is the table: one transaction deletes and loads it.
    """

    what: ClassVar[str] = "table"
    family: str
    name: str
    body: str

    @property
    def key(self) -> str:
        return f"{self.family} {self.name}"

    @property
    def script(self) -> str:
        return f"table {self.family} {self.name} {{\n{self.body}\n}}\n"

    def __str__(self) -> str:
        return f"nftables table {self.family} {self.name}"


@dataclass(frozen=True, slots=True)
class Daemon:
    """A process that lives in the namespace: a container of a pod, or a node's or client's daemon.

    `command` None is netlab's own server on `port` (all addresses) and `local_port` (127.0.0.1).
    """

    what: ClassVar[str] = "daemon"
    name: str
    hostname: str
    command: tuple[str, ...] | None = None
    port: int = 0
    local_port: int = 0

    @property
    def key(self) -> str:
        return self.name

    def __str__(self) -> str:
        return f"container {self.name}"


Object = Link | Address | Route | Rule | Neighbour | FdbEntry | Sysctl | Table | Daemon
FIELDS: dict[str, type[Any]] = {
    "links": Link,
    "addresses": Address,
    "routes": Route,
    "rules": Rule,
    "neighbours": Neighbour,
    "fdb": FdbEntry,
    "sysctls": Sysctl,
    "ruleset": Table,
    "daemons": Daemon,
}


@dataclass(slots=True)
class Namespace:
    """Everything one network namespace must hold."""

    name: str
    role: Role
    links: list[Link] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=lambda: list(DEFAULT_RULES))
    neighbours: list[Neighbour] = field(default_factory=list)
    fdb: list[FdbEntry] = field(default_factory=list)
    sysctls: list[Sysctl] = field(default_factory=list)
    ruleset: list[Table] = field(default_factory=list)
    daemons: list[Daemon] = field(default_factory=list)

    def link(self, name: str) -> Link:
        return next(link for link in self.links if link.name == name)


@dataclass(slots=True)
class Plan:
    """The desired state of a lab. Namespaces are in the order in which they are built."""

    topology: str
    requires: tuple[str, ...]
    namespaces: dict[str, Namespace]
