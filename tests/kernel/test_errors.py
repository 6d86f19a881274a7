"""Every user's mistake and every unmet need: one sentence, the right exit code, nothing left."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel import host
from tests.kernel.conftest import COMMAND, Netlab


def refused(netlab: Netlab, code: int, *arguments: str) -> str:
    """Run what must fail; returns the one sentence it said."""
    result = netlab.run(*arguments)
    assert result.code == code, (result.out, result.err)
    assert result.out == ""
    assert "Traceback" not in result.err
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("netlab: ")
    assert lines[0].endswith((".", "?"))
    host.assert_nothing_left(netlab.state)
    return lines[0]


def test_unknown_topology_names_the_nearest(netlab: Netlab) -> None:
    assert "flannel-vxlan" in refused(netlab, 2, "up", "flanel-vxlan")


def test_unknown_option_names_the_nearest(netlab: Netlab) -> None:
    words = refused(netlab, 2, "up", "flannel-vxlan", "--set", "underley=10.0.0.0/24")
    assert "underlay" in words


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("topology = 5", "Cluster"),
        ("nothing = 1", "topology"),
        ("def topology(:", "line"),
        ("import no_such_module", "no_such_module"),
        ("class Odd(BaseException): pass\nraise Odd", "Odd"),
        ("async def topology(): pass", "coroutine"),
        ("topology = Cluster(nodes=[Node(), 'x'])", "'x'"),
        ("Container('c', 'sleep 5')", "('sleep', '5')"),
    ],
)
def test_a_topology_file_that_is_wrong(
    netlab: Netlab, topology: Callable[[str], str], source: str, words: str
) -> None:
    path = topology(source)
    sentence = refused(netlab, 2, "up", path)
    assert words in sentence
    assert path in sentence


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["cluster_cidr=192.168.0.0/16"], "overlap"),
        (["service_cidr=10.244.0.0/16"], "overlap"),
        (["cluster_cidr=10.244.0.0/25"], "node mask"),
        (["cluster_cidr=10.244.0.0/23"], "holds 2 nodes of /24, not 3"),
        (["node_mask=30", "cluster_cidr=10.244.0.0/24"], "holds 1 pods, not 2"),
        (["underlay=192.168.0.0/30"], "too small"),
        (["cluster_cidr=10.244.0.1/16"], "host bits"),
        (["cluster_cidr=nonsense"], "not an IPv4 network"),
        (["cluster_cidr=224.0.0.0/16"], "multicast"),
        (["underlay=127.0.1.0/24"], "loopback"),
        (["nodes=99999999999"], "holds 256 nodes"),
        (["pods_per_node=99999999999"], "holds 253 pods"),
        (["containers=99999999999"], "holds 1920 containers"),
        (["underlay_mtu=32769"], "between 576 and 32768"),
        (["dataplane=flannel-vlan"], "did you mean"),
        (["underlay=192.168.1.0/24,192.168.2.0/24", "dataplane=flannel-host-gw"], "next hop"),
    ],
)
def test_addresses_that_cannot_be(netlab: Netlab, settings: list[str], words: str) -> None:
    options = [part for setting in settings for part in ("--set", setting)]
    assert words in refused(netlab, 2, "up", "flannel-vxlan", *options)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("topology = Cluster(nodes=[Node('a'), Node('a')])", "'a'"),
        ("topology = Cluster(nodes=[Node('a', pods=[Pod('x'), Pod('x')])])", "'x'"),
        ("topology = Cluster(nodes=[Node('a', pods=[Pod('a')])])", "'a'"),
        ("topology = Cluster(nodes=[Node('a' * 254)])", "253"),
        ("topology = Cluster(nodes=[Node('')])", "name"),
        ("topology = Cluster(nodes=[Node('No_Label')])", "DNS subdomain"),
        ("topology = Cluster(nodes=[Node(address='10.0.0.1')])", "underlay"),
        ("topology = Cluster(nodes=[Node(pod_cidr='10.9.0.0/24')])", "outside the cluster"),
    ],
)
def test_names_and_nodes_that_cannot_be(
    netlab: Netlab, topology: Callable[[str], str], source: str, words: str
) -> None:
    assert words in refused(netlab, 2, "up", topology(source))


def test_capacity_is_exact(netlab: Netlab) -> None:
    options = ("--nodes", "1", "--set", "containers=0", "--no-verify")
    assert "253 pods, not 254" in refused(
        netlab, 2, "up", "flannel-vxlan", "--pods-per-node", "254", *options
    )
    assert netlab.run("up", "flannel-vxlan", "--pods-per-node", "253", *options).code == 0


@pytest.mark.parametrize("dataplane", ["flannel-vxlan", "flannel-host-gw"])
@pytest.mark.parametrize("mtu", [576, 32768])
def test_every_underlay_mtu_that_is_accepted_can_be_proved(
    netlab: Netlab, dataplane: str, mtu: int
) -> None:
    report = netlab.ok("up", dataplane, "--nodes", "2", "--set", f"underlay_mtu={mtu}")
    assert report["ok"]


def test_a_file_that_prints_leaves_the_document_alone(
    netlab: Netlab, topology: Callable[[str], str]
) -> None:
    path = topology(
        "import os\nprint('one')\nos.write(1, b'two\\n')\nos.system('echo three')\n"
        "def topology():\n    print('four')\n    return Cluster(nodes=1)"
    )
    result = netlab.run("--json", "plan", path)
    assert result.json["topology"] == "mine"
    assert sorted(result.err.split()) == ["four", "one", "three", "two"]


def test_no_such_lab(netlab: Netlab) -> None:
    inside = (["exec", "pod-1-1", "--", "true"], ["logs", "node-1"], ["shell"])
    for command in (["down"], ["status"], ["verify"], ["diff"], *inside):
        assert "netlab up" in refused(netlab, 4, *command)
        assert "'nosuch'" in refused(netlab, 4, *command[:1], "-l", "nosuch", *command[1:])


def test_unknown_target_container_and_program(netlab: Netlab) -> None:
    netlab.ok("up", "flannel-vxlan", "--no-verify")
    for arguments, words in (
        (["exec", "pod-1-9", "--", "true"], "pod-1-"),
        (["exec", "pod-1-1", "-c", "container-3", "--", "true"], "container-1"),
        (["exec", "pod-1-1", "--", "no-such-program"], "no-such-program"),
        (["shell", "nod-1"], "node-1"),
    ):
        result = netlab.run(*arguments)
        assert result.code == 2
        assert words in result.err
        assert len(result.err.splitlines()) == 1


def test_program_of_a_container_that_is_not_there(
    netlab: Netlab, topology: Callable[[str], str]
) -> None:
    path = topology(
        "topology = Cluster(nodes=[Node(pods=[Pod(containers=(Container('c', ('nowhere',)),))])])"
    )
    assert "'nowhere'" in refused(netlab, 3, "up", path)


def test_bad_command_lines(netlab: Netlab) -> None:
    refused(netlab, 2, "upp", "flannel-vxlan")
    refused(netlab, 2, "up", "flannel-vxlan", "--nodes", "many")
    refused(netlab, 2, "up", "flannel-vxlan", "--nodes", "0")
    refused(netlab, 2, "up", "flannel-vxlan", "--set", "nodes")
    refused(netlab, 2, "up")
    refused(netlab, 2, "up", "flannel-vxlan", "-l", "a/b")
    refused(netlab, 2, "ipcalc", "10.0.0.0")


def test_a_missing_library_is_an_unmet_need(netlab: Netlab, tmp_path: Path) -> None:
    """Without libnftables `up` must name it and the package, and change nothing."""
    library = next(Path("/usr/lib").rglob("libnftables.so.1"))
    empty = tmp_path / "empty"
    empty.touch()
    # Hidden in a mount namespace of its own: the host keeps its file.
    script = (
        f"mount --bind {empty} {library.resolve()} && exec {' '.join(COMMAND)} up flannel-vxlan"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=netlab.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr
    assert "nftables" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    host.assert_nothing_left(netlab.state)


def test_not_root_and_no_user_namespaces(netlab: Netlab, tmp_path: Path) -> None:
    """The kernel refuses user namespaces in a chroot: a host without them, as far as one sees."""
    root = tmp_path / "root"
    root.mkdir()
    python = shutil.which("python3", path="/usr/bin")
    assert python, "a Python that every user may run is needed in /usr/bin"
    packages = world_readable(tmp_path)
    script = (
        f"mount --rbind / {root} && exec chroot --userspec=65534:65534 {root} env "
        f"PYTHONPATH={packages} NETLAB_STATE=/tmp/netlab-none {python} -m netlab up flannel-vxlan"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True
    )
    shutil.rmtree(packages)
    assert done.returncode == 3, done.stderr
    assert "sudo" in done.stderr
    assert "user namespaces" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not os.path.exists("/tmp/netlab-none")


def in_chroot(netlab: Netlab, prepare: str, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in a chroot that `prepare` furnishes as $ROOT; both in private mounts."""
    root = netlab.state.parent / "root"
    root.mkdir()
    script = f'{prepare}\nexec chroot "$ROOT" sh -c "$COMMAND"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-euc", script],
        env=netlab.environment | {"ROOT": str(root), "COMMAND": command},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_lab_in_a_chroot_sees_the_files_of_the_chroot(netlab: Netlab) -> None:
    """Who enters a mount namespace gets the root of that namespace, not that of its processes."""
    done = in_chroot(
        netlab,
        'mount --rbind / "$ROOT"; mount -t tmpfs none "$ROOT/mnt"; echo mine > "$ROOT/mnt/mark"',
        f"{(run := ' '.join(COMMAND))} up flannel-vxlan >&2 && {run} exec node-1 -- cat /mnt/mark"
        f" && {run} exec pod-1-1 -- cat /mnt/mark && {run} down >&2",
    )
    assert (done.returncode, done.stdout) == (0, "mine\n" * 2), done.stderr


def test_a_chroot_that_is_no_mount_is_an_unmet_need(netlab: Netlab) -> None:
    done = in_chroot(
        netlab,
        """for entry in /*; do
            if [ -L "$entry" ]; then
                cp -P "$entry" "$ROOT$entry"
            elif [ -d "$entry" ]; then
                mkdir "$ROOT$entry"
                mount --rbind "$entry" "$ROOT$entry"
            fi
        done""",
        f"exec {' '.join(COMMAND)} up flannel-vxlan",
    )
    assert done.returncode == 3, done.stderr
    assert "mount --bind" in done.stderr
    assert "veth" not in done.stderr, "what could not be tried is not said to lack"
    assert len(done.stderr.splitlines()) == 1
    host.assert_nothing_left(netlab.state)


def world_readable(folder: Path) -> Path:
    """A copy of netlab and what it needs, which every user may read."""
    import click
    import msgspec
    import pyroute2
    import scapy

    import netlab

    target = Path("/tmp") / f"netlab-test-{folder.parent.name}-{folder.name}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o755)
    ignore = shutil.ignore_patterns("__pycache__", "contrib", "modules", "tools")
    for module in (netlab, click, msgspec, pyroute2, scapy):
        source = Path(module.__path__[0])
        shutil.copytree(source, target / source.name, ignore=ignore)
    shipped = Path(netlab.__path__[0]).parent / "topologies"
    shutil.copytree(shipped, target / "topologies")
    subprocess.run(["chmod", "-R", "a+rX", target], check=True)
    return target
