"""netlab on the kernel that Debian ships, which has the modules that a CI kernel may lack."""

import json
from typing import Any

import pytest

from tests.hosts.vm import DebianVM, Result, settled

NOBODY = 65534

# What every Debian kernel has, whatever the machine that runs the tests was built with.
FEATURES = [
    "dummy",
    "geneve",
    "gre",
    "ip_vs",
    "ip_vs_rr",
    "ipip",
    "netem",
    "vlan",
    "vrf",
    "wireguard",
]


def outside(vm: DebianVM) -> list[str]:
    """What a lab must leave as it was: links, addresses, routes, rules, names, mounts, switches."""
    return (
        vm.run(
            "ip -j link; ip -j address; ip -j route show table all; ip -j rule; ip netns; "
            "nft list ruleset; cat /proc/mounts; "
            "grep . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv[46]/conf/*/forwarding"
        )
        .check()
        .splitlines()
    )


def looked(vm: DebianVM) -> tuple[list[str], list[str]]:
    """What a lab must leave, and the programs that run; a kernel thread has none."""
    programs = vm.run("readlink /proc/[0-9]*/exe || true").check()
    return outside(vm), sorted(programs.splitlines())


def verified(result: Result) -> None:
    """All is as expected, and not because there was nothing to check."""
    assert result.stdout, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    checks = document["verify"]["checks"]
    assert [check for check in checks if not check["ok"]] == []
    assert {"pod-cross-node", "wire"} <= {check["kind"] for check in checks}
    assert document["ok"]
    assert result.returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        "ip link add t0 type ipip local 192.0.2.1 remote 192.0.2.2",
        "ip link add t0 type geneve id 7 remote 192.0.2.1",
        "ip link add t0 type wireguard",
        "tc qdisc add dev lo root netem delay 1ms",
    ],
)
def test_kernel_loads_a_module_when_it_is_first_used(vm: DebianVM, command: str) -> None:
    # In a namespace that ends with the command, so that the VM's own stays as it was.
    vm.run(f"unshare -n {command}").check()


def test_nothing_is_missing_on_debian(vm: DebianVM) -> None:
    doctor = json.loads(vm.run("netlab --json doctor").check())
    found = {feature["name"]: feature["ok"] for feature in doctor["features"]}
    assert doctor["ok"]
    assert all(found.values()), found
    assert set(FEATURES) <= set(found)


@pytest.mark.parametrize("topology", ["flannel-vxlan"])
def test_lab_works_and_leaves_the_machine_as_it_was(vm: DebianVM, topology: str) -> None:
    before = settled(lambda: looked(vm))
    verified(vm.run(f"netlab --json up {topology}", timeout=120))
    assert settled(lambda: outside(vm), before[0]) == before[0]
    vm.run(f"netlab down -l {topology}").check()
    assert settled(lambda: looked(vm), before) == before


def test_lab_works_without_root(vm: DebianVM) -> None:
    vm.add_user(NOBODY)
    before = settled(lambda: looked(vm))
    verified(vm.run("netlab --json up flannel-vxlan", timeout=300, user=NOBODY))
    vm.run("netlab down -l flannel-vxlan", user=NOBODY).check()
    assert settled(lambda: looked(vm), before) == before
