"""The commands that need no lab and no root, as a user runs them; and what all commands share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "netlab", *arguments],
        cwd=REPOSITORY,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def document(*arguments: str) -> Any:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_list_names_the_shipped_topologies() -> None:
    names = [entry["name"] for entry in document("list", "--json")]
    assert {"flannel-vxlan", "flannel-host-gw", "seed-example"} <= set(names)
    assert "flannel-vxlan" in run("list").stdout


def test_json_and_lab_go_before_and_after_the_command() -> None:
    assert document("--json", "ipcalc", "10.0.0.1/8") == document("ipcalc", "10.0.0.1/8", "--json")
    before = run("-l", "nosuch", "status", NETLAB_STATE="/nonexistent")
    after = run("status", "-l", "nosuch", NETLAB_STATE="/nonexistent")
    assert before.returncode == after.returncode == 4
    assert before.stderr == after.stderr
    assert "'nosuch'" in before.stderr


def test_plan_has_the_contracts_shape() -> None:
    plan = document("plan", "flannel-vxlan", "--json")
    assert {"topology", "requires", "namespaces"} <= set(plan)
    for space in plan["namespaces"].values():
        assert {
            "links",
            "addresses",
            "routes",
            "neighbours",
            "fdb",
            "sysctls",
            "rules",
            "ruleset",
            "daemons",
            "containers",
        } <= set(space)
    node = plan["namespaces"]["node-1"]
    assert node["sysctls"]["net/ipv4/ip_forward"] == "1"
    assert "masquerade fully-random" in str(node["ruleset"])
    assert plan["namespaces"]["pod-1-1"]["ruleset"] == []


def test_plan_as_a_script_is_a_script() -> None:
    script = run("plan", "flannel-vxlan", "--sh").stdout
    assert script.startswith("#!/bin/sh\n")
    checked = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr
    both = run("plan", "flannel-vxlan", "--sh", "--json")
    assert both.returncode == 2
    assert both.stdout == ""


def test_addresses_have_the_contracts_keys() -> None:
    plan = document("addresses", "seed-example", "--json")
    assert {
        "cluster_cidr",
        "node_mask",
        "max_nodes",
        "service_cidr",
        "service_addresses",
        "node_port_range",
        "nodes",
    } <= set(plan)
    assert plan["max_nodes"] == 4
    assert plan["static_port_band"] == {"first": 30000, "last": 30085, "size": 86}
    known = {
        "name": "node-2",
        "pod_cidr": "100.12.25.0/24",
        "gateway": "100.12.25.1",
        "first": "100.12.25.2",
        "last": "100.12.25.254",
        "usable_pods": 253,
    }
    assert known.items() <= plan["nodes"][1].items()


def test_ipcalc_has_the_contracts_keys() -> None:
    assert document("ipcalc", "10.233.64.7/18", "--json") == {
        "address": "10.233.64.7",
        "prefix_length": 18,
        "netmask": "255.255.192.0",
        "binary": {
            "address": "00001010.11101001.01 000000.00000111",
            "netmask": "11111111.11111111.11 000000.00000000",
            "network": "00001010.11101001.01 000000.00000000",
            "broadcast": "00001010.11101001.01 111111.11111111",
        },
        "network": "10.233.64.0",
        "broadcast": "10.233.127.255",
        "first": "10.233.64.1",
        "last": "10.233.127.254",
        "usable": 16382,
        "wildcard": "0.0.63.255",
        "kind": "network",
    }
    words = ("--json", "--split", "/19", "--contains", "10.233.64.9")
    more = document("ipcalc", "10.233.64.7/18", *words)
    assert more["contains"] == {"address": "10.233.64.9", "inside": True}
    assert [one["cidr"] for one in more["subnets"]] == ["10.233.64.0/19", "10.233.96.0/19"]
    assert document("ipcalc", "fd44::7/64", "--json")["broadcast"] is None
    outside = run("ipcalc", "10.233.64.7/18", "--contains", "10.233.128.0")
    assert (outside.returncode, "not inside" in outside.stdout) == (1, True)
    words = ("ipcalc", "10.233.64.7", "255.255.192.0", "--json")
    assert document(*words) == document("ipcalc", "10.233.64.7/18", "--json")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("netlab up flannel-v", "flannel-vxlan"),
        ("netlab plan seed", "seed-example"),
        ("netlab do", "doctor"),
        ("netlab up --po", "--pods-per-node"),
    ],
)
def test_completion(words: str, wanted: str) -> None:
    place = str(len(words.split()) - 1)
    done = run(_NETLAB_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=place)
    assert wanted in [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    assert "_NETLAB_COMPLETE" in run("completion", shell).stdout


def test_every_command_has_help() -> None:
    overview = run("--help").stdout
    commands = [line.split()[0] for line in overview.partition("Commands:")[2].splitlines() if line]
    assert len(commands) == 22
    for command in commands:
        assert run(command, "--help").stdout.startswith(f"Usage: netlab {command}")


def test_pure_commands_start_lean() -> None:
    """Heavy imports happen only where they are used: a plan needs neither scapy nor Linux."""
    code = (
        "import sys; sys.argv = ['netlab', 'plan', 'flannel-vxlan', '--json']\n"
        "from netlab.cli import cli\n"
        "cli.main(standalone_mode=False)\n"
        "heavy = {'scapy', 'pyroute2', 'ansible_runner'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_output_to_a_pipe_has_no_colours() -> None:
    for arguments in (["list"], ["plan", "flannel-vxlan"], ["addresses", "flannel-vxlan"]):
        assert "\x1b[" not in run(*arguments).stdout


def test_an_empty_lab_name_is_refused() -> None:
    for arguments in (("-l", "", "status"), ("status", "--lab="), ("down", "--all", "-l", "")):
        done = run(*arguments, NETLAB_STATE="/nonexistent")
        assert done.returncode == 2
        assert "empty" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "encoding",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_character_that_cannot_be_printed_ends_no_command(
    tmp_path: Path, encoding: dict[str, str]
) -> None:
    (tmp_path / "mine.py").write_text(
        '"""Größe → klein."""\nfrom netlab import Cluster\ntopology = Cluster()\n',
        encoding="utf-8",
    )
    done = run("list", NETLAB_TOPOLOGIES=str(tmp_path), **encoding)
    assert done.returncode == 0, done.stderr
    assert "Gr\\xf6\\xdfe \\u2192 klein" in done.stdout
    assert run("plan", "flannel-vxlan", "--sh", **encoding).returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["plan", "flannel-vxlan", "--sh"]])
def test_full_output_is_one_sentence(arguments: list[str], unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "netlab", *arguments],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == ("netlab: Standard output cannot be written (No space left on device).\n")


# A program gets no more than 128 KiB in one word.
HOSTILE = ["a\n\x1b[31mb\r", "x" * 100_000, "\udcff", "y " * 50_000]


@pytest.mark.parametrize("value", HOSTILE, ids=["control", "long", "no UTF-8", "words"])
@pytest.mark.parametrize(
    "command",
    [
        ["plan", "{}"],
        ["plan", "{}.py"],
        ["plan", "/{}"],
        ["plan", "--from", "{}"],
        ["plan", "flannel-vxlan", "--nodes", "{}"],
        ["plan", "flannel-vxlan", "--set", "{}"],
        ["plan", "flannel-vxlan", "--set", "{}=1"],
        ["plan", "flannel-vxlan", "--set", "nodes={}"],
        ["plan", "flannel-vxlan", "--set", "external={}"],
        ["plan", "flannel-vxlan", "--set", "dataplane={}"],
        ["plan", "flannel-vxlan", "--set", "dataplane.vni={}"],
        ["plan", "flannel-vxlan", "--set", "cluster_cidr={}"],
        ["plan", "flannel-vxlan", "--set", "underlay={}"],
        ["plan", "flannel-vxlan", "--{}"],
        ["{}"],
        ["ipcalc", "{}"],
        ["ipcalc", "10.0.0.1", "{}"],
        ["ipcalc", "10.0.0.1/8", "--split", "{}"],
        ["ipcalc", "10.0.0.1/8", "--contains", "{}"],
        ["completion", "{}"],
        ["verify", "--junit", "{}/x"],
        ["verify", "--sample", "{}"],
        ["-l", "{}", "status"],
        ["-l", "nosuch", "exec", "{}", "--", "{}"],
    ],
    ids=" ".join,
)
def test_whatever_is_asked_the_answer_is_one_safe_sentence(
    tmp_path: Path, command: list[str], value: str
) -> None:
    words = [word.replace("{}", value) for word in command]
    done = run(*words, NETLAB_STATE=str(tmp_path))
    assert done.returncode in (2, 4), done.stderr[:500]
    assert done.stdout == ""
    sentence = done.stderr.removesuffix("\n")
    assert sentence.isprintable()
    assert len(sentence) < 1500
    assert "bug" not in sentence
