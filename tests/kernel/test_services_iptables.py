"""kube-proxy's iptables mode on the kernel: what iptables-save prints, and who answers whom."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from netlab.kernel import namespaces, rulesets
from netlab.plan.rulesets import IptablesTable
from netlab.proxy.iptables import Iptables
from tests.kernel.conftest import Netlab
from tests.kernel.services import CLIENT, NOBODY, NODES, PODS, REFUSED, Services
from tests.unit.test_proxy_iptables import tables

pytestmark = pytest.mark.needs("veth", "bridge", "vxlan", "nftables-masquerade", "iptables-nft")
GOLDEN = Path(__file__).parents[1] / "unit" / "golden" / "kube-proxy-iptables-node-1.save"


@pytest.mark.parametrize(
    "backend", ["nft", pytest.param("legacy", marks=pytest.mark.needs("iptables-legacy"))]
)
def test_what_is_planned_is_what_iptables_save_prints(backend: Any) -> None:
    """Both programs print the golden text, and nothing of it is tried a second time."""
    proxy = Iptables(backend=backend)
    planned = [table for table in tables(proxy=proxy).values() if table.family == "ip"]
    with namespaces.scratch():
        rulesets.apply(planned, [], [])
        text = "".join(saved(table) for table in sorted(planned, key=lambda one: one.name))
        assert text == GOLDEN.read_text()
        assert rulesets.observe(planned, rulesets.prepare(planned)) == planned


def saved(table: IptablesTable) -> str:
    """One table without remarks and counters, its own chains by name."""
    words = [table.program("save"), "-t", table.name]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    lines = [line for line in found.splitlines() if not line.startswith("#")]
    heads = [line for line in lines if line.startswith(":")]
    own = sorted(line for line in heads if " - " in line)
    rules = [line for line in lines if line.startswith("-A")]
    builtin = [head for head in heads if head not in own]
    order = [head[1:].split()[0] for head in (*builtin, *own)]
    rules.sort(key=lambda line: order.index(line.split()[1]))
    return "\n".join([f"*{table.name}", *builtin, *own, *rules, "COMMIT", ""])


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Services:
    shared.ok("up", "services", "--set", "proxy=iptables", "--no-verify")
    return Services(shared)


def test_all_that_is_loaded_is_as_planned(lab: Services) -> None:
    found = lab.netlab.ok("diff")
    assert found["ok"]
    assert not found["unexpected"]


def test_a_pod_reaches_every_endpoint_with_its_own_address(lab: Services) -> None:
    """But itself, where it is masqueraded: else it would answer itself."""
    web = [f"tcp/{lab.ip['web']}/80"] * 40
    others = (f"udp/{lab.ip['echo']}/7", f"tcp/{lab.ip['near']}/80", f"tcp/{lab.ip['empty']}/80")
    *answers, echo, near, empty = lab.ask("pod-1-1", *web, *others)
    own = lab.pods["pod-1-1"]
    assert set(answers) <= {(pod, "10.244.0.1" if pod == "pod-1-1" else own) for pod in PODS}
    assert len(set(answers)) > 3  # of six, with a chance of one in a million of less
    assert echo[0] in PODS
    assert near == ("pod-1-1", "10.244.0.1")  # policy Local: there is no other on this node
    assert empty == REFUSED


def test_policy_local_drops_where_no_endpoint_is_but_not_what_the_node_has(lab: Services) -> None:
    near, port = f"tcp/{lab.ip['near']}/80", f"tcp/{NODES['node-3']}/30081"
    inside, by_port = lab.ask("pod-3-1", near, port)
    assert inside == NOBODY
    assert by_port[0] in {"pod-1-1", "pod-2-1"}
    empty, localhost, web = f"tcp/{lab.ip['empty']}/80", "tcp/127.0.0.1/30080", lab.ip["web"]
    answers = lab.ask("node-3", near, port, empty, localhost, f"tcp/{web}/80")
    assert answers[0] == NOBODY
    assert answers[1][0] in {"pod-1-1", "pod-2-1"}
    assert answers[2] == REFUSED
    assert {pod for pod, _ in answers[3:]} <= PODS


def test_from_outside_every_node_answers(lab: Services) -> None:
    cluster, udp = lab.at_nodes("tcp", 30080), lab.at_nodes("udp", 30007)
    local, empty = lab.at_nodes("tcp", 30081), lab.at_nodes("tcp", 30082)
    answers = lab.ask("external", *cluster, *udp, *local, *empty)
    assert {pod for pod, _ in answers[:6]} <= PODS
    assert CLIENT not in {source for _, source in answers[:6]}
    assert answers[6:9] == [("pod-1-1", CLIENT), ("pod-2-1", CLIENT), NOBODY]
    assert answers[9:] == [REFUSED] * 3


def test_affinity_keeps_a_client_with_one_endpoint(lab: Services) -> None:
    sticky = f"tcp/{lab.ip['sticky']}/80"
    [first] = lab.ask("pod-2-2", sticky)
    assert lab.ask("pod-2-2", *[sticky] * 10) == [first] * 10


def test_flushed_rules_are_missed_and_made_again(lab: Services) -> None:
    """Case 7 of the catalogue of Kubernetes' own tests, and a rule and a chain of somebody's."""
    web = f"tcp/{lab.ip['web']}/80"
    own = "iptables-nft -t nat -N KUBE-SVC-OF-MINE; iptables-nft -I FORWARD -d 10.9.9.9 -j DROP"
    lab.netlab.inside("node-1", f"iptables-nft -t nat -F KUBE-SERVICES; {own}")
    assert lab.ask("pod-1-1", web) == [NOBODY]
    found = lab.netlab.run("--json", "diff")
    assert found.code == 1
    words = {text for change in found.json["changed"] for text in change["differences"]}
    assert words == {
        "chain KUBE-SERVICES: all its rules are missing (9)",
        "unexpected chain KUBE-SVC-OF-MINE",
        "chain FORWARD: unexpected rule '-d 10.9.9.9/32 -j DROP'",
    }
    assert lab.netlab.ok("up", "services", "--set", "proxy=iptables", "--no-verify")["writes"] == 2
    assert lab.netlab.ok("diff")["ok"]
    assert lab.ask("pod-1-1", web)[0][0] in PODS
