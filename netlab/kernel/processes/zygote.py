"""The process containers are forked from: started once, lean, so that a fork is cheap.

It reads one JSON line a container from standard input and answers each with one on standard
output. A container is process 1 of a PID namespace, with mount and UTS namespaces of its own, in
the network namespace of its pod. Run as a program inside the sandbox; see `containers.py`.
"""

from __future__ import annotations

import collections
import ctypes
import gc
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x20000000, 0x40000000
READ_ONLY, NOSUID_NODEV_NOEXEC, REC_PRIVATE, MNT_DETACH, PR_SET_NAME = 0x1, 0xE, 0x44000, 2, 15
SIGPIPE = 13
AT_ONCE = 16  # containers that are being made
MADE = "."  # what one tells that is
# Names are bind mounts in the keeper's mount namespace; this process keeps none of them in its
# own, since every container's mount namespace is a copy of it.
NAMES = "/proc/1/root/run/netns"

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def unshare(flags: int, kinds: str) -> None:
    """Make namespaces of these kinds, which sysctls such as user.max_mnt_namespaces limit."""
    if libc.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"unshare {kinds}: {os.strerror(code)}")


class Making:
    """A container that is being made: its process in the sandbox, and where that tells how it went.

    Forking the next one need not wait until this one has its mounts.
    """

    def __init__(self, container: dict[str, Any], own_pids: int, others: Iterable[Making]) -> None:
        self.pid, self.outcome, self.problem = 0, -1, ""
        try:
            self.start(container, own_pids, [one.outcome for one in others])
        except (OSError, MemoryError) as error:
            self.problem = words(error)

    def start(self, container: dict[str, Any], own_pids: int, others: Iterable[int]) -> None:
        """Fork it; it is not to have the descriptors of `others`. Raises OSError."""
        pod = os.open(f"{NAMES}/{container['namespace']}", os.O_RDONLY)
        call("setns", pod, CLONE_NEWNET)
        os.close(pod)
        # Listening before the fork: once the answer is read, the container can be asked.
        sockets = []
        if not container["command"]:
            sockets = server.listen(container["port"], container["local_port"])
        call("setns", own_pids, CLONE_NEWPID)
        unshare(CLONE_NEWPID, "pid")
        self.outcome, telling = os.pipe()
        try:
            self.pid = os.fork()
            if self.pid == 0:
                for fd in (self.outcome, *others):
                    if fd != -1:
                        os.close(fd)
                become(container, sockets, telling)
        finally:
            os.close(telling)
            for sock in sockets:
                sock.close()

    def answer(self) -> dict[str, Any]:
        """Wait until it is made, or is not: it tells so, and nothing at all if it was ended."""
        told = ""
        if self.outcome != -1:
            with os.fdopen(self.outcome) as lines:
                told = lines.read()
        if told == MADE:
            return {"pid": self.pid}
        if self.pid:
            os.waitpid(self.pid, 0)
        why = self.problem or told.removeprefix(MADE) or "it was ended while it was made"
        return {"error": why}


def become(container: dict[str, Any], sockets: list[Any], telling: int) -> NoReturn:
    """In the forked process: be the container, until its program ends."""
    code = 1
    try:
        os.setsid()
        unshare(CLONE_NEWNS | CLONE_NEWUTS, "mnt+uts")
        hostname = container["hostname"].encode()
        call("sethostname", hostname, len(hostname))
        call("mount", b"proc", b"/proc", b"proc", NOSUID_NODEV_NOEXEC, None)
        # A container's /sys is read-only, and shows the devices of its pod (runc does it so).
        call("mount", b"sysfs", b"/sys", b"sysfs", NOSUID_NODEV_NOEXEC | READ_ONLY, None)
        call("prctl", PR_SET_NAME, container["name"][:15].encode(), 0, 0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        if container["command"]:
            log = os.open(container["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            libc.signal(SIGPIPE, 0)  # which Python ignores, and whoever it becomes would too
            os.write(telling, MADE.encode())  # unless more is said before the program closes it
            os.execvp(container["command"][0], container["command"])
        name = container["pod"] or container["hostname"]
        serving = server.Server(name, container["name"], sockets)
        os.write(telling, MADE.encode())
        os.close(telling)
        serving.run()
    except (OSError, MemoryError) as error:
        os.write(telling, words(error).encode())
    finally:
        os._exit(code)


def words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def main() -> None:
    unshare(CLONE_NEWNS, "mnt")
    # `ip netns add` shares its folder with all copies; what is unmounted here must stay there.
    call("mount", b"none", b"/", None, REC_PRIVATE, None)
    call("umount2", b"/run/netns", MNT_DETACH)
    own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY)
    gc.freeze()  # so that a container shares the interpreter's memory as long as it can
    gc.disable()
    being_made: collections.deque[Making] = collections.deque()
    for line in sys.stdin:
        being_made.append(Making(json.loads(line), own_pids, being_made))
        if len(being_made) > AT_ONCE:
            print(json.dumps(being_made.popleft().answer()))
    for making in being_made:
        print(json.dumps(making.answer()))


if __name__ == "__main__":
    # Isolated mode (-I) leaves the program's own folder out of the path, so add just that.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import server  # type: ignore[import-not-found, unused-ignore]

    try:
        main()
    except BrokenPipeError:
        os._exit(1)  # the command that wanted containers was ended
