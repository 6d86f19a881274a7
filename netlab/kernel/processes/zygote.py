"""The process containers are forked from: started once, lean, so that a fork is cheap.

It reads lists of containers, as `marshal` writes them, from standard input, and says on standard
output which process each has become: `pid NUMBER PID`, as they are counted. That process says
`error NUMBER WORDS` there if it cannot be the container. When all have closed standard output,
every container is made, or has said why not: they make themselves side by side.

A container is process 1 of a PID namespace, with mount and UTS namespaces of its own, in the
network namespace of its pod. What costs is memory: a fork copies the page tables, and then each
side copies the pages that it writes, to count references too. Hence there is little here to import,
and what a container needs is looked up and done once before. Run as a program inside the sandbox;
see `containers.py`.
"""

from __future__ import annotations

import ctypes
import gc
import marshal
import os
import select
import sys

TYPE_CHECKING = False  # as mypy takes it; `typing` is of more than all of the others together
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x20000000, 0x40000000
READ_ONLY, NOSUID_NODEV_NOEXEC, BIND = 0x1, 0xE, 0x1000
REC_PRIVATE, MNT_DETACH, PR_SET_NAME = 0x44000, 2, 15
SIGPIPE = 13
AT_ONCE = 4  # containers that make themselves: more would take the processors from whoever builds
PATIENCE = 1000  # milliseconds for one of them, which may have been killed
# Names are bind mounts in the keeper's mount namespace; this process keeps none of them in its
# own, since every container's mount namespace is a copy of it.
NAMES = "/proc/1/root/run/netns"
FILES = "/run/pods"  # a folder for each pod, with the files under /etc of its containers
ETC = ("hosts", "hostname", "resolv.conf")

libc = ctypes.CDLL(None, use_errno=True)


# Looked up here, and so not by each container.
CALLS = {
    name: libc[name] for name in ("setns", "unshare", "sethostname", "mount", "umount2", "prctl")
}


def call(name: str, *arguments: Any) -> None:
    if CALLS[name](*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def unshare(flags: int, kinds: str) -> None:
    """Make namespaces of these kinds, which sysctls such as user.max_mnt_namespaces limit."""
    if libc.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"unshare {kinds}: {os.strerror(code)}")


class Zygote:
    """What is the same for all containers."""

    def __init__(self) -> None:
        unshare(CLONE_NEWNS, "mnt")
        # `ip netns add` shares its folder with all copies; what is unmounted here must stay there.
        call("mount", b"none", b"/", None, REC_PRIVATE, None)
        call("umount2", b"/run/netns", MNT_DETACH)
        self.own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY)
        self.places = {name: place for name in ETC if (place := place_of(f"/etc/{name}"))}
        os.makedirs(FILES, exist_ok=True)
        self.turn, self.done = os.pipe()
        os.write(self.done, b"." * AT_ONCE)
        self.turns = select.poll()
        self.turns.register(self.turn, select.POLLIN)

    def start(self, container: dict[str, Any]) -> int:
        """Fork one container; returns its process id in the sandbox. Raises OSError."""
        if self.turns.poll(PATIENCE):
            os.read(self.turn, 1)
        call("setns", self.own_pids, CLONE_NEWPID)
        unshare(CLONE_NEWPID, "pid")
        pid = os.fork()
        if pid == 0:
            self.become(container)
        return pid

    def become(self, container: dict[str, Any]) -> NoReturn:
        """In the forked process: be the container, until its program ends."""
        answers = os.dup(1)  # which a program that is executed does not get
        try:
            os.setsid()
            pod = os.open(f"{NAMES}/{container['namespace']}", os.O_RDONLY)
            call("setns", pod, CLONE_NEWNET)
            os.close(pod)
            unshare(CLONE_NEWNS | CLONE_NEWUTS, "mnt+uts")
            hostname = container["hostname"].encode()
            call("sethostname", hostname, len(hostname))
            self.mount(container["namespace"])
            call("prctl", PR_SET_NAME, container["name"][:15].encode(), 0, 0, 0)
            if container["command"]:
                self.execute(container)
            self.serve(container, answers)
        except (OSError, MemoryError) as error:
            say(answers, f"error {container['number']} {words(error)}")
            os.write(self.done, b".")
        finally:
            os._exit(1)

    def mount(self, pod: str) -> None:
        call("mount", b"proc", b"/proc", b"proc", NOSUID_NODEV_NOEXEC, None)
        # A container's /sys is read-only, and shows the devices of its pod (runc does it so).
        call("mount", b"sysfs", b"/sys", b"sysfs", NOSUID_NODEV_NOEXEC | READ_ONLY, None)
        for name, place in self.places.items():
            call("mount", f"{FILES}/{pod}/{name}".encode(), place, None, BIND, None)

    def execute(self, container: dict[str, Any]) -> NoReturn:
        log = os.open(container["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for fd, number in ((null, 0), (log, 1), (log, 2)):
            os.dup2(fd, number)
        libc.signal(SIGPIPE, 0)  # which Python ignores, and whoever it becomes would too
        os.write(self.done, b".")
        command = container["command"]
        os.execvpe(command[0], command, container["environment"])

    def serve(self, container: dict[str, Any], answers: int) -> None:
        """Be the server; it listens before standard output is closed."""
        sockets = server.listen(container["port"], container["local_port"])
        own = server.Server(container["pod"] or container["hostname"], container["name"], sockets)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2, answers):
            os.dup2(null, fd)
        os.write(self.done, b".")
        for fd in (self.turn, self.done, self.own_pids):
            os.close(fd)
        own.run()


def place_of(path: str) -> bytes:
    """Where a file is mounted over `path`; empty where nothing can be, as nothing is there.

    A link may lead into /run, which is the sandbox's own and empty.
    """
    real = os.path.realpath(path)
    if real.startswith("/run/"):
        os.makedirs(os.path.dirname(real), exist_ok=True)
        os.close(os.open(real, os.O_WRONLY | os.O_CREAT, 0o644))
    return os.fsencode(real) if os.path.isfile(real) else b""


def write(pod: str, files: dict[str, str]) -> None:
    """Write a pod's files in place: containers of it that run have them mounted."""
    folder = f"{FILES}/{pod}"
    if not os.path.isdir(folder):
        os.mkdir(folder)
    for name, text in files.items():
        fd = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(fd, text.encode())
        os.close(fd)


def wanted() -> Iterator[list[dict[str, Any]]]:
    """The containers, as they come; the files of their pods are there."""
    while containers := next_part():
        for pod, files in {one["namespace"]: one["files"] for one in containers}.items():
            write(pod, files)
        yield containers


def next_part() -> list[dict[str, Any]]:
    try:
        part: list[dict[str, Any]] = marshal.load(sys.stdin.buffer)
    except EOFError:
        return []
    return part


def say(fd: int, line: str) -> None:
    """Write a line at once: others write there too."""
    os.write(fd, f"{line}\n".encode())


def words(error: BaseException) -> str:
    """What is wrong, on one line."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def main() -> None:
    zygote = Zygote()
    server.Server("", "", server.listen(0, 0)).close()  # what is done for the first time costs most
    gc.freeze()  # so that a container shares the interpreter's memory as long as it can
    gc.disable()
    for number, container in enumerate(one for part in wanted() for one in part):
        container["number"] = number
        try:
            say(1, f"pid {number} {zygote.start(container)}")
        except (OSError, MemoryError) as error:
            say(1, f"error {number} {words(error)}")


if __name__ == "__main__":
    # Isolated mode (-I) leaves the program's own folder out of the path, so add just that.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import server  # type: ignore[import-not-found, unused-ignore]

    try:
        main()
    except BrokenPipeError:
        os._exit(1)  # the command that wanted containers was ended
