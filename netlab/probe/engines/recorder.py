"""What passes devices of several namespaces, with its time by the kernel's clock."""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from netlab.errors import BadInput, shown
from netlab.kernel import namespaces
from netlab.kernel.devices.base import ARPHRD_LOOPBACK
from netlab.probe.engines import pcapng
from netlab.probe.engines.bpf import PASS, WITH_ETHERNET, on_devices
from netlab.probe.engines.capture import SO_TIMESTAMPNS, SOL_PACKET, TIMESPEC, open_all
from netlab.probe.engines.libpcap import Filter
from netlab.probe.engines.pcapng import Frame
from netlab.probe.engines.sockets import close_aside, descriptors, dropped

_PACKET_AUXDATA = 8
# linux/if_packet.h: struct tpacket_auxdata; of its status: there was a tag, and its type is known
_AUXDATA = struct.Struct("=IIIHHHH")
_TAGGED, _TYPE_KNOWN = 0x10, 0x40
_TAG = 0x8100  # of 802.1Q
_ANCILLARY = socket.CMSG_SPACE(TIMESPEC.size) + socket.CMSG_SPACE(_AUXDATA.size)
_SIOCGIFHWADDR = 0x8927
_REQUEST = struct.Struct("=16sH22x")  # struct ifreq with a hardware address
_LONGEST = 1 << 18  # bytes; what the kernel has yet to segment may be longer than any packet
_AT_ONCE = 1000  # frames of a socket, before the others have a turn
# By whom a frame was meant to be received (PACKET_HOST and so on), as flags of a packet's block
_RECEPTION = {0: 1 << 2, 1: 3 << 2, 2: 2 << 2, 3: 4 << 2}
_GONE = "?"  # of a device that was gone before its frame was read


class Device(NamedTuple):
    """A device of a namespace, whose frames have the header that `link` says (`pcapng`)."""

    namespace: str
    name: str
    link: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Recorder:
    """Reads the frames of devices, one socket for each namespace.

    `wanted` are the devices by their namespaces; none stands for all, also those that are made
    later. `devices` are those there were, then those that had a frame: a frame has their number.
    `sockets` are known by their descriptors.
    Raises BadInput for a device that is not there, and Unavailable.
    """

    def __init__(self, wanted: Mapping[str, Sequence[str]], filtered: Filter) -> None:
        descriptors()
        self.devices: list[Device] = []
        self._numbers: dict[Device, int] = {}
        self.sockets: dict[int, socket.socket] = {}
        self._names: dict[int, str] = {}
        self._behind: dict[int, int] = {}
        self._buffer = bytearray(_LONGEST)
        self._view = memoryview(self._buffer)
        for namespace, names in wanted.items():
            there = _devices(namespace)
            for name in names:
                if name not in there:
                    raise BadInput(
                        f"There is no device {shown(name)} in {namespace}",
                        f"it has {', '.join(sorted(there))}",
                    )
            for name in names or there:
                self._number(Device(namespace, name, there[name][1]))
            self._open(namespace, [there[name][0] for name in names], filtered)
        if filtered.only_ethernet and all(one.link == pcapng.RAW for one in self.devices):
            raise BadInput(
                f"The filter '{filtered.expression}' lets nothing pass on devices without an "
                f"Ethernet header, as libpcap says: {filtered.only_ethernet}."
            )
        self.forget()

    def _open(self, namespace: str, indexes: Sequence[int], filtered: Filter) -> None:
        program = []
        if indexes or filtered.expression:
            program = on_devices(indexes, filtered.ethernet or PASS, filtered.raw or PASS)
        opened = open_all(namespace, program)
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        opened.setsockopt(SOL_PACKET, _PACKET_AUXDATA, 1)
        self.sockets[opened.fileno()] = opened
        self._names[opened.fileno()] = namespace

    def read(self, number: int) -> list[Frame]:
        """What has passed and is in the socket of that descriptor; there may be more."""
        found: list[Frame] = []
        opened, namespace = self.sockets[number], self._names[number]
        while len(found) < _AT_ONCE:
            try:
                size, added, _, sender = opened.recvmsg_into([self._buffer], _ANCILLARY)
            except BlockingIOError:
                break
            name, _, kind, header = sender[:4]
            out = kind == socket.PACKET_OUTGOING
            if out and header == ARPHRD_LOOPBACK:
                continue  # it comes again as received
            link = pcapng.ETHERNET if header in WITH_ETHERNET else pcapng.RAW
            device = self._number(Device(namespace, name or _GONE, link))
            flags = pcapng.OUTBOUND if out else pcapng.INBOUND | _RECEPTION.get(kind, 0)
            stamp, data, length = self._whole(size, added)
            found.append(Frame(stamp, device, flags, data, length))
        if len(found) == _AT_ONCE:
            self._behind[number] = found[-1].time
        else:
            self._behind.pop(number, None)
        return found

    def read_until(self, now: int) -> int:
        """Up to which time every socket was read, after those that had something at `now` were."""
        return min([now, *self._behind.values()])

    def read_all(self) -> list[Frame]:
        """All that has passed so far; in a flood not what goes on passing."""
        found: list[Frame] = []
        now = time.time_ns()
        for number in self.sockets:
            while part := self.read(number):
                found += part
                if len(part) < _AT_ONCE or part[-1].time > now:
                    break
        return found

    def _whole(self, size: int, added: list[tuple[int, int, bytes]]) -> tuple[int, bytes, int]:
        """A frame's time, its bytes with the tag that the kernel took off, and its length."""
        stamp, data, length = 0, bytes(self._view[:size]), size
        for level, kind, value in added:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = TIMESPEC.unpack(value[: TIMESPEC.size])
                stamp = seconds * 1_000_000_000 + nanoseconds
            elif level == SOL_PACKET and kind == _PACKET_AUXDATA:
                status, length, _, _, _, tag, type_ = _AUXDATA.unpack(value[: _AUXDATA.size])
                if status & _TAGGED:
                    type_ = type_ if status & _TYPE_KNOWN else _TAG
                    data = data[:12] + struct.pack("!HH", type_, tag) + data[12:]
                    length += 4
        return stamp or time.time_ns(), data, length

    def _number(self, device: Device) -> int:
        if device not in self._numbers:
            self._numbers[device] = len(self.devices)
            self.devices.append(device)
        return self._numbers[device]

    @property
    def lost(self) -> dict[str, int]:
        """How many frames found no room in a namespace's socket; none without any."""
        counts = {
            namespace: dropped(self.sockets[number]) - self._before.get(number, 0)
            for number, namespace in self._names.items()
        }
        return {namespace: count for namespace, count in counts.items() if count}

    def forget(self) -> None:
        """Begin anew: nothing has passed, nothing was lost."""
        self.read_all()
        self._before = {number: dropped(opened) for number, opened in self.sockets.items()}

    def close(self) -> None:
        """Close the sockets; to be awaited by `await_closing`."""
        close_aside(self.sockets.values())


def _devices(namespace: str) -> dict[str, tuple[int, int]]:
    """The devices of a namespace: their index, and what header their frames have."""
    found = {}
    with namespaces.inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for index, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asking, _SIOCGIFHWADDR, _REQUEST.pack(name.encode(), 0))
            except OSError:
                continue  # it is gone already
            kind = _REQUEST.unpack(answer)[1]
            link = pcapng.ETHERNET if kind in WITH_ETHERNET else pcapng.RAW
            found[name] = index, link
    return found
