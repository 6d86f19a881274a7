"""Machines for tests that are no VMs: network namespaces, reached by an `ssh` that is a script.

Each has a link `eth0` to nowhere and `eth1` on the underlay, a state folder of its own, and shares
the rest with the tests' host. The underlay is one switch, or a router with a link to each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kernel import host
from tests.kernel.conftest import assert_untouched, untouched

UNDERLAY = "machines"  # the namespace that joins them
Make = Callable[..., "Machines"]
# With the arguments that ssh has. There is a file `NAME.down` for a machine that refuses them, and
# `NAME.hung` for one that does not go on with what Ansible does there.
SSH = """#!/bin/sh
while getopts 46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w: option; do
    case $option in O) exit 0 ;; esac
done
shift $((OPTIND - 1))
machine=$1
shift
if [ -e "{folder}/$machine.down" ]; then
    echo "ssh: connect to host $machine port 22: Connection refused" >&2
    exit 255
fi
case "$*" in *ansible-tmp*) [ ! -e "{folder}/$machine.hung" ] || exec sleep 60 ;; esac
NETLAB_STATE="{folder}/$machine" exec nsenter --net="/run/netns/$machine" -- sh -c "$*"
"""


@dataclass(frozen=True)
class Machines:
    """`inventory` is a file for Ansible; `names` are the machines in its order."""

    folder: Path
    names: tuple[str, ...]

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.json"

    def state(self, name: str) -> Path:
        """The folder of a machine's labs."""
        return self.folder / name

    def ip(self, name: str, *arguments: str) -> str:
        """What `ip ARGUMENTS` prints on a machine."""
        command = ["ip", "-n", name, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    @property
    def settled(self) -> bool:
        """Whether the kernel has told all that it has to of the links' states."""
        awaited = {"eth0": "LOWERLAYERDOWN", "eth1": "UP"}
        found = [json.loads(self.ip(name, "-j", "link")) for name in self.names]
        states = [{link["ifname"]: link["operstate"] for link in links} for links in found]
        return all(awaited.items() <= one.items() for one in states)

    def snapshot(self, name: str) -> tuple[str, ...]:
        """The machine's own network as `ip` shows it."""
        return tuple(self.ip(name, "-j", what) for what in ("link", "address", "route", "neigh"))

    def down(self, name: str, down: bool = True) -> None:
        """From now on connections to it are refused, or are not."""
        mark = self.folder / f"{name}.down"
        mark.touch() if down else mark.unlink()

    def hang(self, name: str) -> None:
        """From now on what Ansible does there takes a minute."""
        (self.folder / f"{name}.hung").touch()

    def processes(self) -> dict[str, list[int]]:
        """What was started on each machine and is still there, labs' keepers included."""
        return {name: host.processes(self.state(name)) for name in self.names}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which netlab is put, once for all machines."""
    return tmp_path_factory.mktemp("netlab")


@pytest.fixture
def machines(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[Make]:
    """Make machines: `machines("vm-1", "vm-2", routed=False, addressed=False)`.

    Addressed ones have 172.30.0.N at eth1; routed ones 172.30.N.2, and a router in between.
    """
    untouched()
    with ExitStack() as after:

        def make(*names: str, routed: bool = False, addressed: bool = False) -> Machines:
            made = Machines(tmp_path_factory.mktemp("machines"), names or ("vm-1", "vm-2"))
            after.callback(_remove, made)
            _build(made, routed, addressed)
            _write(made, prepared)
            return made

        yield make
    assert_untouched()


def _build(made: Machines, routed: bool, addressed: bool) -> None:
    lines = [f"ip netns add {UNDERLAY}", f"ip -n {UNDERLAY} link set lo up"]
    if routed:
        lines += [f"ip netns exec {UNDERLAY} sysctl -qw net.ipv4.ip_forward=1"]
    else:
        lines += [f"ip -n {UNDERLAY} link add switch up type bridge mcast_snooping 0"]
    for number, name in enumerate(made.names, 1):
        mac = f"02:00:00:00:01:{number:02x}"
        lines += [
            f"ip netns add {name}",
            # Silent: IPv6 would go on sending for a while.
            f"ip netns exec {name} sysctl -qw net.ipv6.conf.default.disable_ipv6=1",
            f"ip -n {name} link set lo up",
            f"ip -n {name} link add eth0 up type veth peer name unused",
            f"ip -n {name} link add eth1 up address {mac} type veth "
            f"peer name {name} netns {UNDERLAY}",
            f"ip -n {UNDERLAY} link set {name} up" + ("" if routed else " master switch"),
        ]
        if routed:
            lines += [
                f"ip -n {UNDERLAY} address add 172.30.{number}.1/24 dev {name}",
                f"ip -n {name} address add 172.30.{number}.2/24 dev eth1",
                f"ip -n {name} route add 172.30.0.0/16 via 172.30.{number}.1",
            ]
        elif addressed:
            lines += [f"ip -n {name} address add 172.30.0.{number}/24 dev eth1"]
    subprocess.run(["sh", "-euc", "\n".join(lines)], check=True)
    deadline = time.monotonic() + 5
    while not made.settled:
        assert time.monotonic() < deadline  # the kernel's link watch takes up to a second
        time.sleep(0.05)


def _write(made: Machines, prepared: Path) -> None:
    ssh = made.folder / "ssh"
    ssh.write_text(SSH.format(folder=made.folder))
    ssh.chmod(0o755)
    variables = {
        "ansible_ssh_executable": str(ssh),
        "ansible_python_interpreter": sys.executable,
        "netlab_underlay": "eth1",
        "netlab_folder": str(prepared),
    }
    hosts = dict.fromkeys(made.names)
    made.inventory.write_text(json.dumps({"all": {"hosts": hosts, "vars": variables}}))


def _remove(made: Machines) -> None:
    for name in made.names:
        for pid in host.processes(made.state(name)):
            subprocess.run(["kill", "-KILL", str(pid)], check=False, capture_output=True)
    for name in (*made.names, UNDERLAY):
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
