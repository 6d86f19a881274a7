"""The engines against peers that misbehave: what is waited for, for how long, and what is said.

The peers listen on the loopback of the namespace the tests run in, or are at the ends of a short
path of three namespaces.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from netlab.plan.probing.actions import (
    Application,
    Delivery,
    Echo,
    EchoReply,
    GsoPacket,
    HairpinFrame,
    Oversize,
    Refusal,
    Request,
)
from netlab.probe.engines import gso, icmp, icmp4, icmp6, requests
from netlab.probe.engines.capture import Capture
from netlab.probe.engines.flush import Entry, flush
from netlab.probe.engines.gso import send_packets
from netlab.probe.engines.hairpin import send_frames
from netlab.probe.engines.icmp import send_echoes
from netlab.probe.engines.oversize import try_to_send
from netlab.probe.engines.requests import send_requests
from netlab.probe.engines.sockets import Unavailable, namespace_inode
from netlab.probe.engines.solicitations import solicitations

NOWHERE = "no-such-namespace"
Handler = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets for the name `here` are opened where the test runs."""
    for module in (requests, icmp4, icmp6):
        original = module.open_in

        def open_in(
            namespace: str,
            family: int,
            kind: int,
            protocol: int = 0,
            original: Callable[..., socket.socket] = original,
        ) -> socket.socket:
            if namespace != "here":
                return original(namespace, family, kind, protocol)
            opened = socket.socket(family, kind, protocol)
            opened.setblocking(False)
            return opened

        monkeypatch.setattr(module, "open_in", open_in)


@contextlib.contextmanager
def server(handle: Handler | None) -> Iterator[int]:
    """A TCP server on 127.0.0.1; without a handler it accepts nobody."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        handle(connection) if handle else None

        thread = threading.Thread(target=serve, daemon=True)
        if handle:
            thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        if handle:
            thread.join()


def request(port: int, application: Application = "tcp") -> Request:
    return Request("here", "127.0.0.1", port, application)


def say(answer: bytes) -> Handler:
    def handle(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(answer)

    return handle


def test_silent_servers_are_waited_for_together() -> None:
    with server(None) as port:
        began = time.monotonic()
        answers = send_requests([request(port)] * 200, timeout=0.3)
        assert time.monotonic() - began < 1
    assert {answer.error for answer in answers} == {"timed out after 0.3 s"}


def test_answers_are_in_the_order_of_the_requests() -> None:
    with server(say(b"one\n")) as one, server(say(b"two\n")) as two, server(None) as silent:
        ports = [one, two, silent] * 30
        answers = send_requests([request(port) for port in ports], timeout=0.5)
    assert [answer.body for answer in answers] == ["one", "two", ""] * 30


def test_answers_that_come_late_one_by_one_are_waited_for() -> None:
    """A busy machine answers late, but goes on answering: patience ends when nothing comes."""
    turn = threading.Lock()

    def slow(connection: socket.socket) -> None:
        with turn:
            connection.recv(1024)
            time.sleep(0.15)
            connection.sendall(b"late\n")

    with server(slow) as port:
        answers = send_requests([request(port)] * 5, timeout=0.4)
    assert [answer.body for answer in answers] == ["late"] * 5


def test_replies_that_find_no_room_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket with room for a few, which is not read until a hundred echoes are sent."""
    original, sent = icmp._Sender.receive, threading.Event()

    def receive(sender: icmp._Sender) -> bool:
        if sender.awaited == 100:
            sent.set()
        return sent.is_set() and original(sender)

    def narrow(opened: socket.socket) -> None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)

    monkeypatch.setattr(icmp._Sender, "receive", receive)
    monkeypatch.setattr(icmp4, "widen", narrow)
    said: list[str] = []
    replies = send_echoes([Echo("here", "127.0.0.1")] * 100, waits=(0.1,), tell=said.append)
    assert {reply.error for reply in replies} == {None}
    assert len(said) == 1
    assert "replies found no room" in said[0]


@pytest.mark.parametrize(
    ("application", "answer", "body", "words"),
    [
        ("tcp", b"pod c 10.0.0.1:1\n", "pod c 10.0.0.1:1", None),
        ("tcp", b"", "", "closed without an answer"),
        ("tcp", b"\x1b[31mred\xff\n", "?[31mred�", None),
        ("tcp", b"x" * 5000, "x" * 500, None),
        ("http", b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nbody\n", "body", None),
        ("http", b"HTTP/1.1 404 Not Found\r\n\r\nbody\n", "", "not a good HTTP answer"),
        ("http", b"what?\n", "", "not a good HTTP answer"),
    ],
)
def test_any_answer_is_taken_for_what_it_is(
    application: Application, answer: bytes, body: str, words: str | None
) -> None:
    with server(say(answer)) as port:
        (found,) = send_requests([request(port, application)])
    assert found.body == body
    assert (words or "") in (found.error or "")
    assert (found.error is None) is (words is None)


def test_a_refusal_is_told_for_tcp_and_udp() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        kinds: tuple[Application, ...] = ("tcp", "http", "udp")
        answers = send_requests([request(port, kind) for kind in kinds])
    assert [answer.error for answer in answers] == ["connection refused"] * 3


def test_udp_is_one_datagram_each_way() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))

        def serve() -> None:
            for _ in range(50):
                data, client = peer.recvfrom(1024)
                peer.sendto(data, client)

        thread = threading.Thread(target=serve)
        thread.start()
        answers = send_requests([request(peer.getsockname()[1], "udp")] * 50)
        thread.join()
    assert [answer.body for answer in answers] == ["netlab"] * 50


def test_echoes_are_matched_however_many_and_large() -> None:
    echoes = [Echo("here", f"127.0.0.{number % 250 + 1}") for number in range(70_000)]
    echoes += [Echo("here", "127.0.0.1", bytes(60_000))]
    replies = send_echoes(echoes)
    assert [reply for reply in replies if reply.error] == []
    assert all(0 < reply.seconds < 1 and reply.ttl == 64 for reply in replies)


def test_two_runs_at_once_do_not_take_each_others_replies() -> None:
    echoes = [Echo("here", "127.0.0.1")] * 3000
    errors: list[str] = []

    def run() -> None:
        errors.extend(reply.error for reply in send_echoes(echoes) if reply.error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_what_is_not_there_is_said_and_raises_nothing() -> None:
    gone = f"namespace {NOWHERE} is gone"
    for target in ("127.0.0.1", "::1"):
        assert send_echoes([Echo(NOWHERE, target)]) == [EchoReply(error=gone)]
        assert [a.error for a in send_requests([Request(NOWHERE, target, 1, "tcp")])] == [gone]
        assert try_to_send([Oversize(NOWHERE, target, 1401)]) == [Refusal(error=gone)]
    assert send_frames([HairpinFrame(NOWHERE, "eth0", "02:00:00:00:00:01")]) == [gone]
    macs = ("02:00:00:00:00:01", "02:00:00:00:00:02")
    packet = GsoPacket(NOWHERE, "eth0", macs, "10.0.0.1", "10.0.0.2", 1400)
    packet6 = packet._replace(source="fd44::1", target="fd44::2")
    assert send_packets([packet, packet6]) == [Delivery(error=gone)] * 2
    with Capture([NOWHERE]) as capture:
        assert capture.lost == {NOWHERE: gone}
        assert capture.drain() == []
    flush([Entry(NOWHERE, "eth0", "10.0.0.1"), Entry(NOWHERE, "eth0", "fd44::1")])
    with pytest.raises(Unavailable, match=gone):
        namespace_inode(NOWHERE)


FAMILIES = pytest.mark.parametrize(
    ("near", "far", "router"),
    [("10.1.0.2", "10.2.0.2", "10.1.0.1"), ("fd01::2", "fd02::2", "fd01::1")],
    ids=["ipv4", "ipv6"],
)
LINE = """
set -e
for name in near router far; do
    ip netns add $name
    ip netns exec $name sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode'
    ip -n $name link set lo up
done
ip link add eth0 mtu 1500 netns near type veth peer name left mtu 1500 netns router
ip link add eth0 mtu 1400 netns far type veth peer name right mtu 1400 netns router
configure() {
    ip -n $1 addr add 10.$3.0.$4/24 dev $2
    ip -n $1 addr add fd0$3::$4/64 dev $2 nodad
    ip -n $1 link set $2 up
}
configure near eth0 1 2
configure router left 1 1
configure router right 2 1
configure far eth0 2 2
ip -n router addr add fe80::1/64 dev left nodad
ip -n router addr add fe80::1/64 dev right nodad
ip netns exec router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
ip -n near route add default via 10.1.0.1
ip -n near route add default via fd01::1
ip -n far route add default via 10.2.0.1
ip -n far route add default via fd02::1
"""


@pytest.fixture(scope="module")
def line() -> Iterator[None]:
    """A path of three namespaces, 1500 bytes wide at first and 1400 behind the router."""
    subprocess.run(["sh", "-c", LINE], check=True)
    yield
    for name in ("near", "router", "far"):
        subprocess.run(["ip", "netns", "del", name], check=True)


def mac(namespace: str, device: str) -> str:
    command = ["ip", "netns", "exec", namespace, "cat", f"/sys/class/net/{device}/address"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def too_big(ip: str) -> str:
    return "packet too big, MTU 1400" if ":" in ip else "fragmentation needed, MTU 1400"


def payload(ip: str, size: int) -> bytes:
    """That of an echo whose packet has so many bytes."""
    return bytes(size - (48 if ":" in ip else 28))


@pytest.mark.usefixtures("line")
@FAMILIES
def test_an_echo_tells_hops_and_who_refuses_it(near: str, far: str, router: str) -> None:
    """Twice: what the kernel remembers of the path from the first time must not matter."""
    for _ in range(2):
        sizes = [1400, 1401, 1500, 1501]
        echoes = [Echo("near", far, payload(far, size)) for size in sizes]
        fits, *refused, too_long = send_echoes([*echoes[:3], echoes[3]])
        assert (fits.error, fits.ttl) == (None, 63)
        icmp = "ICMPv6" if ":" in far else "ICMP"
        assert {reply.error for reply in refused} == {f"{too_big(far)} ({icmp} from {router})"}
        assert too_long.error == "message too long for the path's MTU"
    assert send_echoes([Echo("near", router)])[0].ttl == 64


@pytest.mark.usefixtures("line")
@FAMILIES
def test_unwanted_replies_are_waited_for_briefly(near: str, far: str, router: str) -> None:
    nobody = far[:-1] + "9"
    began = time.monotonic()
    (reply,) = send_echoes([Echo("near", nobody, wanted=False)])
    assert reply.error
    assert time.monotonic() - began < 1


@pytest.mark.usefixtures("line")
def test_both_families_are_one_batch() -> None:
    targets = ["10.2.0.2", "fd02::2", "10.1.0.1", "fd01::1"] * 500
    replies = send_echoes([Echo("near", target) for target in targets])
    assert [reply.ttl for reply in replies] == [63, 63, 64, 64] * 500


@pytest.mark.usefixtures("line")
@FAMILIES
def test_the_senders_own_kernel_tells_its_mtu(near: str, far: str, router: str) -> None:
    found = try_to_send([Oversize("near", router, 1501), Oversize("near", router, 1500)])
    assert found == [Refusal(mtu=1500), Refusal(error="sent, not refused")]
    assert try_to_send([Oversize("far", near, 1401)]) == [Refusal(mtu=1400)]


@pytest.mark.usefixtures("line")
@FAMILIES
def test_what_gets_past_the_sender_is_refused_by_the_router(
    near: str, far: str, router: str
) -> None:
    macs = (mac("near", "eth0"), mac("router", "left"))
    sizes = (1400, 1401, 1500, 1600)
    packets = [GsoPacket("near", "eth0", macs, near, far, size) for size in sizes]
    refused = Delivery(refused_by=router, mtu=1400)
    assert send_packets(packets) == [Delivery(arrived=True), refused, refused, refused]


@pytest.mark.usefixtures("line")
@FAMILIES
def test_an_answer_that_found_no_room_is_asked_for_again(
    near: str, far: str, router: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, lost = gso._Station.receive, [1]
    monkeypatch.setattr(gso._Station, "receive", lambda one: not lost and original(one))
    monkeypatch.setattr(gso, "dropped", lambda _socket: lost.pop())
    packet = GsoPacket(
        "near", "eth0", (mac("near", "eth0"), mac("router", "left")), near, far, 1500
    )
    said: list[str] = []
    found = send_packets([packet], timeout=0.2, tell=said.append)
    assert found == [Delivery(refused_by=router, mtu=1400)]
    assert said == ["1 packets again: a socket had no room for their answers"]


@pytest.mark.usefixtures("line")
@FAMILIES
def test_flushed_neighbours_are_asked_for_again(near: str, far: str, router: str) -> None:
    def known() -> str:
        command = ["ip", "-n", "near", "neigh", "show", router]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert send_echoes([Echo("near", far)])[0].error is None
    assert mac("router", "left") in known()
    flush([Entry("near", "eth0", router), Entry("near", "eth0", near), Entry("near", "no", far)])
    flush([Entry("near", "eth0", router)])
    assert mac("router", "left") not in known()
    assert send_echoes([Echo("near", far)])[0].error is None


@pytest.mark.usefixtures("line")
@FAMILIES
def test_who_asks_for_whose_mac_is_seen(near: str, far: str, router: str) -> None:
    nobody = near[:-1] + "9"
    own = "10.1.0.1" if ":" not in near else "fe80::1"
    with Capture(["near"]) as capture:
        send_echoes([Echo("router", nobody, wanted=False)])
        seen = list(solicitations(capture.drain()))
    asked = {(item.answers, item.mac, item.target) for item in seen if item.target == nobody}
    assert asked == {(False, mac("router", "left"), nobody)}
    senders = {item.address for item in seen if item.target == nobody}
    assert senders <= {own, router}


@pytest.mark.usefixtures("line")
@FAMILIES
def test_what_was_repaired_is_believed_at_once(near: str, far: str, router: str) -> None:
    """A kernel that was told a smaller MTU remembers it for ten minutes."""

    def set_mtu(mtu: int) -> None:
        subprocess.run(["ip", "-n", "router", "link", "set", "left", "mtu", str(mtu)], check=True)

    longest, too_long = Echo("far", near, payload(near, 1400)), Oversize("far", near, 1401)
    set_mtu(1350)
    try:
        (reply,) = send_echoes([longest])
    finally:
        set_mtu(1500)
    assert "MTU 1350" in (reply.error or "")
    assert try_to_send([too_long]) == [Refusal(mtu=1400)]
    assert send_echoes([longest])[0].error is None
