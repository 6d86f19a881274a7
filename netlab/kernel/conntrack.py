"""UDP flows that conntrack would go on sending to an endpoint that is none any more.

TCP ends by itself when its endpoint does. UDP has no end: an entry that a client refreshes keeps
its endpoint for ever, whatever the rules say. So kube-proxy deletes such entries when endpoints
have changed (pkg/proxy/conntrack/cleanup.go, as of v1.37), and so is done here.
"""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from netlab.kernel import namespaces
from netlab.kernel.netlink import GONE, Request, open_netlink, request
from netlab.kernel.pyroute import netlink as nl
from netlab.kernel.readers import Reader
from netlab.topology.resolved import Ip, ServicePortSpec, ServiceSpec

Endpoints = frozenset[str]
_IP = ("CTA_IP_V4_SRC", "CTA_IP_V4_DST", "CTA_IP_V6_SRC", "CTA_IP_V6_DST")
_PROTO = ("CTA_PROTO_NUM", "CTA_PROTO_SRC_PORT", "CTA_PROTO_DST_PORT")
_TUPLE = ("CTA_TUPLE_IP", *_IP, "CTA_TUPLE_PROTO", *_PROTO)
_OWN = ("CTA_ID", "CTA_ZONE")


class Flow(NamedTuple):
    """An entry of UDP: where its first packet was sent, and who answers; how to delete it."""

    family: int
    destination: str
    port: int
    endpoint: str
    deletion: Request


@dataclass(frozen=True, slots=True)
class Serving:
    """Who may answer to UDP, by the address and port it is sent to; and by family and NodePort.

    A NodePort counts whatever the address, as for kube-proxy.
    """

    addresses: Mapping[tuple[str, int], Endpoints]
    node_ports: Mapping[tuple[int, int], Endpoints]

    def is_stale(self, flow: Flow) -> bool:
        """Whether it is sent to a Service and answered by none of its endpoints."""
        known = (
            self.addresses.get((flow.destination, flow.port)),
            self.node_ports.get((flow.family, flow.port)),
        )
        return any(found is not None and flow.endpoint not in found for found in known)


def serving(before: Iterable[ServiceSpec], after: Iterable[ServiceSpec]) -> Serving | None:
    """Who serves UDP, nobody for ports that are gone; None where there is no UDP at all."""
    now = _udp(after)
    gone = {name: pair for name, pair in _udp(before).items() if name not in now}
    addresses: dict[tuple[str, int], Endpoints] = {}
    node_ports: dict[tuple[int, int], Endpoints] = {}
    for name, (service, port) in (gone | now).items():  # who took the place of one counts
        serves = (str(one.address) for one in port.endpoints if one.serving and name in now)
        endpoints = frozenset(serves)
        for ip in (*service.cluster_ips, *service.external_ips):
            addresses[str(ip), port.port] = endpoints
        for ip in service.cluster_ips if port.node_port else ():
            node_ports[_family(ip), port.node_port] = endpoints
    return Serving(addresses, node_ports) if addresses else None


def _family(ip: Ip) -> int:
    return int(socket.AF_INET6 if ip.version == 6 else socket.AF_INET)


def _udp(services: Iterable[ServiceSpec]) -> dict[str, tuple[ServiceSpec, ServicePortSpec]]:
    """The ports for UDP that a proxy knows, by their names."""
    return {
        service.port_name(port): (service, port)
        for service in services
        for port in service.ports
        if port.protocol == "UDP" and not service.headless
    }


def delete_stale(
    nodes: Iterable[str], before: Iterable[ServiceSpec], after: Iterable[ServiceSpec]
) -> int:
    """Delete the stale entries in the namespaces of nodes; returns how many. Raises OSError.

    Those of Services that there were `before` are stale too where they are gone.
    """
    who = serving(before, after)
    return sum(_delete_in(who, node) for node in nodes) if who else 0


def listed() -> list[bytes]:
    """The entries of the current namespace. Raises OSError where the kernel tells nobody."""
    with contextlib.closing(open_netlink(nl.NETLINK_NETFILTER)) as netlink:
        return netlink.dump(_question())


def _delete_in(who: Serving, node: str) -> int:
    with namespaces.inside(node):
        stale = [flow.deletion for flow in flows(listed()) if who.is_stale(flow)]
        with contextlib.closing(open_netlink(nl.NETLINK_NETFILTER)) as netlink:
            # One that ended meanwhile is gone too.
            refused = [one for one in netlink.send(stale) if one.code not in GONE]
    if refused:
        raise OSError(refused[0].code, f"{node}: {refused[0]}")
    return len(stale)


def flows(entries: Iterable[bytes]) -> Iterator[Flow]:
    """The flows of UDP among the entries of a dump."""
    forward, back = _readers()
    for entry in entries:
        (family, *_), sent = forward(entry)
        if sent.get("CTA_PROTO_NUM") != socket.IPPROTO_UDP:
            continue
        _, answered = back(entry)
        version = "V6" if family == socket.AF_INET6 else "V4"
        yield Flow(
            family,
            sent[f"CTA_IP_{version}_DST"],
            sent["CTA_PROTO_DST_PORT"],
            answered[f"CTA_IP_{version}_SRC"],
            _deletion(family, sent),
        )


def _deletion(family: int, sent: Mapping[str, Any]) -> Request:
    words = f"UDP flow to {sent.get('CTA_IP_V4_DST') or sent.get('CTA_IP_V6_DST')}"
    address = tuple((name, sent.get(name)) for name in _IP)
    protocol = tuple((name, sent.get(name)) for name in _PROTO)
    nest = (("CTA_TUPLE_IP", address), ("CTA_TUPLE_PROTO", protocol))
    own = tuple((name, sent.get(name)) for name in _OWN)
    fields = {"nfgen_family": family}
    return request(_message(), _kind("DELETE"), 0, fields, (("CTA_TUPLE_ORIG", nest), *own), words)


def _question() -> Request:
    return request(_message(), _kind("GET"), 0, {"nfgen_family": socket.AF_UNSPEC})


def _kind(name: str) -> int:
    from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_CTNETLINK, nfctsocket

    number: int = getattr(nfctsocket, f"IPCTNL_MSG_CT_{name}")
    return int(NFNL_SUBSYS_CTNETLINK) << 8 | number


@functools.cache
def _message() -> type:
    from pyroute2.netlink.nfnetlink.nfctsocket import nfct_msg

    class ctmsg(nfct_msg):  # type: ignore[misc]  # pyroute2 ships no types
        """Its header as the codec takes it; the last field is 0 in any byte order."""

        fields = (("nfgen_family", "B"), ("version", "B"), ("res_id", "H"))

    return ctmsg


@functools.cache
def _readers() -> tuple[Reader, Reader]:
    """Of how an entry began, and of its replies: the two have attributes of the same names."""
    message = _message()
    return (
        Reader(message, {"CTA_TUPLE_ORIG", *_TUPLE, *_OWN}),
        Reader(message, {"CTA_TUPLE_REPLY", *_TUPLE}),
    )
