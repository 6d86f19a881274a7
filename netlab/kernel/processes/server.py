"""The default container's server: answers TCP, HTTP and UDP with the pod's name.

The answer is one line, `POD CONTAINER CLIENT_ADDRESS:PORT`, so that a probe knows who answered and
which address the packet came from when it arrived. One port serves TCP (HTTP if the client speaks
it, else the bare line) and UDP on all addresses, a second one serves TCP on loopback only.
It is a program of its own, with the standard library alone: `plan --sh` carries it along.
"""

from __future__ import annotations

# The module in C below `socket`: what that puts around it makes every process that is forked to
# serve copy memory. Its sockets are used as others are.
import _socket
import errno
import os
import select
import sys
from _socket import AF_INET, AF_INET6, IPPROTO_IPV6, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_STREAM

Socket = _socket.socket
IDLE = 10.0  # seconds a client may take to ask
LIMIT = 8192  # bytes of a request


class Server:
    """Listening sockets and the clients that have not asked yet."""

    def __init__(self, pod: str, container: str, listeners: list[Socket]) -> None:
        self.name = f"{pod} {container}"
        self.listeners = {sock.fileno(): sock for sock in listeners}
        self.clients: dict[int, tuple[Socket, tuple[str, int], bytearray]] = {}
        self.poll = select.epoll()
        for fd in self.listeners:
            self.poll.register(fd, select.EPOLLIN)

    def close(self) -> None:
        for sock in self.listeners.values():
            sock.close()
        self.poll.close()

    def run(self) -> None:
        while True:
            events = self.poll.poll(IDLE if self.clients else -1)
            if not events:
                for fd in list(self.clients):
                    self.drop(fd)
            for fd, _ in events:
                try:
                    self.serve(fd)
                except OSError:
                    self.drop(fd)

    def serve(self, fd: int) -> None:
        sock = self.listeners.get(fd)
        if sock is None:
            self.read(fd)
        elif sock.type == SOCK_DGRAM:
            _, client = sock.recvfrom(LIMIT)
            sock.sendto(self.answer(client), client)
        else:
            number, client = sock._accept()  # type: ignore[attr-defined, unused-ignore]
            connection = Socket(fileno=number)
            connection.setblocking(False)
            self.clients[connection.fileno()] = (connection, client, bytearray())
            self.poll.register(connection.fileno(), select.EPOLLIN)

    def answer(self, client: tuple[str, int]) -> bytes:
        # A socket of both families shows an IPv4 client as ::ffff:10.244.0.2.
        address = client[0].removeprefix("::ffff:")
        return f"{self.name} {f'[{address}]' if ':' in address else address}:{client[1]}\n".encode()

    def read(self, fd: int) -> None:
        connection, client, asked = self.clients[fd]
        data = connection.recv(LIMIT)
        asked += data
        http = asked.find(b" HTTP/") > 0
        complete = asked.endswith((b"\r\n\r\n", b"\n\n")) if http else asked.endswith(b"\n")
        if data and not complete and len(asked) < LIMIT:
            return
        body = self.answer(client)
        if http:
            head = (
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            ).encode()
            body = head if asked.startswith(b"HEAD ") else head + body
        if asked:
            connection.send(body)
        self.drop(fd)

    def drop(self, fd: int) -> None:
        client = self.clients.pop(fd, None)
        if client:
            self.poll.unregister(fd)
            client[0].close()


def listen(port: int, local_port: int) -> list[Socket]:
    """The server's sockets in the current network namespace. Raises OSError if a port is taken.

    On a kernel or in a namespace without IPv6 they are of IPv4 alone.
    """
    result = [bound(SOCK_STREAM, "127.0.0.1", local_port)]
    everywhere = "0.0.0.0"
    try:
        result.append(bound(SOCK_STREAM, "::1", local_port))
        everywhere = "::"
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise
    result.append(bound(SOCK_STREAM, everywhere, port))
    result.append(bound(SOCK_DGRAM, everywhere, port))
    return result


def bound(kind: int, host: str, port: int) -> Socket:
    """A socket bound to an address; to `::`, it serves both families."""
    sock = Socket(AF_INET6 if ":" in host else AF_INET, kind | SOCK_NONBLOCK)
    if host == "::":
        sock.setsockopt(IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0)
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    if kind == SOCK_STREAM:
        sock.listen(1024)  # a Service may have many clients at once
    return sock


def main() -> None:
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    try:
        sockets = listen(int(options["--port"]), int(options["--local-port"]))
    except (KeyError, ValueError):
        sys.exit("usage: server.py --pod NAME --container NAME --port N --local-port N")
    Server(options["--pod"], options["--container"], sockets).run()


if __name__ == "__main__":
    os.chdir("/")
    main()
