"""No option is passed over: each changes what a command does, or is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from netlab import BadInput, Cluster, Node, Pod, Service
from netlab.designing import design
from netlab.topology.addresses import address_plan
from netlab.topology.fields import cluster_options
from tests.options import ALONE, MAKING, OTHERWISE, RUNNING, Case, defined, with_it
from tests.unit.test_cli import run

VALUES: dict[str, str] = {
    "nodes": "2",
    "pods_per_node": "1",
    "containers": "1",
    "cluster_cidr": "10.1.0.0/16",
    "node_mask": "25",
    "node_mask_ipv6": "66",
    "service_cidr": "10.2.0.0/16",
    "node_port_range": "30000,30009",
    "underlay": "10.3.0.0/24,10.3.1.0/24",
    "underlay_mtu": "1400",
    "external": "false",
    "dataplane": "flannel-vxlan",
    "services": (Service("web", port=80, target_port=8080),),
    "proxy": "iptables",
    "dns": True,
}
DUAL = Cluster(
    cluster_cidr=("10.244.0.0/16", "fd44::/56"), underlay=("192.168.0.0/24", "fd30::/64")
)


def test_every_option_of_every_command_has_its_case() -> None:
    cases = {case.key for case in (*ALONE, *RUNNING, *MAKING)} | OTHERWISE
    assert cases == defined()


@pytest.mark.parametrize("case", ALONE, ids=lambda case: " ".join(with_it(case)))
def test_an_option_has_an_effect_or_is_refused(case: Case, tmp_path: Path) -> None:
    without = run(*case.base, NETLAB_STATE=str(tmp_path / "none"))
    added = run(*with_it(case), NETLAB_STATE=str(tmp_path / "none"))
    if case.refused:
        assert (added.returncode, added.stdout) == (2, "")
        assert f"has no effect on `netlab {case.base[0]}`" in added.stderr
        assert case.added[0] in added.stderr
    else:
        assert (added.returncode, added.stdout) != (without.returncode, without.stdout)


def test_an_option_without_effect_is_refused_before_the_command_too(tmp_path: Path) -> None:
    for command in (("list",), ("ipcalc", "10.0.0.1/8"), ("down", "--all")):
        done = run("-l", "other", *command, NETLAB_STATE=str(tmp_path / "none"))
        assert (done.returncode, done.stdout) == (2, "")
        assert f"The option -l has no effect on `netlab {command[0]}`" in done.stderr


def test_one_value_is_given_once() -> None:
    for twice in (("--nodes", "2", "--set", "nodes=2"), ("--set", "nodes=2", "--set", "nodes=3")):
        done = run("plan", "flannel-vxlan", *twice)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "netlab: The option 'nodes' is given twice; give it once.\n"


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Cluster)])
def test_every_field_of_a_cluster_is_an_option(field: str, tmp_path: Path) -> None:
    topology = tmp_path / "mine.py"
    needed = {
        "node_mask_ipv6": "cluster_cidr=('10.244.0.0/16', 'fd44::/56')",
        "dns": "proxy='nftables'",
    }
    words = needed.get(field, "")
    topology.write_text(f"from netlab import Cluster\ntopology = Cluster({words})\n")
    before, after = (design(topology, options) for options in ({}, {field: VALUES[field]}))
    if field != "dataplane":  # it is the default
        assert (before.plan, address_plan(before.layout)) != (
            after.plan,
            address_plan(after.layout),
        )
    assert field in cluster_options()


@pytest.mark.parametrize(
    ("cluster", "field", "value"),
    [
        (Cluster(nodes=[Node(), Node()]), "nodes", 3),
        (Cluster(nodes=[Node(pods=2)]), "pods_per_node", 3),
        (Cluster(nodes=[Node(pods=0), Node(pods=[Pod("a", ())])]), "containers", 3),
        (Cluster(), "node_mask_ipv6", 80),
    ],
)
def test_a_field_without_effect_is_refused(cluster: Cluster, field: str, value: Any) -> None:
    with pytest.raises(BadInput, match=f"The topology .* {field.partition('_')[0]}|its|no "):
        design(cluster, {field: value})
    with pytest.raises(BadInput):
        design(dataclasses.replace(cluster), {field: str(value)})


@pytest.mark.parametrize(
    ("option", "text", "wants"),
    [
        ("node_port_range", "30000", "is 2 values with commas between"),
        ("node_port_range", "30000,b", "is a whole number, not 'b'"),
        ("node_port_range", "1,2,3", "is 2 values with commas between"),
    ],
)
def test_a_value_of_another_form_is_one_sentence(option: str, text: str, wants: str) -> None:
    with pytest.raises(BadInput, match=f"The option {option} {wants}"):
        design("flannel-vxlan", {option: text})
