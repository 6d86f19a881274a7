"""Whether one place of a lab reaches another, as a value that explains itself."""

from __future__ import annotations

from netlab.reaching.asking import ask
from netlab.reaching.place import Place
from netlab.reaching.result import Protocol, Reach


class Reaching:
    """What a place of a lab can be asked about its way to another."""

    __slots__ = ()

    def reaches(
        self: Place,
        target: str | Place,
        *,
        port: int | None = None,
        protocol: Protocol | None = None,
        source: str | None = None,
        timeout: float = 1.0,
    ) -> Reach:
        """Send one real packet from here; true where the answer comes within `timeout` seconds.

        Where nothing comes it is sent once more, as a packet may be lost on a loaded host.

        `target` is a pod, node, Service or `external`, by name or as a Target, or any address.
        Without a `port` it is an ICMP echo; with one a TCP connection, or what `protocol` says:
        by `udp` and `http` an answer must come. `source` is the address it is sent from.
        Raises BadInput, and LabUnavailable for a lab that is gone or that a command changes.

        >>> with netlab.up("flannel-vxlan", nodes=2) as lab:
        ...     pod = lab.pod("pod-1-1")
        ...     bool(pod.reaches("pod-2-1", port=8080).via("vxlan").seen_as("10.244.0.2"))
        ...     bool(pod.reaches("pod-2-1").mtu(1450))
        ...     bool(pod.not_reaches("10.244.9.9"))
        True
        True
        True
        """
        return ask(self, target, port, protocol, source, timeout, expected=True)

    def not_reaches(
        self: Place,
        target: str | Place,
        *,
        port: int | None = None,
        protocol: Protocol | None = None,
        source: str | None = None,
        timeout: float = 1.0,
    ) -> Reach:
        """As `reaches`, true where no answer comes: it waits all of `timeout`."""
        return ask(self, target, port, protocol, source, timeout, expected=False)
