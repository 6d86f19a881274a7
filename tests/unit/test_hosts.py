"""Machines: what inventories and Vagrant say, ssh's command line and its words, messages."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from netlab.errors import BadInput, LabUnavailable, NetlabError, Unmet
from netlab.hosts import package, tethered, vagrant
from netlab.hosts.inventory import Host, hosts, read
from netlab.hosts.machine import Facts, LinkFacts
from netlab.hosts.protocol import (
    Reply,
    Request,
    Tell,
    failure,
    given_of,
    line,
    raised,
    raw,
    value_of,
)
from netlab.hosts.ssh import Way, cause
from netlab.hosts.underlay import underlay
from netlab.kernel.lab import InUse
from netlab.kernel.lab import root as folders
from netlab.plan.machines import Machine

FOLDER = Path("/tmp/netlab-x")
DOCUMENT = {
    "_meta": {"hostvars": {"b": {"ansible_host": "192.0.2.2"}, "a": {}, "c": {}}},
    "all": {"children": ["ungrouped", "labs"]},
    "labs": {"hosts": ["b", "a"]},
    "ungrouped": {"hosts": ["c", "b"]},
}


def test_machines_come_in_the_inventory_s_order_each_once() -> None:
    found = hosts(DOCUMENT, "mine")
    assert [host.name for host in found] == ["c", "b", "a"]
    assert found[1].text("ansible_host") == "192.0.2.2"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (None, "The inventory 'mine' has no machine; name one in it."),
        (
            {"ansible_connection": "docker"},
            "a of the inventory is reached by 'docker'; netlab knows",
        ),
        (
            {"ansible_password": "secret"},
            "a of the inventory is to be reached by a password; netlab logs in by a key",
        ),
    ],
)
def test_an_inventory_of_no_use_is_told(variables: dict[str, Any] | None, words: str) -> None:
    entries = {} if variables is None else {"hosts": ["a"]}
    document = {"_meta": {"hostvars": {"a": variables}}, "all": entries}
    with pytest.raises(BadInput) as refused:
        hosts(document, "mine")
    assert words in str(refused.value)


@pytest.mark.parametrize("value", ["{{ other }}", {"__ansible_vault": "…"}])
def test_a_value_that_is_none_yet_is_told(value: object) -> None:
    with pytest.raises(BadInput, match="ansible_host of vm-1 is a template or encrypted"):
        Way(Host("vm-1", {"ansible_host": value}), FOLDER).command("true")


def test_an_inventory_that_is_not_there_is_told() -> None:
    with pytest.raises(BadInput, match=r"There is no inventory '.*none'; name a file or a folder"):
        read("/of/none")


def options(variables: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What ssh is given: the values of -o in their order, and all else but the command."""
    program, *words, remote = Way(Host("vm-1", variables), FOLDER).command("echo 'a b'")
    assert shlex.split(remote) == ["exec", "sh", "-c", "echo 'a b'"]
    given = [value for option, value in pairwise(words) if option == "-o"]
    others = [w for w in words if w != "-o" and w not in given]
    return given, [program, *others]


def test_ssh_gets_what_the_inventory_says() -> None:
    given, others = options(
        {
            "ansible_host": "192.0.2.7",
            "ansible_port": 2200,
            "ansible_user": "ann",
            "ansible_ssh_private_key_file": "/keys/ann",
            "ansible_ssh_common_args": "-F '/a b/config' -o ConnectTimeout=3",
            "ansible_ssh_executable": "/opt/ssh",
        }
    )
    start = ["/opt/ssh", "-T", "-F", "/a b/config", "-p", "2200", "-l", "ann", "-i", "/keys/ann"]
    assert others == [*start, "192.0.2.7"]
    # ssh takes the first of an option: no other connection is shared than ours, but all else is
    # as the user has it.
    assert given[:3] == [
        "ControlMaster=auto",
        "ControlPersist=15",
        f"ControlPath={FOLDER}/%C",
    ]
    assert given.index("ConnectTimeout=3") < given.index("ConnectTimeout=10")
    assert "ServerAliveInterval=1" in given


def test_a_password_is_on_no_command_line() -> None:
    way = Way(Host("vm-1", {"ansible_become_password": "secret"}), FOLDER)
    words = way.command(way.as_root("python3"))
    assert way.password == "secret"
    assert "secret" not in " ".join(words)
    assert "sudo -S -p" in words[-1]
    assert "sudo -n" in Way(Host("vm-2"), FOLDER).as_root("python3")


def test_sudo_takes_the_password_and_no_more_of_what_a_command_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real one may read ahead, so it is given that line alone."""
    for name, script in (
        ("id", "echo 1000"),
        ("sudo", 'case "$*" in *-v) cat > "$0.word" ;; *) shift 2; exec "$@" ;; esac'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    way = Way(Host("vm-1", {"ansible_become_password": "a 'word'"}), FOLDER)
    given = way.password.encode() + b"\n\xff\xfe"
    shell = way.as_root("sh", "-c", "cat; exit 7", stdin=True)
    done = subprocess.run(["sh", "-c", shell], input=given, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"\xff\xfe", b"")
    assert (tmp_path / "sudo.word").read_text() == "a 'word'\n"


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 137)])
def test_a_tethered_command_has_its_exit_code(script: str, code: int) -> None:
    command = [sys.executable, "-I", "-S", tethered.__file__, "sh", "-c", script]
    assert subprocess.run(command, capture_output=True).returncode == code


def test_a_tethered_command_ends_when_nobody_takes_what_it_prints(tmp_path: Path) -> None:
    script = "trap 'echo > hung-up; exit 5' HUP; echo ready; sleep 60 & wait"
    command = [sys.executable, "-I", "-S", tethered.__file__, "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.stdout.close()
        assert process.wait(10) == 5
    assert (tmp_path / "hung-up").exists()


def test_a_machine_that_is_this_one_needs_no_ssh() -> None:
    way = Way(Host("here", {"ansible_connection": "local"}), FOLDER)
    assert way.command("true") == ["sh", "-c", "true"]
    # The controller's own folder has what it knows of a lab, by the lab's name too.
    assert f"NETLAB_STATE={folders()}-machine python3" in way.as_root("python3")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ssh: connect to host x port 22: Connection refused", "it refuses connections by ssh"),
        ("ssh: connect to host x port 22: Connection timed out", "it does not answer"),
        ("Connection timed out during banner exchange", "it does not answer"),
        ("ssh: Could not resolve hostname x: Name or service", "its name is not known"),
        ("Host key verification failed.", "its host key is not the one that is known, or none is"),
        ("ann@x: Permission denied (publickey).", "it denies access"),
        ("sudo: a password is required", "sudo wants a password"),
        (
            "Sorry, try again.\nsudo: 3 incorrect password attempts",
            "sudo does not take the password",
        ),
        ("ann is not in the sudoers file.", "its user may not become root"),
        ("sh: 1: exec: python3: not found", "there is no python3"),
        ("Warning: Permanently added x\nkex_exchange: odd", "it says 'kex_exchange: odd'"),
        ("", "the connection ended, with code 255"),
        ("mux_client_read_packet: read header failed: Broken pipe", "the connection was lost"),
        ("Connection to 192.0.2.1 closed by remote host.", "the connection was lost"),
    ],
)
def test_what_ssh_says_is_told_in_words(said: str, words: str) -> None:
    assert cause(said, 255)[0] == words


def test_only_running_machines_of_vagrant_s_count() -> None:
    status = (
        "1,vm-1,metadata,provider,libvirt\n1,vm-1,state,running\n1,vm-1,state-human-short,running\n"
        "1,vm-2,state,shutoff\n1,vm-3,state,running\n1,,ui,info,Current machine states:\n"
    )
    assert vagrant.running(status) == ["vm-1", "vm-3"]


VAGRANT = """#!/bin/sh
[ "$1" = status ] && { echo "1,vm-1,state,$STATE"; exit "${CODE:-0}"; }
echo "Host vm-1"
echo '  IdentityFile "/a b/key"'
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "bin" / "vagrant"
    path.parent.mkdir()
    path.write_text(VAGRANT)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    return path


def test_vagrant_s_words_go_to_ssh_as_they_are(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE", "running")
    (host,) = vagrant.read(tmp_path)
    config = tmp_path / "ssh-config"
    assert config.read_text() == 'Host vm-1\n  IdentityFile "/a b/key"\n'
    command = Way(host, tmp_path).command("true")
    assert command[command.index("-F") + 1] == str(config)
    assert command[-2] == "vm-1"


def test_vagrant_with_nothing_to_use_is_told(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE", "poweroff")
    with pytest.raises(BadInput, match="No machine of the Vagrantfile here is running; start them"):
        vagrant.read(tmp_path)
    program.write_text("#!/bin/sh\necho 'Run `vagrant init` to create a Vagrantfile' >&2; exit 1")
    with pytest.raises(BadInput, match="There is no Vagrantfile here; change to its folder"):
        vagrant.read(tmp_path)
    program.unlink()
    monkeypatch.setenv("PATH", str(program.parent))
    with pytest.raises(Unmet, match="The program 'vagrant' is not installed"):
        vagrant.read(tmp_path)


def shout(given: tuple[str, int], tell: Tell) -> dict[str, int]:
    return {given[0]: given[1]}


def test_a_call_s_types_are_those_of_its_function() -> None:
    request = msgspec.json.decode(line(Request(7, "shout", raw(("a\n", 1)))), type=Request)
    assert b"\n" not in line(request)[:-1]
    assert given_of(shout, request.given) == ("a\n", 1)
    assert shout(given_of(shout, request.given), print) == {"a\n": 1}
    reply = msgspec.json.decode(line(Reply(7, value=raw({"a": 1}))), type=Reply)
    assert isinstance(reply.value, msgspec.Raw)
    assert value_of(shout, reply.value) == {"a": 1}
    with pytest.raises(ValueError, match="Expected `int`"):
        value_of(shout, raw({"a": "1"}))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadInput("This cannot be", "do that"), BadInput),
        (InUse("mine"), LabUnavailable),
        (NetlabError("It failed."), NetlabError),
        (ValueError("a bug"), RuntimeError),
    ],
)
def test_an_error_travels(error: Exception, kind: type[Exception]) -> None:
    found = raised(failure(error), "vm-2")
    assert type(found) is kind
    said = str(error) if isinstance(error, NetlabError) else f"ValueError: {error}"
    assert str(found) == f"vm-2: {said}"


def link(name: str, *addresses: str, **others: Any) -> LinkFacts:
    values = {"mtu": 1500, "carrier": True, "kind": "", "ethernet": True}
    values |= {"default_route": False}
    return LinkFacts(name=name, addresses=addresses, **{**values, **others})


LO = link("lo", "127.0.0.1/8", ethernet=False)
MANAGEMENT = link("ens3", "192.0.2.1/24", default_route=True)


@pytest.mark.parametrize(
    ("links", "variables", "device", "expected"),
    [
        ([link("ens4", mtu=9000)], {}, None, Machine(name="m", device="ens4", mtu=9000)),
        (
            [link("ens4"), link("docker0", kind="bridge")],
            {},
            None,
            Machine(name="m", device="ens4"),
        ),
        ([link("a"), link("b")], {"netlab_underlay": "b"}, None, Machine(name="m", device="b")),
        ([link("a"), link("b")], {"netlab_underlay": "b"}, "a", Machine(name="m", device="a")),
        (
            [link("a", "198.51.100.2/24"), link("b", "198.51.100.9/24")],
            {},
            None,
            Machine(name="m", device="b", address="198.51.100.9"),
        ),
    ],
)
def test_the_underlay_s_interface_is_found(
    links: list[LinkFacts], variables: dict[str, str], device: str | None, expected: Machine
) -> None:
    facts = Facts((LO, MANAGEMENT, *links), (), {}, "198.51.100.2")
    assert underlay(Host("m", variables), facts, device) == expected


@pytest.mark.parametrize(
    ("links", "device", "words"),
    [
        ([], None, "m has no interface for the underlay: none but that of its management; give it"),
        (
            [link("a"), link("b")],
            None,
            "m has several interfaces for the underlay: a, b; name it by",
        ),
        (
            [link("a")],
            "c",
            "m has no interface 'c', which is to be on the underlay; it has lo, ens3, a",
        ),
    ],
)
def test_no_interface_and_several_are_told(
    links: list[LinkFacts], device: str | None, words: str
) -> None:
    with pytest.raises(BadInput) as refused:
        underlay(Host("m"), Facts((LO, MANAGEMENT, *links), (), {}, ""), device)
    assert str(refused.value).startswith(words)


def test_what_is_sent_to_a_machine_runs_there_by_itself(tmp_path: Path) -> None:
    file = package.write(tmp_path, *package.own_kind())
    names = zipfile.ZipFile(file).namelist()
    assert "lib/netlab/_topologies/flannel-vxlan.py" in names
    subprocess.run([sys.executable, file, tmp_path / "there"], check=True)
    place = tmp_path / "there" / package.digest()
    assert (tmp_path / "there" / "current").resolve() == place
    done = subprocess.run(
        [place / "bin" / "netlab", "--json", "ipcalc", "192.0.2.0/24"],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin"},
        check=True,
    )
    assert msgspec.json.decode(done.stdout)["usable"] == 254
    # Bytecode came along for all of netlab, so that Python writes none.
    assert not [path for path in (place / "netlab").rglob("*.py") if not cached(path).exists()]


def cached(path: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(path)))


def test_an_older_python_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unmet, match=r"netlab needs Python 3\.11 or newer, not 3\.9"):
        package.write(tmp_path, (3, 9), "x86_64", "glibc 2.31")
