"""The process containers are forked from: started once, lean, so that a fork is cheap.

It reads one JSON line a container from standard input and answers each with one on standard
output. A container is process 1 of a PID namespace, with mount and UTS namespaces of its own, in
the network namespace of its pod. Run as a program inside the sandbox; see `containers.py`.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x20000000, 0x40000000
READ_ONLY, NOSUID_NODEV_NOEXEC, REC_PRIVATE, MNT_DETACH, PR_SET_NAME = 0x1, 0xE, 0x44000, 2, 15
SIGPIPE = 13
# Names are bind mounts in the keeper's mount namespace; this process keeps none of them in its
# own, since every container's mount namespace is a copy of it.
NAMES = "/proc/1/root/run/netns"

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def start(container: dict[str, Any], own_pids: int) -> int:
    """Fork one container; returns its process id in the sandbox. Raises OSError."""
    pod = os.open(f"{NAMES}/{container['namespace']}", os.O_RDONLY)
    call("setns", pod, CLONE_NEWNET)
    os.close(pod)
    # Listening before the fork: once the answer is read, the container can be asked.
    sockets = []
    if not container["command"]:
        sockets = server.listen(container["port"], container["local_port"])
    call("setns", own_pids, CLONE_NEWPID)
    call("unshare", CLONE_NEWPID)
    outcome, failure = os.pipe()
    pid = os.fork()
    if pid == 0:
        become(container, sockets, failure)
    os.close(failure)
    for sock in sockets:
        sock.close()
    with os.fdopen(outcome) as lines:
        # Whether a program can be run is known when the pipe closes; the server can be.
        problem = lines.read() if container["command"] else ""
    if problem:
        os.waitpid(pid, 0)
        raise OSError(0, problem)
    return pid


def become(container: dict[str, Any], sockets: list[Any], failure: int) -> NoReturn:
    """In the forked process: be the container, until its program ends."""
    code = 1
    try:
        os.setsid()
        call("unshare", CLONE_NEWNS | CLONE_NEWUTS)
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
            os.execvp(container["command"][0], container["command"])
        os.close(failure)
        server.Server(container["pod"] or container["hostname"], container["name"], sockets).run()
    except OSError as error:
        os.write(failure, (error.strerror or str(error)).encode())
    finally:
        os._exit(code)


def main() -> None:
    call("unshare", CLONE_NEWNS)
    # `ip netns add` shares its folder with all copies; what is unmounted here must stay there.
    call("mount", b"none", b"/", None, REC_PRIVATE, None)
    call("umount2", b"/run/netns", MNT_DETACH)
    own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY)
    gc.freeze()  # so that a container shares the interpreter's memory as long as it can
    gc.disable()
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"pid": start(json.loads(line), own_pids)}
        except OSError as error:
            answer = {"error": error.strerror or str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    # Isolated mode (-I) leaves the program's own folder out of the path, so add just that.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import server  # type: ignore[import-not-found, unused-ignore]

    try:
        main()
    except BrokenPipeError:
        os._exit(1)  # the command that wanted containers was ended
