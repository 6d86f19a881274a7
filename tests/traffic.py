"""Flows between namespaces of a lab, every packet counted, while something is changed there.

    python3 traffic.py RATE FROM,TO,ADDRESS…    in a lab's sandbox

Each flow is UDP packets, RATE a second, which come back from TO, and a TCP connection with a
message every few milliseconds. It says `ready`, goes on until its standard input ends, and prints
what it saw of each flow. With the standard library alone, as it runs in the lab.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000
PORT = 7007
BUFFER = 8 << 20  # bytes: so that what is lost was not lost in this process's own sockets
PAUSE = 0.002  # seconds from one message on a connection to the next
DRAIN = 1.0  # seconds for what is under way at the end
FORM = struct.Struct("=Qd")  # number, and when it was sent
libc = ctypes.CDLL(None, use_errno=True)


def opened(namespace: str, family: int, kind: int) -> socket.socket:
    """A socket of another namespace."""
    back = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), namespace)
        made = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    finally:
        libc.setns(back, CLONE_NEWNET)
        os.close(there)
        os.close(back)
    force = 33  # SO_RCVBUFFORCE
    with contextlib.suppress(OSError):
        made.setsockopt(socket.SOL_SOCKET, force, BUFFER)
    return made


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@dataclass
class Seen:
    """What became of a flow. Milliseconds are of the slowest reply."""

    flow: str
    sent: int = 0
    received: int = 0
    twice: int = 0
    slowest: float = 0.0
    messages: int = 0
    slowest_message: float = 0.0
    broken: str = ""
    when: tuple[float, ...] = ()  # seconds after the start, of the first that were lost

    @property
    def lost(self) -> int:
        return self.sent - self.received


class Flow:
    """One flow, from the sender's side."""

    def __init__(self, source: str, target: str, address: str) -> None:
        self.seen = Seen(f"{source} to {target} {address}")
        self.waiting: dict[int, float] = {}
        family = family_of(address)
        self.udp = opened(source, family, socket.SOCK_DGRAM)
        self.udp.connect((address, PORT))
        self.tcp = opened(source, family, socket.SOCK_STREAM)
        self.tcp.setblocking(True)
        self.tcp.settimeout(5)
        self.tcp.connect((address, PORT))
        self.tcp.setblocking(False)
        self.asked = 0.0  # when the message was sent that is under way
        self.last = 0.0

    def send(self, due: int) -> None:
        while self.seen.sent < due:
            number = self.seen.sent
            self.waiting[number] = time.monotonic()
            self.seen.sent += 1
            with contextlib.suppress(OSError):  # it is not counted as received
                self.udp.send(FORM.pack(number, self.waiting[number]))
        now = time.monotonic()
        if not self.asked and not self.seen.broken and now - self.last > PAUSE:
            self.asked = self.last = now
            try:
                self.tcp.send(b"x" * 64)
            except OSError as error:
                self.seen.broken = str(error)

    def hear_udp(self) -> None:
        while True:
            try:
                number, sent = FORM.unpack(self.udp.recv(64))
            except BlockingIOError:
                return
            except OSError:  # an ICMP error
                continue
            if self.waiting.pop(number, None) is None:
                self.seen.twice += 1
                continue
            self.seen.received += 1
            self.seen.slowest = max(self.seen.slowest, 1000 * (time.monotonic() - sent))

    def hear_tcp(self) -> None:
        try:
            if not self.tcp.recv(64):
                raise ConnectionResetError("the other side ended it")
        except BlockingIOError:
            return
        except OSError as error:
            self.seen.broken = str(error)
            return
        took = 1000 * (time.monotonic() - self.asked)
        self.seen.slowest_message = max(self.seen.slowest_message, took)
        self.seen.messages += 1
        self.asked = 0.0


def echo(udp: socket.socket) -> None:
    while True:
        try:
            content, sender = udp.recvfrom(64)
            udp.sendto(content, sender)
        except BlockingIOError:
            return
        except OSError:
            continue


class Traffic:
    """All flows, and the far ends of them."""

    def __init__(self, flows: Sequence[Sequence[str]]) -> None:
        self.epoll = select.epoll()
        self.actions: dict[int, Callable[[], None]] = {}
        for _, target, address in dict.fromkeys((None, *flow[1:]) for flow in flows):
            self._serve(target, address)
        self.flows = [Flow(*flow) for flow in flows]
        for flow in self.flows:
            self._on(flow.udp, flow.hear_udp)
            self._on(flow.tcp, flow.hear_tcp)

    def _on(self, one: socket.socket, action: Callable[[], None]) -> None:
        self.epoll.register(one, select.EPOLLIN)
        self.actions[one.fileno()] = action

    def _serve(self, target: str, address: str) -> None:
        udp = opened(target, family_of(address), socket.SOCK_DGRAM)
        udp.bind((address, PORT))
        self._on(udp, lambda: echo(udp))
        listener = opened(target, family_of(address), socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, PORT))
        listener.listen(64)
        self._on(listener, lambda: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        made, _ = listener.accept()
        made.setblocking(False)
        self._on(made, lambda: self._answer(made))

    def _answer(self, made: socket.socket) -> None:
        content = b""
        with contextlib.suppress(OSError):
            content = made.recv(64)
            made.send(content)
        if not content:
            self.epoll.unregister(made)

    def _turn(self) -> None:
        for fd, _ in self.epoll.poll(0.001):
            self.actions[fd]()

    def run(self, rate: int) -> list[Seen]:
        """Until standard input ends."""
        began = time.monotonic()
        while not select.select([sys.stdin], [], [], 0)[0]:
            due = int((time.monotonic() - began) * rate)
            for flow in self.flows:
                flow.send(due)
            self._turn()
        end = time.monotonic() + DRAIN
        while any(flow.waiting for flow in self.flows) and time.monotonic() < end:
            self._turn()
        for flow in self.flows:
            times = sorted(flow.waiting.values())[:8]
            flow.seen.when = tuple(round(at - began, 3) for at in times)
        return [flow.seen for flow in self.flows]


def flows_of(status: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Flows of all kinds between two nodes of a lab, and to the client outside."""
    one, other = status["nodes"][0]["name"], status["nodes"][1]["name"]
    pods = {
        name: [pod for pod in status["pods"] if pod["node"] == name][:2] for name in (one, other)
    }
    here, near = pods[one]
    there = pods[other][0]
    outside = ["203.0.113.10", "2001:db8::a"]
    found = []
    for number, _ in enumerate(here["ips"]):
        found += [
            (here["netns"], there["netns"], there["ips"][number]),
            (there["netns"], here["netns"], here["ips"][number]),
            (here["netns"], near["netns"], near["ips"][number]),
            (one, there["netns"], there["ips"][number]),
            (there["netns"], "external", outside[number]),
        ]
    found.append((there["netns"], one, status["nodes"][0]["underlay_ip"]))
    return found


@contextlib.contextmanager
def traffic(
    command: Sequence[str],
    environment: Mapping[str, str],
    flows: Sequence[tuple[str, str, str]],
    rate: int = 1000,
) -> Iterator[list[Seen]]:
    """Meanwhile the flows go on in a lab; then the list has what was seen of each."""
    words = " ".join([sys.executable, str(Path(__file__)), str(rate), *map(",".join, flows)])
    seen: list[Seen] = []
    with subprocess.Popen(
        [*command, "shell"],
        env={**environment, "SHELL": "/bin/sh"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"exec {words}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        yield seen
        time.sleep(0.3)
        process.stdin.close()
        seen += [Seen(**one) for one in json.loads(process.stdout.readline())]


def main() -> None:
    running = Traffic([text.split(",") for text in sys.argv[2:]])
    print("ready", flush=True)
    print(json.dumps([asdict(seen) for seen in running.run(int(sys.argv[1]))]), flush=True)


if __name__ == "__main__":
    main()
