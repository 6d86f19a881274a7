"""A virtual machine that runs Debian's own kernel over this machine's files.

The kernel that runs the tests may lack modules (ipip, ip_vs, netem…) that every Debian machine has.
Here QEMU, in pure emulation so that it needs nothing of the machine, boots the kernel that Debian
ships; commands go in and results come out over a virtio-serial port.
"""

import json
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.hosts import debian_kernel

T = TypeVar("T")
PORT = "netlab.agent"
AGENT = Path(__file__).with_name("agent.py")
KERNEL_ARGUMENTS = "console=ttyS0 loglevel=4 panic=-1 mitigations=off random.trust_cpu=on"


class VMError(RuntimeError):
    """The VM did not start, died, or did not answer in time."""


@dataclass(frozen=True)
class Result:
    returncode: int
    stdout: str
    stderr: str

    def check(self) -> str:
        """Standard output; fails, showing what was said, if the command failed."""
        said = f"{self.stdout[-8000:]}\n{self.stderr[-8000:]}"
        assert self.returncode == 0, f"exit {self.returncode}\n{said}"
        return self.stdout


def settled(look: Callable[[], T], wanted: T | None = None, seconds: float = 40) -> T:
    """What is seen once it is as wanted, or is the same twice; after so many seconds as it is.

    What ends or begins by itself takes its time on a slow machine: a process, a module's helper.
    """
    deadline = time.monotonic() + seconds
    before, seen = wanted, look()
    while seen != before and time.monotonic() < deadline:
        before = seen if wanted is None else wanted
        time.sleep(0.5)
        seen = look()
    return seen


class DebianVM:
    """A running VM: a context manager, with `run` for each command."""

    accelerator = "tcg,thread=multi"
    processors = 2
    memory = "2G"

    def __init__(self, boot_timeout: float = 180) -> None:
        qemu = shutil.which("qemu-system-x86_64")
        if qemu is None:
            raise VMError("qemu-system-x86_64 is missing: `sudo ./bootstrap tests` installs it")
        self.kernel = debian_kernel.fetch()
        self._folder = tempfile.TemporaryDirectory(prefix="netlab-vm-")
        folder = Path(self._folder.name)
        self._console = folder / "console.log"
        agent = [sys.executable, "-I", str(AGENT), PORT]
        (folder / "initramfs").write_bytes(debian_kernel.initramfs(self.kernel, agent))
        self._socket, remote = socket.socketpair()
        self._pending = b""
        started = time.monotonic()
        with remote:
            self._process = subprocess.Popen(
                [qemu, *self._options(folder, remote.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[remote.fileno()],
            )
        try:
            self._answer(boot_timeout)
        except BaseException:
            self.close()
            raise
        self.boot_seconds = time.monotonic() - started

    def _options(self, folder: Path, port: int) -> list[str]:
        options = {
            "machine": ["q35"],
            "accel": [self.accelerator],
            "cpu": ["max"],
            "smp": [str(self.processors)],
            "m": [self.memory],
            "display": ["none"],
            "kernel": [str(self.kernel.image)],
            "initrd": [str(folder / "initramfs")],
            "append": [KERNEL_ARGUMENTS],
            "fsdev": ["local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"],
            "chardev": [f"file,id=console,path={self._console}", f"socket,id=agent,fd={port}"],
            "serial": ["chardev:console"],
            "device": [
                "virtio-9p-pci,fsdev=root,mount_tag=root",
                "virtio-serial-pci",
                f"virtserialport,chardev=agent,name={PORT}",
            ],
        }
        words = ["-nodefaults", "-no-user-config", "-no-reboot"]
        for name, values in options.items():
            for value in values:
                words += [f"-{name}", value]
        return words

    def run(self, script: str, timeout: float = 180, *, user: int = 0) -> Result:
        """Run a shell script inside the VM; exit code 124 says that it took too long."""
        argv = ["timeout", "-k", "5", str(timeout), "sh", "-euc", script]
        environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/run",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if user:
            drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]
            argv = drop + argv
            environment["HOME"] = environment["XDG_RUNTIME_DIR"] = f"/run/user/{user}"
        request = {"argv": argv, "environment": environment}
        self._socket.settimeout(10)
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        return Result(**self._answer(timeout + 20))

    def add_user(self, user: int) -> None:
        """What a login would give this user, and a way to the programs in a closed home folder.

        The interpreter and this checkout may lie below a folder that only its owner can enter.
        Inside the VM that is opened; the machine's own folder is not touched.
        """
        programs = (Path(sys.executable), Path(sys.executable).resolve(), Path(__file__))
        folders = {str(folder) for program in programs for folder in program.parents}
        self.run(
            f"install -d -m 700 -o {user} -g {user} /run/user/{user}\n"
            f"chmod a+rx {shlex.join(sorted(folders))}"
        ).check()

    def _answer(self, timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            self._socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                chunk = self._socket.recv(1 << 20)
            except TimeoutError:
                raise VMError(f"no answer within {timeout:.0f} s\n{self.console()}") from None
            if not chunk:
                raise VMError(f"the VM ended\n{self.console()}")
            self._pending += chunk
        line, self._pending = self._pending.split(b"\n", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def console(self, lines: int = 40) -> str:
        """The last lines that the kernel (or QEMU itself) printed."""
        text = self._console.read_text(errors="replace") if self._console.exists() else ""
        if self._process.poll() is not None and self._process.stderr is not None:
            text += self._process.stderr.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def close(self) -> None:
        self._process.kill()  # nothing in it is worth saving
        self._process.communicate()
        self._socket.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
