"""Every option of every command, and how it shows that it has an effect; or that it is refused.

The command line's own definitions say which there are (`defined`), so that a new option without a
case is seen. A case is two command lines: one without the option and one with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import click

from netlab.cli import cli

SMALL = ("flannel-host-gw", "--nodes", "1", "--pods-per-node", "1", "--set", "containers=1")
# More pods than are all asked about each other, unless a command says so. One prints something.
MANY = """from netlab import Cluster, Container, Node, Pod
says = Pod("says", (Container("hello", ("sh", "-c", "echo hello; exec sleep 1000")),))
topology = Cluster(nodes=[Node("node-1", pods=[says, *[Pod()] * 35])], containers=1)
"""
OVERLAP = ("flannel-host-gw", "--nodes", "1", "--set", "cluster_cidr=10.96.0.0/16")


@dataclass(frozen=True, slots=True)
class Case:
    """An option of a command: `added` to the words `base` it changes what comes, or is refused."""

    option: str
    base: tuple[str, ...]
    added: tuple[str, ...]
    refused: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.base[0], self.option


def _shaping(*base: str, refused: bool = False) -> Iterator[Case]:
    """The options that shape a topology; more pods than a node has addresses are refused."""
    yield Case("--nodes", base, ("--nodes", "2"), refused)
    yield Case("--pods-per-node", base, ("--pods-per-node", "300"), refused)
    yield Case("--set", base, ("--set", "node_mask=25"), refused)
    forced = base if refused else (base[0], *OVERLAP)
    yield Case("--force", forced, ("--force",), refused)


def _common(*base: str, lab: bool) -> Iterator[Case]:
    yield Case("--json", base, ("--json",))
    yield Case("--lab", base, ("-l", "other"), refused=not lab)


# What no lab is needed for.
ALONE = (
    *_common("list", lab=False),
    *_common("plan", "flannel-vxlan", lab=False),
    *_shaping("plan", "flannel-host-gw"),
    Case("--sh", ("plan", "flannel-vxlan"), ("--sh",)),
    *_common("addresses", "flannel-vxlan", lab=False),
    *_shaping("addresses", "flannel-host-gw"),
    Case("--explain", ("addresses", "flannel-vxlan"), ("--explain",)),
    *_shaping("addresses", refused=True),
    *_common("export", "flannel-vxlan", lab=False),
    *_shaping("export", "flannel-host-gw"),
    *_shaping("export", refused=True),
    *(
        Case("--from", (name, "flannel-vxlan"), ("--from", "nodes.yaml"), refused=True)
        for name in ("plan", "addresses", "export")
    ),
    *_common("ipcalc", "10.0.0.1/8", lab=False),
    Case("--split", ("ipcalc", "10.0.0.1/8"), ("--split", "/10")),
    Case("--contains", ("ipcalc", "10.0.0.1/8"), ("--contains", "10.9.9.9")),
    *_common("doctor", lab=False),
    *_common("completion", "bash", lab=False),
    *_common("gc", lab=False),
    Case("--lab", ("compare", "flannel-vxlan"), ("-l", "other"), refused=True),
    Case("--json", ("down", "--all"), ("--json",)),
    Case("--lab", ("down", "--all"), ("-l", "other"), refused=True),
    Case("--all", ("down",), ("--all",)),
)
# What a lab of MANY, the only one there is, is needed for. `-l other` is then a lab there is not.
RUNNING = (
    *_common("addresses", lab=True),
    Case("--explain", ("addresses",), ("--explain",)),
    *_common("export", lab=True),
    *_common("status", lab=True),
    *_common("diff", lab=True),
    *_common("explain", "cni0", lab=True),
    *_common("exec", "says", "--", "hostname", lab=True),
    Case(
        "--container",
        ("exec", "node-1", "--", "hostname"),
        ("-c", "container-1"),
        refused=True,
    ),
    Case("--json", ("shell",), ("--json",), refused=True),
    Case("--lab", ("shell",), ("-l", "other")),
    Case("--container", ("shell", "says"), ("-c", "nosuch")),
    Case("--container", ("shell",), ("-c", "container-1"), refused=True),
    *_common("logs", "says", lab=True),
    *_common("capture", "node-1:lo", "-d", "0.01", lab=True),
    Case("--write", ("capture", "-d", "0.01"), ("-w", "/nonexistent/file"), refused=True),
    Case("--filter", ("capture", "-d", "0.01"), ("-f", "nonsense"), refused=True),
    *_common("verify", "--sample", "1", lab=True),
    Case("--sample", ("verify",), ("--sample", "1")),
    Case("--full", ("verify",), ("--full",)),
    Case("--full", ("verify", "--sample", "1"), ("--full",), refused=True),
    Case("--lab", ("down",), ("-l", "other")),
)
# What makes labs, each in a folder of labs of its own.
MAKING = (
    *_common("up", *SMALL, "--no-verify", lab=True),
    *_shaping("up", *SMALL, "--no-verify"),
    Case("--no-verify", ("up", *SMALL), ("--no-verify",)),
)
# What changes Services, with what it changes (tests/unit/test_service_commands.py has their cases).
CHANGING: dict[str, tuple[str, ...]] = {
    "scale": ("web", "1"),
    "endpoint add": ("few", "pod-2-1"),
    "endpoint remove": ("web", "pod-1-1"),
    "service add": ("new", "--port", "80", "--target-port", "8080"),
    "service remove": ("web",),
}
FIELDS: dict[str, tuple[str, ...]] = {
    "port": ("81",),
    "target-port": ("8081",),
    "protocol": ("UDP",),
    "node-port": ("30099",),
    "type": ("NodePort",),
    "selector": ("app=web",),
    "pod": ("pod-1-1",),
    "cluster-ip": ("10.96.0.99",),
    "affinity": ("60",),
    "external-traffic-policy": ("Local", "--type", "NodePort"),
    "internal-traffic-policy": ("Local",),
    "external-ip": ("198.51.100.1",),
    "namespace": ("prod",),
}
# What needs a test of its own: a file that is read or written, a lab of many pods, a lock that
# another command has, a lab that runs, machines.
OTHERWISE = {
    *((name, option) for name in ("up", "plan") for option in ("--inventory", "--underlay-device")),
    ("verify", "--junit"),
    ("diff", "--all-settings"),
    *(("compare", option) for option in ("--rounds", "--svg", "--json")),
    ("up", "--rebuild"),
    *(("capture", option) for option in ("--count", "--duration")),
    ("up", "--from"),
    *((command, "--wait") for command in ("up", "verify", "diff", "explain", "status", "down")),
    *((name, option) for name in CHANGING for option in ("--json", "--lab", "--wait")),
    *(("service add", f"--{field}") for field in FIELDS),
}


def defined() -> set[tuple[str, str]]:
    """Every command with every option that it has."""
    return {
        (name, option.opts[-1])
        for name, command in _commands(cli)
        for option in command.params
        if isinstance(option, click.Option)
    }


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def with_it(case: Case) -> tuple[str, ...]:
    """The command line with the option, before what is to be run in a lab."""
    if "--" in case.base:
        end = case.base.index("--")
        return *case.base[:end], *case.added, *case.base[end:]
    return *case.base, *case.added


def shape(text: str) -> str:
    """What a command printed without what it measured, which is another each time."""
    return re.sub(r"\b\d+\.\d+(e-\d+)?\b(?!\.)", "N", text)
