"""Agents on machines: started, asked, and gone without a trace, however that comes about."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netlab.errors import BadInput, Unmet
from netlab.hosts.inventory import Host, read
from netlab.hosts.machine import Needs, look
from netlab.hosts.package import digest
from netlab.hosts.reached import Machines
from netlab.hosts.segment import Heard, Segment, probe_segment, verdict
from tests.kernel import host
from tests.kernel.conftest import REPOSITORY
from tests.kernel.machines import UNDERLAY, Make, machines, prepared
from tests.kernel.machines import Machines as Made

__all__ = ["machines", "prepared"]


def test_a_machine_without_netlab_is_prepared_and_then_asked(machines: Make) -> None:
    made = machines("vm-1", "vm-2")
    before = [made.snapshot(name) for name in made.names]
    told = []
    with Machines(made.inventory) as reached:
        found = reached.ready(lambda words, *_: told.append(words))
        assert reached.unreachable == {}
        assert list(found) == ["vm-1", "vm-2"]
        assert found["vm-1"].hello.digest == digest()
        facts = found["vm-2"].call(look, Needs(("macvlan",)))
        eth1 = next(link for link in facts.links if link.name == "eth1")
        assert (eth1.mtu, eth1.carrier) == (1500, True)
        assert (facts.labs, facts.lacking) == ((), {})
    assert made.processes() == {"vm-1": [], "vm-2": []}
    assert [made.snapshot(name) for name in made.names] == before


def heard_of(made: Made, device: str = "eth1") -> dict[str, Heard]:
    with Machines(made.inventory) as reached:
        found = reached.ready()
        asked = {
            name: connection.start(
                probe_segment,
                Segment(name, device, "a-cookie", tuple(set(made.names) - {name}), 2.0),
            )
            for name, connection in found.items()
        }
        return {name: pending.result(20) for name, pending in asked.items()}


def test_three_machines_on_a_segment_hear_each_other(machines: Make) -> None:
    made = machines("vm-1", "vm-2", "vm-3")
    before = [made.snapshot(name) for name in made.names]
    found = heard_of(made)
    assert found["vm-2"] == Heard(("vm-1", "vm-3"), ("vm-1", "vm-3"))
    assert verdict(found) == (True, "")
    assert [made.snapshot(name) for name in made.names] == before


def test_machines_that_a_router_joins_share_no_segment(machines: Make) -> None:
    found = heard_of(machines(routed=True))
    assert found == {"vm-1": Heard((), ()), "vm-2": Heard((), ())}
    assert verdict(found) == (
        False,
        "vm-1 and vm-2 hear nothing of each other on their underlay interfaces",
    )


def test_a_filter_by_mac_as_hypervisors_have_is_found_out(machines: Make) -> None:
    """To each port only what is for all, or for the MAC that the machine was given."""
    made = machines()
    rules = "".join(
        f"oifname {name} ether daddr & 01:00:00:00:00:00 == 0 "
        f"ether daddr != 02:00:00:00:01:{number:02x} drop; "
        for number, name in enumerate(made.names, 1)
    )
    chain = f"chain c {{ type filter hook forward priority 0; {rules}}}"
    nft = f"table bridge hypervisor {{ {chain}; }}"
    subprocess.run(["ip", "netns", "exec", UNDERLAY, "nft", nft], check=True)
    found = heard_of(made)
    assert found == {"vm-1": Heard(("vm-2",), ()), "vm-2": Heard(("vm-1",), ())}
    shared, why = verdict(found)
    assert not shared
    assert "allow promiscuous mode" in why


def test_a_machine_that_refuses_is_told_and_the_others_can_be_used(machines: Make) -> None:
    made = machines("vm-1", "vm-2", "vm-3")
    made.down("vm-2")
    with Machines(made.inventory) as reached:
        assert list(reached.ready()) == ["vm-1", "vm-3"]
        assert list(reached.unreachable) == ["vm-2"]
        with pytest.raises(Unmet, match="vm-2 cannot be used: it refuses connections by ssh; st"):
            reached.require_all()


def test_only_machines_of_the_lab_are_reached(machines: Make) -> None:
    made = machines("vm-1", "vm-2")
    with Machines(made.inventory, ["vm-2"]) as reached:
        assert list(reached.ready()) == ["vm-2"]
    with pytest.raises(Unmet, match="The inventory has no machine vm-9, on which the lab is"):
        Machines(made.inventory, ["vm-9"])


def test_a_machine_without_room_says_so(machines: Make, tmp_path: Path) -> None:
    made = machines()
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], check=True)
    try:
        hosts = read(made.inventory)
        full = Host("vm-2", hosts[1].variables | {"netlab_folder": str(small)})
        with Machines([hosts[0], full]) as reached:
            assert list(reached.ready()) == ["vm-1"]
            assert f"no space is left in {small}" in str(reached.unreachable["vm-2"])
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_broken_netlab_on_a_machine_is_put_there_anew(machines: Make, tmp_path: Path) -> None:
    made = machines("vm-1")
    (host,) = read(made.inventory)
    own = Host("vm-1", host.variables | {"netlab_folder": str(tmp_path)})
    for _ in range(2):
        with Machines([own]) as reached:
            assert list(reached.ready()) == ["vm-1"]
        (tmp_path / digest() / "msgspec" / "__init__.py").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([digest(), "current"])


# A shell's background ignores SIGINT, and so does what is started there.
PREPARING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from netlab.hosts.reached import Machines
with Machines(sys.argv[1]) as reached:
    reached.ready(lambda words, *_: print(words, flush=True))
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_command_leaves_no_process_of_ansible_s(
    machines: Make, tmp_path: Path, end: signal.Signals
) -> None:
    made = machines()
    made.hang("vm-2")
    hosts = json.loads(made.inventory.read_text())
    hosts["all"]["vars"]["netlab_folder"] = str(tmp_path / "fresh")
    made.inventory.write_text(json.dumps(hosts))
    mark = tmp_path / "state"  # by which the processes of the command are known
    files = tmp_path / "files"
    files.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", PREPARING, str(made.inventory)],
        env=os.environ
        | {"NETLAB_STATE": str(mark), "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(files)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as command:
        assert command.stdout
        assert any("vm-2: Unpack netlab" in line for line in command.stdout)
        time.sleep(1)  # until it hangs
        assert len(host.processes(mark)) > 3
        begun = time.monotonic()
        command.send_signal(end)
        command.wait(10)
        while host.processes(mark) and time.monotonic() < begun + 10:
            time.sleep(0.05)
        assert host.processes(mark) == []
        assert made.processes() == {"vm-1": [], "vm-2": []}
        assert time.monotonic() - begun < 5
        assert list(files.iterdir()) == []  # the inventory may have passwords


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("all: [", "cannot be read: YAML parsing failed: While parsing a flow node did not"),
        (
            "[group]\nvm-1 ansible_host=a b=\n[[\n",
            "cannot be read: Failed to parse inventory: not enough values",
        ),
        (
            "#!/bin/sh\necho nothing >&2; exit 3\n",
            "cannot be read: Inventory script returned non-zero exit code 3.",
        ),
        ("all:\n  hosts: {}\n", "has no machine"),
    ],
)
def test_an_inventory_that_ansible_refuses_is_told_in_its_words(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / ("mine.yml" if text.startswith("all") else "mine")
    path.write_text(text)
    path.chmod(0o755 if text.startswith("#!") else 0o644)
    with pytest.raises(BadInput) as refused:
        read(path)
    assert words in str(refused.value)


def test_a_folder_and_a_script_are_inventories(tmp_path: Path) -> None:
    (tmp_path / "one.ini").write_text("[labs]\nvm-2\nvm-1 ansible_port=2200\n")
    script = tmp_path / "other"
    script.write_text('#!/bin/sh\necho \'{"more": {"hosts": ["vm-3"]}}\'\n')
    script.chmod(0o755)
    assert [(one.name, one.text("ansible_port")) for one in read(tmp_path)] == [
        ("vm-2", ""),
        ("vm-1", "2200"),
        ("vm-3", ""),
    ]


def test_this_machine_can_be_one_and_two_names_of_one_are_refused(
    machines: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = machines("vm-1")
    monkeypatch.setenv("NETLAB_STATE", str(tmp_path / "state"))
    variables = dict(read(made.inventory)[0].variables) | {"ansible_connection": "local"}
    here = Host("here", variables)
    with Machines([here]) as reached:
        facts = reached.ready()["here"].call(look, Needs())
        assert "host0" in [link.name for link in facts.links]
        # Its share is in another folder than what the controller knows of a lab of that name.
        hello = reached.connections["here"].hello
        assert hello.identity.endswith(f"{tmp_path}/state-machine")
    words = "here and also-here of the inventory are one machine"
    also = Host("also-here", variables)
    with Machines([here, also]) as reached, pytest.raises(BadInput, match=words):
        reached.ready()


def test_a_lost_connection_is_told_at_once(machines: Make) -> None:
    made = machines("vm-1", "vm-2")
    with Machines(made.inventory) as reached:
        found = reached.ready()
        begun = time.monotonic()
        pending = found["vm-2"].start(probe_segment, Segment("vm-2", "eth1", "x", ("y",), 30.0))
        time.sleep(0.5)
        for pid in made.processes()["vm-2"]:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(Unmet, match="The machine vm-2 cannot be used: the connection ended"):
            pending.result()
        with pytest.raises(Unmet, match="The machine vm-2 cannot be used"):
            found["vm-2"].call(look, Needs())
        assert time.monotonic() - begun < 5
        assert found["vm-1"].call(look, Needs()).links
