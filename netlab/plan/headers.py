"""Packet headers as plain values, composed by `/` from the outside in, as scapy composes layers.

One value serves the MTU (`size`), the evidence on the wire (compared layer by layer with what was
captured), and the report. A field that is None matches anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from netlab.plan.links import Value


class Header(Value, frozen=True):
    """One header; `size` is its length in bytes without options.

    `facts` are what is compared, by their names in a report; a subclass may have none. After one
    that is `sealed` nothing can be read.
    """

    name: ClassVar[str] = ""
    size: ClassVar[int] = 0
    sealed: ClassVar[bool] = False

    def __truediv__(self, inner: Header | Stack) -> Stack:
        return Stack((self,)) / inner

    @property
    def facts(self) -> dict[str, object]:
        return {}

    @property
    def words(self) -> str:
        """The header as part of a tunnel's description."""
        return self.name

    @property
    def line(self) -> str:
        """The header as part of the evidence in one line."""
        return self.words


class _Between(Header, frozen=True):
    """A header with a source and a destination."""

    source: str | None = None
    destination: str | None = None

    @property
    def line(self) -> str:
        return f"{self.source or 'any'} > {self.destination or 'any'}"


class Ether(_Between, frozen=True):
    name: ClassVar[str] = "Ethernet"
    size: ClassVar[int] = 14


class Ip(_Between, frozen=True):
    """An IPv4 header; `ttl` as it passed where it was seen."""

    name: ClassVar[str] = "IP"
    size: ClassVar[int] = 20
    ttl: int | None = None

    @property
    def facts(self) -> dict[str, object]:
        return {"ttl": self.ttl}


class Ip6(Ip, frozen=True):
    """An IPv6 header; `ttl` is its hop limit."""

    name: ClassVar[str] = "IPv6"
    size: ClassVar[int] = 40


class Udp(Header, frozen=True):
    """`port` is the destination port."""

    name: ClassVar[str] = "UDP"
    size: ClassVar[int] = 8
    port: int | None = None

    @property
    def facts(self) -> dict[str, object]:
        return {"UDP port": self.port}

    @property
    def words(self) -> str:
        return "UDP" if self.port is None else f"UDP {self.port}"


class Vxlan(Header, frozen=True):
    name: ClassVar[str] = "VXLAN"
    size: ClassVar[int] = 8
    vni: int | None = None

    @property
    def facts(self) -> dict[str, object]:
        return {"VNI": self.vni}

    @property
    def words(self) -> str:
        return self.name if self.vni is None else f"{self.name}, VNI {self.vni}"

    @property
    def line(self) -> str:
        return f"VNI {self.vni}"


class Geneve(Vxlan, frozen=True):
    """A GENEVE header; its options, if there are any, are not compared."""

    name: ClassVar[str] = "GENEVE"

    @property
    def line(self) -> str:
        return f"GENEVE VNI {self.vni}"


class Wireguard(Header, frozen=True):
    """A WireGuard data message (type 4), in which the pod's packet is encrypted.

    `size` is that of its header (16) and of the authentication tag (16); `length` that of the
    encrypted packet in bytes, which is padded to a multiple of 16.
    """

    name: ClassVar[str] = "WireGuard"
    size: ClassVar[int] = 32
    sealed: ClassVar[bool] = True
    length: int | None = None

    @property
    def facts(self) -> dict[str, object]:
        return {"encrypted bytes": self.length}

    @property
    def line(self) -> str:
        what = "packet" if self.length is None else f"packet of {self.length} bytes"
        return f"{self.name} data: encrypted {what}, its addresses cannot be read"


class Other(Header, frozen=True):
    """A layer that no class here is for, by the name that scapy or the standard gives it."""

    layer: str = "unknown"

    @property
    def facts(self) -> dict[str, object]:
        return {"layer": self.layer}

    @property
    def words(self) -> str:
        return self.layer


class Stack(Value, frozen=True):
    """Headers from the outside in. The empty stack is a packet that crosses as it is.

    Of a whole frame the first is the underlay's Ethernet header and the last the pod's IP header;
    what is between them is the tunnel.
    """

    headers: tuple[Header, ...] = ()

    def __truediv__(self, inner: Header | Stack) -> Stack:
        more = inner.headers if isinstance(inner, Stack) else (inner,)
        return Stack(self.headers + more)

    def __bool__(self) -> bool:
        return bool(self.headers)

    @property
    def size(self) -> int:
        """Bytes that these headers take: what a tunnel's MTU is smaller by."""
        return sum(header.size for header in self.headers)

    @property
    def outer(self) -> Ip | None:
        """The first IP header."""
        return next((header for header in self.headers if isinstance(header, Ip)), None)

    @property
    def sealed(self) -> bool:
        """Whether what is inside is encrypted."""
        return any(header.sealed for header in self.headers)

    @property
    def tunnel(self) -> tuple[Header, ...]:
        """What is around the pod's frame or packet on the underlay, outer IP header first."""
        return self.headers[self._outside : self._inside]

    @property
    def form(self) -> str:
        """The kind of frame in a few words, as `VXLAN, VNI 1, UDP 8472`, `IPIP` or `bare`."""
        tunnel, last = self.tunnel, self.headers[-1:]
        strange = [last[0].words] if last and not isinstance(last[0], Ip) else []
        words = [header.words for header in reversed(tunnel) if not isinstance(header, Ip)]
        if not strange and tunnel and last:
            if not words:
                return _ip_in_ip(tunnel[-1].name, last[0].name)
            if isinstance(tunnel[-1], Udp):
                words[0] = f"{last[0].name} in {words[0]}"
        if tunnel and words and isinstance(tunnel[0], Ip6):
            words.append("over IPv6")
        return ", ".join(strange + words) or "bare"

    def matches(self, seen: Stack) -> bool:
        """Whether what was seen is what this says, fields that are None aside."""
        return not any(self.differences(seen))

    def differences(self, seen: Stack) -> Iterator[str]:
        """What of `seen` is not as this says, in words, from the outside in."""
        if [type(header) for header in seen.headers] != [type(header) for header in self.headers]:
            if seen.form != self.form:
                yield f"{seen.form}, not {self.form}"
            else:
                yield f"{seen.layers}, not {self.layers}"
            return
        for index, (one, want) in enumerate(zip(seen.headers, self.headers, strict=True)):
            if isinstance(one, _Between) and isinstance(want, _Between):
                wanted = (want.source or one.source, want.destination or one.destination)
                if (one.source, one.destination) != wanted:
                    yield f"{self._name_of_ends(index)} {one.line}, not {want.line}"
            outer = "outer " if isinstance(one, Ip) and index + 1 < len(self.headers) else ""
            for name, value in want.facts.items():
                if value is not None and one.facts[name] != value:
                    yield f"{outer}{name} {one.facts[name]}, not {value}"

    @property
    def layers(self) -> str:
        """The names of the headers, as `Ethernet / IP / UDP`."""
        return " / ".join(header.words for header in self.headers)

    def __str__(self) -> str:
        """The facts in one line; what is around a tunnel's outer IP header goes without saying."""
        first = 0 if not self.tunnel else self._inside
        lines = [header.line for header in self.headers[first:]]
        ttl = self.headers[-1].facts.get("ttl") if self.headers else None
        inner = " ".join([*lines, *([f"ttl {ttl}"] if ttl is not None else [])])
        if not self.tunnel:
            return inner
        outer = [header.line for header in self.tunnel]
        if all(isinstance(header, Ip) for header in self.tunnel):
            outer.append(self.form)
        return f"{' '.join(outer)}, {'' if self.sealed else 'inner '}{inner}"

    @property
    def _outside(self) -> int:
        return 1 if len(self.headers) > 1 and isinstance(self.headers[0], Ether) else 0

    @property
    def _inside(self) -> int:
        """Where the pod's own frame or packet begins."""
        index = max(len(self.headers) - 1, self._outside)
        if index > self._outside and isinstance(self.headers[index - 1], Ether):
            index -= 1
        return index

    def _name_of_ends(self, index: int) -> str:
        if isinstance(self.headers[index], Ether):
            return "inner frame" if index else "frame"
        return "outer addresses" if index + 1 < len(self.headers) else "packet"


BARE = Stack()


def ip(source: str | None = None, destination: str | None = None, ttl: int | None = None) -> Ip:
    """An IP header of the family of its addresses."""
    kind = Ip6 if ":" in (source or destination or "") else Ip
    return kind(source, destination, ttl)


def _ip_in_ip(outer: str, inner: str) -> str:
    return "IPIP" if outer == inner == "IP" else f"{inner} in {outer}"
