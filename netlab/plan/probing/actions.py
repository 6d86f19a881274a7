"""What probes do, and what comes of it. For each action there is an engine in `netlab/probe/`.

NamedTuples where a full mesh makes a great many: they are made fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from netlab.plan.headers import Stack
from netlab.plan.routing import is_ipv6

Device = tuple[str, str]  # namespace and name
Application = Literal["tcp", "http", "udp"]


class Action(Protocol):
    """Something to do from inside a namespace. `protocol` is what is spoken.

    `places` are the namespaces that must be here for it to be done. Who only answers may be on
    another machine: so an action has one place that asks, and may have others beside it.
    """

    @property
    def ipv6(self) -> bool: ...

    @property
    def places(self) -> tuple[str, ...]: ...

    @property
    def protocol(self) -> str: ...


class Echo(NamedTuple):
    """An ICMP echo. `wanted` is whether a reply should come: such a one, if lost, is repeated.

    Fragmentation is forbidden: a reply proves that the path carries a packet of that size whole.
    `source` is the address that it is sent from; without, the kernel chooses.
    """

    namespace: str
    target: str
    payload: bytes = b""
    wanted: bool = True
    source: str = ""

    @property
    def ipv6(self) -> bool:
        return is_ipv6(self.target)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace,)

    @property
    def protocol(self) -> str:
        return "icmp"


class EchoReply(NamedTuple):
    """The outcome: round trip in seconds and the reply's TTL, or an error in words."""

    seconds: float = 0.0
    ttl: int = 0
    error: str | None = None
    silent: bool = False  # the error is that nothing came


class Request(NamedTuple):
    """To ask of `address`:`port`, by HTTP for `path`; `wanted` is whether an answer is due.

    `words` are what is said by TCP and UDP, `source` as of an echo.
    """

    namespace: str
    address: str
    port: int
    application: Application
    wanted: bool = True
    path: str = "/"
    words: bytes = b"netlab\n"
    source: str = ""

    @property
    def ipv6(self) -> bool:
        return is_ipv6(self.address)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace,)

    @property
    def protocol(self) -> str:
        return self.application


class Response(NamedTuple):
    """The answer's body and how many seconds it took, or an error in words.

    `connected` is whether there was a TCP connection at least.
    """

    body: str = ""
    seconds: float = 0.0
    error: str | None = None
    connected: bool = False

    @property
    def silent(self) -> bool:
        """Whether the error is that nothing came."""
        return bool(self.error and self.error.startswith("timed out"))

    @property
    def failure(self) -> str | None:
        """The error as a report says it: a stopped server's kernel still takes connections."""
        return f"no answer, {self.error}" if self.silent else self.error

    @property
    def responder(self) -> str:
        """`POD CONTAINER`, as netlab's server names itself."""
        return self.body.rpartition(" ")[0]

    @property
    def client(self) -> str:
        """The address that the server saw as its client's."""
        address = self.body.rpartition(" ")[2].rpartition(":")[0]
        return address.strip("[]").removeprefix("::ffff:")


class Call(NamedTuple):
    """A connection or datagram to `address`, where a listener is opened in `target` for it.

    So no server has to be there: the listener answers with the address that it saw. Where the
    target is on another machine, that one has it open (`inside.listen`).
    """

    namespace: str
    target: str  # the namespace that has the address
    address: str
    application: Literal["tcp", "udp"]

    @property
    def ipv6(self) -> bool:
        return is_ipv6(self.address)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace,)

    @property
    def protocol(self) -> str:
        return self.application


class Heard(NamedTuple):
    """Under which address the caller was seen, and how many seconds it took; or why it was not."""

    client: str = ""
    seconds: float = 0.0
    error: str | None = None


class ColdEcho(NamedTuple):
    """An echo for which the device that `asks` must find the one that `answers` anew.

    First are `forgotten` what both know of each other, as (namespace, device, address): of an end
    on another machine, which learns it from the question, nothing.
    """

    namespace: str
    target: str
    asks: Device
    answers: Device
    forgotten: tuple[tuple[str, str, str], ...]

    @property
    def ipv6(self) -> bool:
        return is_ipv6(self.target)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace, self.asks[0])

    @property
    def protocol(self) -> str:
        return "ndp" if self.ipv6 else "arp"


class CapturedEcho(NamedTuple):
    """An echo while the underlay is captured; it is known there by its payload, and sent once.

    `unresolved` are next hops for which its node is to ask anew, as (namespace, device, address).
    Where it may be encrypted, it is known by the length of what is encrypted too: `sealed` are then
    the outer addresses of its reply, which has the same, or two empty ones.
    """

    namespace: str
    target: str
    wanted: bool = True
    unresolved: tuple[tuple[str, str, str], ...] = ()
    sealed: tuple[str, str] | None = None

    @property
    def ipv6(self) -> bool:
        return is_ipv6(self.target)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace,)

    @property
    def protocol(self) -> str:
        return "icmp"


class Solicitation(NamedTuple):
    """ARP or neighbour discovery as it passed a device: who asks for `target`, or `answers`."""

    place: Device
    answers: bool
    mac: str
    address: str
    target: str


class Sighting(NamedTuple):
    """Where the echo's request was seen on the underlay and how; `lost` captures say why not."""

    reply: EchoReply
    seen: Sequence[tuple[Device, Stack]] = ()
    solicitations: Sequence[Solicitation] = ()
    lost: Mapping[str, str] = MappingProxyType({})


class Oversize(NamedTuple):
    """A UDP packet of `size` bytes that the sender's own kernel should refuse to send whole."""

    namespace: str
    target: str
    size: int

    @property
    def ipv6(self) -> bool:
        return is_ipv6(self.target)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace,)

    @property
    def protocol(self) -> str:
        return "udp"


class LongEcho(NamedTuple):
    """An echo of `size` bytes that its sender sends whole, and somebody on the path must refuse."""

    namespace: str
    target: str
    size: int

    @property
    def ipv6(self) -> bool:
        return is_ipv6(self.target)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace,)

    @property
    def protocol(self) -> str:
        return "icmp"


class Refusal(NamedTuple):
    """The kernel's refusal to send: the MTU it tells; or, where it sent or failed, the words."""

    mtu: int | None = None
    error: str | None = None


class GsoPacket(NamedTuple):
    """TCP segments of `size` bytes (IP header included) to send from a pod through its gateway.

    They are put on the pod's device below its IP layer as one packet that is yet to be segmented
    (GSO), so that what the pod would refuse itself gets as far as its node. `macs` are the pod's
    and the gateway's.
    """

    namespace: str
    device: str
    macs: tuple[str, str]
    source: str
    target: str
    size: int

    @property
    def ipv6(self) -> bool:
        return is_ipv6(self.target)

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace,)

    @property
    def protocol(self) -> str:
        return "tcp"


class Delivery(NamedTuple):
    """`arrived` at the target; or `refused_by` an address that told `mtu`; or `error` in words."""

    arrived: bool = False
    refused_by: str | None = None
    mtu: int | None = None
    error: str | None = None

    def __str__(self) -> str:
        if self.refused_by:
            return f"refused by {self.refused_by}, MTU {self.mtu}"
        return "arrived" if self.arrived else str(self.error)


class HairpinFrame(NamedTuple):
    """A frame from a device to its own MAC. The outcome is None, or what happened instead."""

    namespace: str
    device: str
    mac: str
    ipv6: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        return (self.namespace,)

    @property
    def protocol(self) -> str:
        return "ethernet"


class Inspection(NamedTuple):
    """A look at the Linux namespaces of two containers of a pod."""

    pod: str
    one: str
    other: str
    ipv6: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        return (self.pod,)

    @property
    def protocol(self) -> str:
        return ""


class Namespaces(NamedTuple):
    """Inodes of the net, pid, mnt and uts namespaces of either container, none where it is down.

    `pod` is the inode of the pod's network namespace; None where that is gone.
    """

    one: dict[str, int] | None
    other: dict[str, int] | None
    pod: int | None


class Together(NamedTuple):
    """Several actions that are judged as one; the outcome is theirs, as a tuple."""

    parts: tuple[Any, ...]

    @property
    def ipv6(self) -> bool:
        return any(part.ipv6 for part in self.parts)

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(place for part in self.parts for place in part.places)

    @property
    def protocol(self) -> str:
        return next((part.protocol for part in self.parts if part.protocol), "")
