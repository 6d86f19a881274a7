"""kube-proxy's nftables mode on the kernel: what nft prints and changes, and who answers whom."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest

from netlab import Service
from netlab.kernel import namespaces, rulesets
from netlab.kernel.rulesets import nft
from netlab.proxy.nftables import Nftables
from tests.kernel.conftest import Netlab
from tests.kernel.services import CLIENT, NOBODY, NODES, PODS, REFUSED, Services
from tests.unit.test_proxy_nftables import DUAL_STACK, tables

pytestmark = pytest.mark.needs("veth", "bridge", "vxlan", "nftables-services")
PIECE = re.compile(r"^\t(?:chain|set|map) (\S+) \{")
HANDLE = re.compile(r" # handle (\d+)$")


def shell(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def numbers() -> dict[str, list[str]]:
    """The kernel's numbers of each chain with its rules, set and map: what is made anew has new."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in shell("nft", "-a", "list", "table", "ip", "kube-proxy").splitlines():
        if piece := PIECE.match(line):
            name = piece[1]
        if name and (handle := HANDLE.search(line)):
            found.setdefault(name, []).append(handle[1])
    return found


@pytest.mark.parametrize("version", ["1.36", "1.35"])
@pytest.mark.parametrize("where", [(), ("primary",)])
def test_what_is_planned_is_what_nft_prints(
    version: Any, where: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of nft 1.0.6 nothing has to be tried to know it; what others print otherwise is."""
    proxy = Nftables(version=version, node_port_addresses=where)
    two = [Service("two", port=80, target_port=8080, dual_stack=True, affinity=3661)]
    planned = [*tables(proxy=proxy), tables(proxy=proxy, services=two, **DUAL_STACK)[1]]
    if "v1.0.6 " in shell("nft", "-v"):
        monkeypatch.setattr(nft, "printed", None)
    with namespaces.scratch():
        rulesets.apply(planned, [], [])
        assert rulesets.observe(planned, rulesets.prepare(planned)) == planned


@pytest.mark.parametrize("version", ["1.36", "1.35"])
def test_an_endpoint_less_is_one_transaction_that_leaves_the_rest(
    version: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("web", "sticky", "other")
    before, after = (
        tables(
            proxy=Nftables(version=version),
            services=[
                Service("web", port=80, target_port=8080, pods=pods),
                Service("sticky", port=80, target_port=8080, pods=pods, affinity=60),
                Service("other", port=80, target_port=8080),
            ],
        )
        for pods in (("a", "b"), ("a",))
    )
    ran: list[str] = []
    run = nft.run

    def recorded(commands: str) -> str:
        ran.append(commands)
        return run(commands)

    kept = "affinity-Z3LCJRYK-default/sticky/tcp/__10.244.0.2/8080"
    with namespaces.scratch():
        rulesets.apply(before, [], [])
        run(f"add element ip kube-proxy {kept} {{ 10.1.1.1 }}")
        old = numbers()
        monkeypatch.setattr(nft, "run", recorded)
        rulesets.apply([], list(zip(after, before, strict=True)), [])
        monkeypatch.undo()
        new = numbers()
        assert rulesets.observe(after, rulesets.prepare(after)) == after
        assert "10.1.1.1" in run(f"list set ip kube-proxy {kept}")  # a client that it keeps stays
    assert (len(ran), "delete table" in ran[0]) == (1, False)
    web, sticky = (
        next(name for name in old if re.fullmatch(rf"service-\w+-default/{one}/tcp/", name))
        for one in names[:2]
    )
    assert {name for name in new if new[name] != old.get(name)} == {web, sticky}
    # The chains stay themselves, and so does what leads to them.
    assert [new[name][0] for name in (web, sticky)] == [old[name][0] for name in (web, sticky)]
    gone = {name for name in old if name not in new}
    assert gone == {name for name in old if re.search(r"/(web|sticky)/.*__10\.244\.1\.2/", name)}
    assert gone


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Services:
    shared.ok("up", "services", "--set", "proxy=nftables", "--no-verify")
    return Services(shared)


def test_all_that_is_loaded_is_as_planned(lab: Services) -> None:
    found = lab.netlab.ok("diff")
    assert found["ok"]
    assert not found["unexpected"]


def test_a_pod_reaches_every_endpoint_with_its_own_address(lab: Services) -> None:
    """But itself, where it is masqueraded: else it would answer itself."""
    ip, own = lab.ip, lab.pods["pod-1-1"]
    web = [f"tcp/{ip['web']}/80"] * 40
    others = (f"udp/{ip['echo']}/7", f"tcp/{ip['near']}/80", f"tcp/{ip['empty']}/80")
    nobody_s = (f"tcp/{ip['web']}/81", f"udp/{ip['web']}/80", "tcp/10.96.7.7/80")
    *answers, echo, near, empty, port, protocol, address = lab.ask(
        "pod-1-1", *web, *others, *nobody_s
    )
    assert set(answers) <= {(pod, "10.244.0.1" if pod == "pod-1-1" else own) for pod in PODS}
    assert len(set(answers)) > 3  # of six, with a chance of one in a million of less
    assert echo[0] in PODS
    assert near == ("pod-1-1", "10.244.0.1")  # policy Local: there is no other on this node
    assert [empty, port, protocol] == [REFUSED] * 3  # what iptables' mode lets time out is refused
    assert address == NOBODY


def test_policy_local_drops_where_no_endpoint_is_but_not_what_the_node_has(lab: Services) -> None:
    near, port = f"tcp/{lab.ip['near']}/80", f"tcp/{NODES['node-3']}/30081"
    inside, by_port = lab.ask("pod-3-1", near, port)
    assert inside == NOBODY
    assert by_port[0] in {"pod-1-1", "pod-2-1"}
    refused = (f"tcp/{lab.ip['empty']}/80", "tcp/127.0.0.1/30080", "tcp/10.244.2.1/30080")
    web = f"tcp/{lab.ip['web']}/80"
    dropped, by_port, *answers, served = lab.ask("node-3", near, port, *refused, web)
    assert dropped == NOBODY
    assert by_port[0] in {"pod-1-1", "pod-2-1"}
    assert answers == [REFUSED] * 3  # NodePorts are at the primary address alone
    assert served[0] in PODS


def test_from_outside_every_node_answers(lab: Services) -> None:
    cluster, udp = lab.at_nodes("tcp", 30080), lab.at_nodes("udp", 30007)
    local, empty = lab.at_nodes("tcp", 30081), lab.at_nodes("tcp", 30082)
    answers = lab.ask("external", *cluster, *udp, *local, *empty)
    assert {pod for pod, _ in answers[:6]} <= PODS
    assert CLIENT not in {source for _, source in answers[:6]}
    assert answers[6:9] == [("pod-1-1", CLIENT), ("pod-2-1", CLIENT), NOBODY]
    assert answers[9:] == [REFUSED] * 3


def test_affinity_keeps_a_client_with_one_endpoint_and_is_no_drift(lab: Services) -> None:
    sticky = f"tcp/{lab.ip['sticky']}/80"
    [first] = lab.ask("pod-2-2", sticky)
    assert lab.ask("pod-2-2", *[sticky] * 10) == [first] * 10
    listing = lab.netlab.inside("node-2", "nft list table ip kube-proxy")
    assert "expires" in listing
    assert lab.netlab.ok("diff")["ok"]


def test_a_deleted_element_and_a_deleted_table_are_missed_and_made_again(lab: Services) -> None:
    web = lab.ip["web"]
    key = f"{web} . tcp . 80"
    lab.netlab.inside("node-1", f"nft delete element ip kube-proxy service-ips '{{ {key} }}'")
    lab.netlab.inside("node-2", "nft delete table ip kube-proxy")
    assert lab.ask("pod-1-1", f"tcp/{web}/80") == [REFUSED]
    found = lab.netlab.run("--json", "diff")
    assert found.code == 1
    [change] = found.json["changed"]
    words = (
        f"element {key} : goto service-PFISGYVC-default/web/tcp/ is missing from map service-ips"
    )
    assert change["differences"] == [words]
    assert len(found.json["missing"]) == 1
    up = lab.netlab.ok("up", "services", "--set", "proxy=nftables", "--no-verify")
    assert up["writes"] == 2
    assert lab.netlab.ok("diff")["ok"]
    for pod in ("pod-1-1", "pod-2-1"):
        assert lab.ask(pod, f"tcp/{web}/80")[0][0] in PODS
