"""Many TCP connections and UDP datagrams at once, to listeners that are opened for them.

A listener in the target's namespace serves all who call its address by one protocol, and answers
with the address that it saw. On one machine the answer is normally there when the call has been
made, so each is read at once; epoll is for the rest.

Where a lab is spread over machines, those of another machine call the listeners that this one holds
meanwhile (`listen_for_others`), at a port that all know.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from netlab.plan.probing.actions import Call, Heard
from netlab.probe.engines.polling import Patience
from netlab.probe.engines.sockets import Unavailable, chunks, descriptors, in_words, open_in

# Seconds until a datagram is sent again; a kernel repeats its SYN after one second by itself.
_AGAIN = 0.4
TIMEOUT = 1.5
_AT_ONCE = 500  # calls; each may take a listener, a caller and a connection
# Of listeners for other machines, by TCP and UDP; IANA has assigned it to nobody.
AGREED_PORT = 4
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close without a state that waits for stragglers

Service = tuple[str, str, str]  # namespace, address and protocol


def make_calls(
    calls: Sequence[Call],
    timeout: float = TIMEOUT,
    here: Callable[[str], bool] = lambda namespace: True,
) -> list[Heard]:
    """Make all calls and return what came of each, waiting till nothing comes for `timeout`.

    `here` tells whether a namespace is on this machine; who is not has a listener already.
    """
    heard: list[Heard] = []
    for part in chunks(calls, min(_AT_ONCE, descriptors() // 4)):
        with contextlib.closing(_Exchange(part, here)) as exchange:
            exchange.begin()
            exchange.wait(timeout)
            heard += [outcome or _lost(timeout) for outcome in exchange.heard]
    return heard


def _lost(timeout: float) -> Heard:
    return Heard(error=f"no answer in {timeout:.1f} s")


def listen_for_others(
    services: Iterable[Service], stop: int, opened: Callable[[int], None]
) -> None:
    """Answer calls from other machines until there is something to read from `stop`.

    `opened` is told how many listeners there are, once all are open. One that cannot be opened is
    left out: who calls it is told by the kernel that the connection is refused.
    """
    listeners: dict[int, _Listener] = {}
    descriptors()
    try:
        for service in services:
            with contextlib.suppress(Unavailable):
                listener = _Listener(*service, AGREED_PORT)
                listeners[listener.socket.fileno()] = listener
        opened(len(listeners))
        with select.epoll() as poll:
            for number in (stop, *listeners):
                poll.register(number, select.EPOLLIN)
            while True:
                for number, _ in poll.poll():
                    if number == stop:
                        return
                    listeners[number].serve()
    finally:
        for listener in listeners.values():
            listener.socket.close()


def for_others(calls: Iterable[Call], here: Callable[[str], bool]) -> Iterator[Service]:
    """Who must listen on this machine, so that the others' calls are answered."""
    wanted = (call for call in calls if here(call.target) and not here(call.namespace))
    yield from dict.fromkeys((call.target, call.address, call.application) for call in wanted)


class _Exchange:
    """Some calls, with the listeners that they need."""

    def __init__(self, calls: Sequence[Call], here: Callable[[str], bool]) -> None:
        self.calls = calls
        self.here = here
        self.heard: list[Heard | None] = [None] * len(calls)
        self.services: dict[Service, _Listener | str] = {}
        self.waiting: dict[int, _Caller] = {}

    def close(self) -> None:
        for service in self.services.values():
            if isinstance(service, _Listener):
                service.socket.close()
        for caller in self.waiting.values():
            caller.socket.close()

    def begin(self) -> None:
        """Make each call, and take its answer where it is there already."""
        for index, call in enumerate(self.calls):
            listener = self._listener((call.target, call.address, call.application))
            if isinstance(listener, str):
                self.heard[index] = Heard(error=listener)
                continue
            try:
                caller = _Caller(index, call)
            except Unavailable as error:
                self.heard[index] = Heard(error=str(error))
                continue
            self.waiting[caller.socket.fileno()] = caller
            failure = caller.call(listener.port if listener else AGREED_PORT)
            if failure is None:
                if listener:
                    listener.serve()
                failure = caller.answer()
            self._settle(caller, failure)

    def wait(self, timeout: float) -> None:
        """Serve and read what comes until all is settled or the time is over."""
        patience = Patience(timeout)
        if not self.waiting:
            return
        listeners = {
            service.socket.fileno(): service
            for service in self.services.values()
            if isinstance(service, _Listener)
        }
        with select.epoll() as poll:
            for number in (*listeners, *self.waiting):
                poll.register(number, select.EPOLLIN)
            while self.waiting and (left := patience.left) > 0:
                ready = poll.poll(min(left, _AGAIN))
                for number, _ in ready:
                    if number in listeners:
                        listeners[number].serve()
                    elif number in self.waiting:
                        caller = self.waiting[number]
                        self._settle(caller, caller.answer())
                        patience.came()
                if not ready:
                    for caller in self.waiting.values():
                        caller.call_again()

    def _listener(self, service: Service) -> _Listener | str | None:
        """The listener, or why there is none; None where another machine has it."""
        if not self.here(service[0]):
            return None
        if service not in self.services:
            try:
                self.services[service] = _Listener(*service)
            except Unavailable as error:
                self.services[service] = str(error)
        return self.services[service]

    def _settle(self, caller: _Caller, outcome: Heard | None) -> None:
        if outcome is not None:
            self.heard[caller.index] = outcome
            del self.waiting[caller.socket.fileno()]
            caller.socket.close()


class _Listener:
    """Bound to the address and not to any, so that its answers come from there.

    `port` 0 is any that is free. Raises Unavailable.
    """

    def __init__(self, namespace: str, address: str, application: str, port: int = 0) -> None:
        self.stream = application == "tcp"
        self.socket = _open(namespace, address, stream=self.stream)
        try:
            if port:  # two verifications may run at once
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self.socket.bind((address, port))
            if self.stream:
                self.socket.listen(_AT_ONCE)
        except OSError as error:
            self.socket.close()
            words = f"nobody can listen on {address} of {namespace}: {in_words(error)}"
            raise Unavailable(words) from None
        self.port: int = self.socket.getsockname()[1]

    def serve(self) -> None:
        """Answer everybody who is there; who has gone away already needs none."""
        with contextlib.suppress(OSError):
            while True:
                if self.stream:
                    connection, client = self.socket.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.send(client[0].encode())
                else:
                    _, client = self.socket.recvfrom(64)
                    with contextlib.suppress(OSError):
                        self.socket.sendto(client[0].encode(), client)


class _Caller:
    """The socket of one call. Raises Unavailable where its namespace is gone."""

    def __init__(self, index: int, call: Call) -> None:
        self.index = index
        self.stream = call.application == "tcp"
        self.address = call.address
        self.socket = _open(call.namespace, call.address, stream=self.stream)
        self.began = time.monotonic()

    def call(self, port: int) -> Heard | None:
        """Connect, and by UDP say something; what is the matter where that fails at once."""
        try:
            if self.stream:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(BlockingIOError):
                self.socket.connect((self.address, port))
            self.call_again()
        except OSError as error:
            return self._failed(error)
        return None

    def call_again(self) -> None:
        if not self.stream:
            with contextlib.suppress(BlockingIOError):
                self.socket.send(b"?")

    def answer(self) -> Heard | None:
        """None where it is not there yet."""
        try:
            text = self.socket.recv(64).decode()
        except BlockingIOError:
            return None
        except OSError as error:
            return self._failed(error)
        if not text:
            return Heard(error="closed without an answer")
        return Heard(text, time.monotonic() - self.began)

    def _failed(self, error: OSError) -> Heard:
        return Heard(error=in_words(error), seconds=time.monotonic() - self.began)


def _open(namespace: str, address: str, *, stream: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return open_in(namespace, family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
