"""The codec: requests and readers are pyroute2's own, only quicker.

Golden files hold the bytes of a request for each kind of device and type of object: they show what
another pyroute2 does otherwise. That the kernel takes them for what they say is shown by
tests/kernel/test_devices.py.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.kernel import devices, objects, prepared, settings
from netlab.kernel.devices import base, wireguard
from netlab.kernel.netlink import Request
from netlab.kernel.prepared import Nest, body
from netlab.kernel.pyroute import (
    fibmsg,
    ifaddrmsg,
    linkmsg,
    ndmsg,
    nlmsg,
    rtmsg,
)
from netlab.kernel.readers import Reader
from netlab.plan.links import Link, Veth
from netlab.plan.routing import Extra, Sysctl
from tests.examples import LINKS, OBJECTS, mac

GOLDEN = Path(__file__).parent / "golden" / "netlink"
INDEXES = {"lo": 1, "br0": 16, "eth0": 17, "flannel.1": 18, "flannel-v6.1": 19, "cilium_vxlan": 20}


def creation(link: Link) -> Request:
    """The request that makes a device at index 21, with its peer at index 22 in namespace 7."""
    master = INDEXES[link.master] if link.master else None
    place = base.Place(21, INDEXES, master)
    if isinstance(link, Veth) and link.peer:
        place.peer = Veth(name=link.peer.link, mac=mac(9), peer=None)
        place.peer_index, place.peer_namespace = 22, 7
    return base.create(devices.of(link), link, place, link.up)


def requests() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each kind of request that `up` makes, by name; called it is encoded."""
    for name, (link, _) in LINKS.items():
        if devices.of(link).by_netlink:
            yield name, lambda link=link: creation(link)
        else:
            yield name, lambda link=link: devices.of(link).described(link)
    for name, (item, _) in OBJECTS.items():
        kind = objects.of(item)
        assert kind is not None
        yield name, lambda kind=kind, item=item: kind.add(item, INDEXES)
    port, peers = LINKS["veth-port"][0], LINKS["wireguard"][0]
    yield "port", lambda: base.port(port, 21, ["hairpin", "learning"])
    yield "gen-mode", lambda: base.gen_mode(21, "none", "")
    yield "up", lambda: base.bring_up(21, "")
    yield "wireguard-peers", lambda: next(wireguard.described(peers, 33))
    arp = Sysctl("net/ipv4/conf/eth0/arp_notify", "1")
    yield "setting", lambda: settings.set_by_netlink(21, arp)


REQUESTS = dict(requests())


def hexed(made: Any) -> str:
    """The message without its netlink header; that of a TUN device is pyroute2's own."""
    return (made.body if isinstance(made, Request) else bytes(made.data[16:])).hex()


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_has_its_golden_bytes(name: str) -> None:
    lines = (GOLDEN / f"{name}.hex").read_text().splitlines()
    expected = "".join(line.split("#")[0] for line in lines).replace(" ", "").strip()
    assert hexed(REQUESTS[name]()) == expected
    assert hexed(REQUESTS[name]()) == expected, "filled in, the second time"


def test_every_kind_has_a_golden_file() -> None:
    kinds = {devices.of(link).kind for link, _ in LINKS.values()}
    assert kinds == {device.kind for device in devices.kinds() if device.makes}
    assert {type(item) for item, _ in OBJECTS.values()} == set(objects.TYPES) - {Extra}
    assert {path.stem for path in GOLDEN.iterdir()} == set(REQUESTS)


@pytest.mark.parametrize("name", REQUESTS)
def test_without_pyroute2s_encoder_nothing_is_made(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the repository nor the code holds a message's bytes."""

    def refuse(self: Any) -> None:
        raise RuntimeError("no encoder")

    monkeypatch.setattr(nlmsg, "encode", refuse)
    for message in (linkmsg, rtmsg):
        monkeypatch.setattr(message, "encode", refuse)
    monkeypatch.setattr(prepared, "_shapes", {})
    with pytest.raises(RuntimeError, match="no encoder"):
        REQUESTS[name]()


# Attributes of each message class, with values; those of one name are drawn once.
U8, U16, U32 = st.integers(0, 2**8 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
IP4, IP6 = st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str)
MAC = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
NAME = st.text("abcdefghijklmnop0123456789.-", min_size=1, max_size=15)


def some(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[tuple[str, Any], ...]]:
    """A choice of attributes, each with a value, in the order given."""
    pairs = [st.tuples(st.just(name), st.none() | value) for name, value in strategies.items()]
    return st.tuples(*pairs)


def ip(family: int) -> st.SearchStrategy[str]:
    return IP6 if family == 10 else IP4


ENCAP = some(LWTUNNEL_IP_ID=st.integers(0, 2**64 - 1), LWTUNNEL_IP_DST=IP4, LWTUNNEL_IP_TTL=U8)
PEER = st.builds(
    Nest,
    st.fixed_dictionaries({"index": st.integers(0, 2**31 - 1)}),
    some(IFLA_IFNAME=NAME, IFLA_ADDRESS=MAC, IFLA_MTU=U32, IFLA_NET_NS_FD=U32),
)
PORT = some(IFLA_BRPORT_MODE=U8, IFLA_BRPORT_GROUP_FWD_MASK=U16, IFLA_BRPORT_ISOLATED=U8)
VXLAN = some(
    IFLA_VXLAN_ID=U32, IFLA_VXLAN_LOCAL=IP4, IFLA_VXLAN_PORT=U16, IFLA_VXLAN_GBP=st.just(True)
)
DEVCONF = some(IPV4_DEVCONF_ARP_NOTIFY=U32, IPV4_DEVCONF_PROXY_ARP=U32)


def info(kind: str, data: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return data.map(lambda found: (("IFLA_INFO_KIND", kind), ("IFLA_INFO_DATA", found)))


LINKINFO = st.one_of(
    info("veth", PEER.map(lambda peer: (("VETH_INFO_PEER", peer),))),
    info("vxlan", VXLAN),
    info("bridge", some(IFLA_BR_AGEING_TIME=U32, IFLA_BR_PRIORITY=U16)),
    # pyroute2 decodes the modes up to 16 as words; those are in the golden bytes.
    info("macvlan", some(IFLA_MACVLAN_MODE=st.integers(17, 2**32 - 1))),
    info("ipip", some(IFLA_IPIP_LINK=U32, IFLA_IPIP_LOCAL=IP4, IFLA_IPIP_TTL=U8)),
    PORT.map(lambda found: (("IFLA_INFO_SLAVE_KIND", "bridge"), ("IFLA_INFO_SLAVE_DATA", found))),
)
AF_SPEC = st.tuples(
    DEVCONF.map(lambda found: ("AF_INET", (("IFLA_INET_CONF", found),))),
    U8.map(lambda mode: ("AF_INET6", (("IFLA_INET6_ADDR_GEN_MODE", mode),))),
)


def hop(family: int) -> st.SearchStrategy[Nest]:
    fields = st.fixed_dictionaries({"flags": U8, "hops": U8, "oif": st.integers(0, 2**31 - 1)})
    return st.builds(Nest, fields, some(RTA_GATEWAY=ip(family), RTA_VIA=IP6))


def messages(family: int) -> dict[type, st.SearchStrategy[Any]]:
    address = ip(family)
    encap = ENCAP.map(lambda found: (("RTA_ENCAP_TYPE", 2), ("RTA_ENCAP", found)))
    return {
        linkmsg: some(
            IFLA_IFNAME=NAME,
            IFLA_ADDRESS=MAC,
            IFLA_MTU=U32,
            IFLA_MASTER=U32,
            IFLA_LINKINFO=LINKINFO,
            IFLA_AF_SPEC=AF_SPEC,
        ),
        ifaddrmsg: some(IFA_LOCAL=address, IFA_ADDRESS=address, IFA_FLAGS=U32, IFA_PROTO=U8),
        rtmsg: st.tuples(
            some(RTA_TABLE=U32, RTA_DST=address, RTA_PRIORITY=U32, RTA_GATEWAY=address),
            some(RTA_METRICS=some(RTAX_MTU=U32, RTAX_ADVMSS=U32)),
            some(RTA_MULTIPATH=st.lists(hop(family), min_size=1, max_size=3)),
            st.just(()) | encap,
        ).map(lambda parts: tuple(pair for part in parts for pair in part)),
        fibmsg: some(FRA_PRIORITY=U32, FRA_SRC=address, FRA_IIFNAME=NAME, FRA_FWMARK=U32),
        ndmsg: some(NDA_DST=address, NDA_LLADDR=MAC, NDA_PORT=U16, NDA_VNI=U32),
    }


@st.composite
def described(draw: st.DrawFn) -> tuple[type, dict[str, int], tuple[tuple[str, Any], ...]]:
    family = draw(st.sampled_from([2, 10]))
    message = draw(st.sampled_from([linkmsg, ifaddrmsg, rtmsg, fibmsg, ndmsg]))
    fields = {"family": 0 if message is linkmsg else family}
    if message is not linkmsg:
        fields |= {"flags": draw(U8)}
    return message, fields, draw(messages(family)[message])


def alone(message: Any, fields: dict[str, int], attributes: Any) -> bytes:
    """What pyroute2 itself makes of a description."""
    encoder = message()
    encoder.setvalue({**fields, "attrs": as_pyroute2_takes(attributes)})
    encoder.encode()
    return bytes(encoder.data[16:])


def as_pyroute2_takes(attributes: Any) -> list[list[Any]]:
    return [[name, value_of(name, value)] for name, value in attributes if value is not None]


def value_of(name: str, value: Any) -> Any:
    if isinstance(value, Nest):
        return {**value.fields, "attrs": as_pyroute2_takes(value.attributes)}
    if isinstance(value, tuple):
        return {"attrs": as_pyroute2_takes(value)}
    if isinstance(value, list):
        return [value_of(name, item) for item in value]
    return {"family": 10, "addr": value} if name == "RTA_VIA" else value


@given(described())
def test_a_prepared_request_is_what_pyroute2_encodes(description: Any) -> None:
    expected = alone(*description)
    assert body(*description) == expected
    assert body(*description) == expected, "filled in, the second time"


def names_in(attributes: Any) -> set[str]:
    found = set()
    for name, value in attributes:
        found.add(name)
        for nest in value if isinstance(value, list) else [value]:
            inner = nest.attributes if isinstance(nest, Nest) else nest
            found |= names_in(inner) if isinstance(inner, tuple) else set()
    return found


def flat(decoded: Any, wanted: set[str]) -> dict[str, Any]:
    """What pyroute2 itself reads, with nests laid flat as a reader gives them."""
    found: dict[str, Any] = {}
    for slot in decoded["attrs"]:
        name, value = slot[0], slot[1]
        if name == "VETH_INFO_PEER":
            continue
        if name == "RTA_MULTIPATH":
            found[name] = [
                ((one["flags"], one["hops"], one["oif"]), flat(one, wanted)) for one in value
            ]
        elif name == "RTA_VIA":
            found[name] = value["addr"]
        elif isinstance(value, dict) and "attrs" in value:
            found |= flat(value, wanted)
        else:
            found[name] = value
    return found


@given(described())
def test_a_reader_reads_what_pyroute2_decodes(description: Any) -> None:
    message, _, attributes = description
    # A veth's peer is a device of its own; settings are written one way and read another.
    names = names_in(attributes) - {"VETH_INFO_PEER", "AF_INET"}
    wanted = {name for name in names if not name.startswith("IPV4_DEVCONF")}
    raw = alone(*description)
    decoder = message(struct.pack("=IHHII", 16 + len(raw), 0, 0, 0, 0) + raw)
    decoder.decode()
    fields, values = Reader(message, wanted)(raw)
    parts = [name for name, kind in message.fields if not kind.endswith("x")]
    assert dict(zip(parts, fields, strict=True)) == {name: decoder[name] for name in parts}
    expected = flat(decoder, wanted)
    assert values == {name: value for name, value in expected.items() if name in wanted}


def test_what_pyroute2_does_not_know_is_an_error_and_not_left_out() -> None:
    """It alone takes `vxlan_external` for nothing, and a device without it results."""
    with pytest.raises(ValueError, match="IFLA_VXLAN_EXTERNAL"):
        body(linkmsg, {}, (("IFLA_VXLAN_EXTERNAL", 1),))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["plan", "flannel-vxlan"], ["plan", "flannel-vxlan", "--sh"]]
)
def test_help_and_plan_load_neither_pyroute2_nor_scapy(arguments: list[str]) -> None:
    """A tenth of a second and half of one, for what only a lab needs."""
    code = (
        "import sys; from netlab.cli import cli\n"
        f"try: cli.main({arguments!r}, standalone_mode=False)\n"
        "finally: print(sorted({'pyroute2', 'scapy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_message_classes_come_without_the_whole_library() -> None:
    """And the whole library when somebody asks for it afterwards."""
    code = (
        "import sys, netlab.kernel.netlink; few = len(sys.modules); assert few < 250, few\n"
        "import pyroute2, pyroute2.netlink; from pyroute2 import IPRoute, netns\n"
        "assert len(sys.modules) > few + 100; print(IPRoute.__name__, pyroute2.netlink.nlmsg)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("IPRoute")
