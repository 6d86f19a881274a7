"""Several VMs as the machines of an Ansible inventory: reached over ssh, joined by a wire.

Each has two interfaces: management by QEMU's user-mode networking, whose ssh is a port of this
machine's loopback, and the underlay, a wire that ends in the test. Nothing of this machine changes,
and root is not needed.
"""

import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.hosts.debian_packages import cache_folder, output, unpack
from tests.hosts.vm import DebianVM, Result
from tests.hosts.wire import Wire

REPOSITORY = Path(__file__).parents[2]
SSH_PACKAGES = ["openssh-server", "libwrap0"]
MANAGEMENT, UNDERLAY = "52:54:00:00:00:{:02x}", "52:54:00:00:01:{:02x}"

SSHD_CONFIG = """\
HostKey /run/sshd/host_key
AuthorizedKeysFile /run/sshd/authorized_keys
PidFile /run/sshd/pid
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
PrintMotd no
Subsystem sftp internal-sftp
SetEnv PATH={path}
"""

# Root gets a home of its own: bash would read this machine's ~/.bashrc for every ssh command.
START = """\
hostname {name}
for scope in all default; do  # no address that is tentative first
    echo 0 > /proc/sys/net/ipv6/conf/$scope/accept_dad
done
modprobe virtio_net
tries=0
until [ -e /sys/class/net/eth1 ]; do
    tries=$((tries + 1)); [ $tries -lt 100 ]; sleep 0.05
done
grep -q {management} /sys/class/net/eth0/address
grep -q {underlay} /sys/class/net/eth1/address
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
ip link set eth1 up
ip route add default via 10.0.2.2
mkdir -p /run/sshd /run/root /usr/lib/openssh
sed -i 's|^root:.*|root:x:0:0:root:/run/root:/bin/sh|; /^sshd:/d' /etc/passwd
echo 'sshd:x:100:65534::/run/sshd:/usr/sbin/nologin' >> /etc/passwd
sed -i 's|^root:[^:]*|root:*|' /etc/shadow
install -m 600 {folder}/host_key {folder}/authorized_keys {folder}/sshd_config /run/sshd
ln -sf {ssh}/usr/lib/openssh/* /usr/lib/openssh/
LD_LIBRARY_PATH=$(echo {ssh}/usr/lib/*-linux-gnu) {ssh}/usr/sbin/sshd -f /run/sshd/sshd_config
"""


class _VM(DebianVM):
    # Enough for a lab, and the code that QEMU has translated stays within bounds.
    accelerator = "tcg,thread=multi,tb-size=64"
    processors = 1
    memory = "256M"

    def __init__(self, network: list[str], monitor: Path) -> None:
        self._network = [*network, "-qmp", f"unix:{monitor},server=on,wait=off"]
        super().__init__()

    def _options(self, folder: Path, port: int) -> list[str]:
        return super()._options(folder, port) + self._network


@dataclass
class Machine:
    """One machine; it can be switched off and on again, and its cables pulled."""

    name: str
    number: int
    port: int  # of ssh, on 127.0.0.1
    folder: Path
    ssh: Path  # Debian's openssh-server, unpacked
    wire: Wire
    vm: DebianVM | None = None

    def start(self) -> None:
        """Boot it; returns once sshd listens."""
        management, underlay = (mac.format(self.number) for mac in (MANAGEMENT, UNDERLAY))
        user = f"user,id=management,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{self.port}-:22"
        network = ["-netdev", user, "-netdev", f"{self.wire.options(self.name)},id=underlay"]
        for device, mac in (("management", management), ("underlay", underlay)):
            network += ["-device", f"virtio-net-pci,id={device}-nic,netdev={device},mac={mac}"]
        self._monitor.unlink(missing_ok=True)
        self.vm = _VM(network, self._monitor)
        words = {"management": management, "underlay": underlay, "name": self.name}
        script = START.format(folder=self.folder, ssh=shlex.quote(str(self.ssh)), **words)
        self.run(script).check()

    @property
    def _monitor(self) -> Path:
        return self.folder / f"monitor-{self.name}"

    def run(self, script: str, timeout: float = 60) -> Result:
        """Run a shell script there, as root, by no network."""
        assert self.vm is not None, f"{self.name} is off"
        return self.vm.run(script, timeout)

    def power_off(self) -> None:
        """As a power cut: nothing in it gets to know."""
        if self.vm is not None:
            self.vm.close()
            self.vm = None

    def set_link(self, cable: str, up: bool) -> None:
        """Plug in or pull a cable: `management` or `underlay`."""
        self._tell("set_link", name=f"{cable}-nic", up=up)

    def stop(self, stopped: bool) -> None:
        """Have it hang, or go on."""
        self._tell("stop" if stopped else "cont")

    def _tell(self, command: str, **arguments: Any) -> None:
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(10)
            monitor.connect(str(self._monitor))
            with monitor.makefile("rw") as stream:
                stream.readline()  # its greeting
                for name, given in (("qmp_capabilities", {}), (command, arguments)):
                    print(json.dumps({"execute": name, "arguments": given}), file=stream)
                    stream.flush()
                    answer = {"event": ""}
                    while "event" in answer:
                        answer = json.loads(stream.readline())
                    assert "return" in answer, answer


class Machines:
    """So many machines, `vm-1` and so on, and the netlab that reaches them: a context manager."""

    def __init__(self, count: int = 2) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="netlab-vms-")
        folder = Path(self._folder.name)
        ssh = unpack(cache_folder() / "openssh-server", lambda: SSH_PACKAGES)
        for key in ("host_key", "key"):
            output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key))
        (folder / "authorized_keys").write_text((folder / "key.pub").read_text())
        # Not the environment of the tests: a machine has no netlab before it is given one.
        path = f"{Path(sys.executable).resolve().parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        (folder / "sshd_config").write_text(SSHD_CONFIG.format(path=path))
        self.wire = Wire(folder)
        self.all: list[Machine] = []
        self.inventory = folder / "inventory.ini"
        for _ in range(count):
            self._add(folder, ssh)
        self._environment = os.environ | {
            "NETLAB_STATE": str(folder / "state"),
            "PYTHONPATH": str(REPOSITORY),
            # ansible-inventory is looked for there.
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def add(self) -> None:
        """One more, booted."""
        self._add(self.all[0].folder, self.all[0].ssh)
        self.start()

    def _add(self, folder: Path, ssh: Path) -> None:
        number = len(self.all) + 1
        self.all.append(Machine(f"vm-{number}", number, _free_port(), folder, ssh, self.wire))
        self.inventory.write_text("".join(map(self._line, self.all)))

    def _line(self, machine: Machine) -> str:
        """A machine in the inventory. Its key is new with every run, so nobody can know it."""
        options = "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o LogLevel=ERROR"
        key = machine.folder / "key"
        return (
            f"{machine.name} ansible_host=127.0.0.1 ansible_port={machine.port} ansible_user=root"
            f" ansible_ssh_private_key_file={key} ansible_ssh_common_args='{options}'\n"
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start `netlab` here, the controller."""
        return subprocess.Popen(
            [sys.executable, "-m", "netlab", *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def netlab(self, *words: str, timeout: float = 300) -> Result:
        """Run `netlab` here, the controller."""
        return finished(self.begin(*words), timeout)

    def start(self) -> None:
        """Boot all that are off, at the same time."""
        off = [machine for machine in self.all if machine.vm is None]
        with ThreadPoolExecutor(len(self.all)) as threads:
            list(threads.map(Machine.start, off))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        for machine in self.all:
            machine.power_off()
        self.wire.close()
        self._folder.cleanup()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def finished(process: subprocess.Popen[str], timeout: float) -> Result:
    """What a command said; ended by force, and an error, if it takes longer."""
    try:
        said, problems = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return Result(process.returncode, said, problems)


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
        return port
