"""Rulesets of all kinds on the real kernel: loaded, read back as planned, damaged and repaired.

What `nft`, `iptables` and `ipset` do and show is compared, which know nothing of netlab.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from msgspec.structs import replace

from netlab.dataplane.flannel.rules import rules
from netlab.errors import Unmet
from netlab.kernel import capabilities, rulesets
from netlab.kernel.namespaces import scratch
from netlab.kernel.rulesets import RulesetError, iptables, nft
from netlab.plan.rulesets import (
    Chain,
    Hook,
    Ipset,
    IptablesChain,
    IptablesTable,
    Map,
    NftObject,
    NftTable,
    Ruleset,
    Set,
)
from netlab.plan.types import Namespace, Plan
from tests.kernel.conftest import Netlab

V4 = (ip_network("10.244.0.0/16"), ip_network("10.244.1.0/24"))
V6 = (ip_network("fd00:10::/48"), ip_network("fd00:10:0:1::/64"))


def shell(command: str) -> str:
    done = subprocess.run(["sh", "-ec", command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture
def namespace() -> Iterator[None]:
    with scratch():
        yield


def iptables_form(backend: str) -> list[Ruleset]:
    tables = [*rules("iptables", *V4), *rules("iptables", *V6)]
    return [replace(table, backend=backend) for table in tables]


def services(endpoints: int) -> NftTable:
    """A table like kube-proxy's, in spellings of which nft prints some otherwise."""
    base = Hook(type="nat", hook="prerouting", priority="-100")
    return NftTable(
        family="ip",
        name="kube-proxy",
        comment="rules for kube-proxy",
        objects=(NftObject(kind="counter", name="dropped"),),
        sets=(
            Set(name="cluster-ips", type="ipv4_addr", elements=("10.96.0.1", "10.96.0.10")),
            Set(name="ports", type="inet_service", elements=("domain", "http", "6443")),
            Set(
                name="ranges",
                type="ipv4_addr",
                flags=("interval",),
                elements=("10.0.0.0-10.0.0.255", "192.168.0.1"),
            ),
            Set(
                name="affinity",
                type="ipv4_addr",
                flags=("dynamic", "timeout"),
                options=("timeout 10800s",),
            ),
            Set(name="seen", type="ipv4_addr", flags=("dynamic",), elements=("10.9.9.9",)),
        ),
        maps=(
            Map(
                name="service-ips",
                type="ipv4_addr . inet_proto . inet_service : verdict",
                elements=tuple(
                    (f'10.96.{i >> 8}.{i & 255} . tcp . 80 comment "ns/web : {i}, a"', "goto web")
                    for i in range(endpoints)
                ),
            ),
        ),
        chains=(
            Chain(
                name="nat-prerouting",
                hook=base,
                rules=("ip daddr . meta l4proto . th dport vmap @service-ips", "counter"),
            ),
            Chain(
                name="web",
                comment="the web",
                rules=(
                    "update @affinity { ip saddr }",
                    "meta l4proto tcp dnat to 10.0.0.1:http",
                ),
            ),
            Chain(
                name="output",
                hook=Hook(type="filter", hook="output", priority="0"),
                rules=(
                    "add @seen { ip daddr }",
                    "counter",
                    "tcp dport @ports ip saddr @ranges counter name dropped drop",
                ),
            ),
        ),
    )


NODES = Ipset(name="nodes", type="hash:net", entries=("10.0.0.0/8", "192.168.1.1"))
VIPS = Ipset(name="vips", type="hash:ip,port", entries=("10.96.0.1,tcp:443", "10.96.0.10,53"))
MATCHED = IptablesTable(
    name="nat",
    chains=(
        IptablesChain(
            name="POSTROUTING",
            policy="ACCEPT",
            rules=("-m set ! --match-set nodes dst -j MASQUERADE",),
        ),
        IptablesChain(
            name="PREROUTING",
            policy="ACCEPT",
            rules=(
                "-m set --match-set vips dst,dst -p tcp --dport 443 -j DNAT --to 10.0.0.1:6443",
            ),
        ),
    ),
)
PLANNED: dict[str, list[Ruleset]] = {
    "flannel nftables": [*rules("nftables", *V4), *rules("nftables", *V6)],
    "flannel iptables": iptables_form("nft"),
    "flannel iptables legacy": iptables_form("legacy"),
    "services": [services(3)],
    "ipsets": [
        Ipset(name="six", family="inet6", comment=True, entries=('fd00::1 comment "one"',)),
        Ipset(name="ports", type="bitmap:port", range="0-1024", entries=("80",)),
        Ipset(name="hosts", type="bitmap:ip", range="10.0.0.0-10.0.0.255", entries=("10.0.0.5",)),
        Ipset(name="learned", timeout=600),
        Ipset(name="except", type="hash:net,iface", entries=("10.0.0.0/8,eth0 nomatch",)),
        Ipset(name="sets", type="list:set", size=4, entries=("six", "learned")),
    ],
    "iptables with ipsets": [NODES, VIPS, MATCHED],
    "iptables legacy with ipsets": [NODES, VIPS, replace(MATCHED, backend="legacy")],
    "hooked into a device": [
        NftTable(
            family="netdev",
            name="guard",
            chains=(
                Chain(
                    name="in",
                    hook=Hook(type="filter", hook="ingress", priority="0", devices=("lo",)),
                    rules=("ip saddr 10.0.0.1 drop",),
                ),
            ),
        )
    ],
    "both iptables beside nftables": [
        *rules("nftables", *V4),
        *iptables_form("nft"),
        *iptables_form("legacy"),
    ],
}
LEGACY = {name for name in PLANNED if "legacy" in name or "both" in name}
CASES = [
    pytest.param(
        planned,
        id=name,
        marks=[pytest.mark.needs("iptables-legacy")] if name in LEGACY else [],
    )
    for name, planned in PLANNED.items()
]


def difference(
    wanted: list[Ruleset], found: list[Ruleset]
) -> tuple[list[Ruleset], list[tuple[Ruleset, Ruleset]], list[Ruleset]]:
    present, planned = ({item.key: item for item in items} for items in (found, wanted))
    assert len(present) == len(found)
    missing = [item for item in wanted if item.key not in present]
    both = [(item, present[item.key]) for item in wanted if item.key in present]
    changed = [(want, have) for want, have in both if want != have]
    return missing, changed, [item for item in found if item.key not in planned]


def load(planned: list[Ruleset]) -> rulesets.Canonical:
    canonical = rulesets.prepare(planned)
    missing, changed, unexpected = difference(planned, rulesets.observe(planned, canonical))
    assert (missing, changed, unexpected) == (planned, [], [])
    assert rulesets.apply(missing, [], []) == len(planned)
    assert rulesets.observe(planned, canonical) == planned
    return canonical


def seen() -> list[Ruleset]:
    """What is there, where nothing is planned."""
    return [*rulesets.observe([], rulesets.prepare([]))]


def told(changed: list[tuple[Ruleset, Ruleset]]) -> list[str]:
    return [word for want, have in changed for word in want.differences(have)]


@pytest.mark.parametrize("planned", CASES)
@pytest.mark.usefixtures("namespace")
def test_what_was_loaded_is_what_was_planned(planned: list[Ruleset]) -> None:
    load(planned)


FLANNEL, SERVICES = PLANNED["flannel nftables"], PLANNED["services"]
IPTABLES, SETS = PLANNED["flannel iptables"], PLANNED["iptables with ipsets"]
DAMAGE: dict[str, tuple[list[Ruleset], str, str]] = {
    "a rule of nftables": (
        FLANNEL,
        "nft insert rule ip flannel-ipv4 postrtg ip daddr 10.244.1.0/24 masquerade",
        "chain postrtg: unexpected rule 'ip daddr 10.244.1.0/24 masquerade'",
    ),
    "a chain that is flushed": (
        FLANNEL,
        "nft flush chain ip6 flannel-ipv6 forward",
        "chain forward: all its rules are missing (2)",
    ),
    "a chain too many": (
        SERVICES,
        "nft add chain ip kube-proxy other; nft add rule ip kube-proxy other jump web",
        "unexpected chain other",
    ),
    "a chain that is gone": (
        SERVICES,
        "nft 'flush chain ip kube-proxy output; delete chain ip kube-proxy output'",
        "chain output is missing",
    ),
    "a policy": (
        SERVICES,
        "nft 'chain ip kube-proxy output { policy drop; }'",
        "chain output is 'type filter hook output priority filter; policy drop', not "
        "'type filter hook output priority 0; policy accept'",
    ),
    "an element of a set": (
        SERVICES,
        "nft add element ip kube-proxy cluster-ips { 10.96.0.9 }",
        "unexpected element 10.96.0.9 in set cluster-ips",
    ),
    "an element that is printed otherwise": (
        SERVICES,
        "nft delete element ip kube-proxy ports { 80 }",
        "element http is missing from set ports",
    ),
    "an element of a map": (
        SERVICES,
        "nft delete element ip kube-proxy service-ips { 10.96.0.1 . tcp . 80 }",
        'element 10.96.0.1 . tcp . 80 comment "ns/web : 1, a" : goto web is missing from map '
        "service-ips",
    ),
    "a planned element of a set that learns": (
        SERVICES,
        "nft delete element ip kube-proxy seen { 10.9.9.9 }",
        "element 10.9.9.9 is missing from set seen",
    ),
    "a set too many": (
        SERVICES,
        "nft 'add set ip kube-proxy other { type ipv4_addr; }'",
        "unexpected set other",
    ),
    "an object too many": (
        SERVICES,
        "nft add counter ip kube-proxy other",
        "unexpected counter other",
    ),
    "a rule of iptables": (
        IPTABLES,
        "iptables-nft -t nat -D FLANNEL-POSTRTG 2",
        "chain FLANNEL-POSTRTG: rule 2 is missing: '-s 10.244.1.0/24 -d 10.244.0.0/16 -m comment "
        '--comment "flanneld masq" -j RETURN\'',
    ),
    "a rule of ip6tables": (
        IPTABLES,
        "ip6tables-nft -I FORWARD -j DROP",
        "chain FORWARD: unexpected rule '-j DROP'",
    ),
    "a policy of iptables": (
        IPTABLES,
        "iptables-nft -P FORWARD DROP",
        "chain FORWARD: policy is DROP, not ACCEPT",
    ),
    "a chain of iptables": (
        IPTABLES,
        "iptables-nft -N OTHER; iptables-nft -A OTHER -j FLANNEL-FWD",
        "unexpected chain OTHER",
    ),
    "an entry of an ipset": (
        SETS,
        "ipset del nodes 10.0.0.0/8; ipset add nodes 11.0.0.0/8",
        "element 10.0.0.0/8 is missing from ipset nodes",
    ),
    "an ipset that was made otherwise": (
        SETS,
        "ipset create other hash:net maxelem 9; ipset swap other nodes; ipset destroy other",
        "it is 'nodes hash:net family inet maxelem 9', not "
        "'nodes hash:net family inet maxelem 65536'",
    ),
}
LEGACY_DAMAGE: dict[str, tuple[list[Ruleset], str, str]] = {
    name: (
        [
            replace(item, backend="legacy") if isinstance(item, IptablesTable) else item
            for item in planned
        ],
        command.replace("tables-nft", "tables-legacy"),
        words,
    )
    for name, (planned, command, words) in DAMAGE.items()
    if planned is IPTABLES or planned is SETS
}


def check_damage(planned: list[Ruleset], command: str, words: str) -> None:
    canonical = load(planned)
    shell(command)
    missing, changed, unexpected = difference(planned, rulesets.observe(planned, canonical))
    assert words in told(changed)
    assert (len(changed), missing, unexpected) == (1, [], [])
    assert rulesets.apply(missing, changed, unexpected) == 1
    assert rulesets.observe(planned, canonical) == planned


@pytest.mark.parametrize(("planned", "command", "words"), DAMAGE.values(), ids=DAMAGE)
@pytest.mark.usefixtures("namespace")
def test_damage_is_told_and_repaired_at_once(
    planned: list[Ruleset], command: str, words: str
) -> None:
    check_damage(planned, command, words)


@pytest.mark.needs("iptables-legacy")
@pytest.mark.parametrize(("planned", "command", "words"), LEGACY_DAMAGE.values(), ids=LEGACY_DAMAGE)
@pytest.mark.usefixtures("namespace")
def test_damage_of_legacy_tables_is_told_and_repaired_at_once(
    planned: list[Ruleset], command: str, words: str
) -> None:
    check_damage(planned, command, words)


DNAT = "-t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to 10.0.0.1"
UNEXPECTED = {
    "nftables table inet mine": "nft add table inet mine",
    "iptables-nft table nat": f"iptables-nft {DNAT}",
    "ip6tables-nft table filter": "ip6tables-nft -A INPUT -j DROP",
    "ipset mine": "ipset create mine hash:ip; ipset add mine 10.0.0.1",
}
LEGACY_UNEXPECTED = {
    "iptables-legacy table nat": f"iptables-legacy {DNAT}",
    "iptables-legacy table filter": "iptables-legacy -P FORWARD DROP",
    "ip6tables-legacy table mangle": "ip6tables-legacy -t mangle -N MINE",
}


def check_unexpected(name: str, command: str) -> None:
    canonical = load(FLANNEL)
    shell(command)
    missing, changed, unexpected = difference(FLANNEL, rulesets.observe(FLANNEL, canonical))
    assert (missing, changed, [str(item) for item in unexpected]) == ([], [], [name])
    assert rulesets.apply([], [], unexpected) == 1
    assert rulesets.observe(FLANNEL, canonical) == FLANNEL


@pytest.mark.parametrize(("name", "command"), UNEXPECTED.items(), ids=UNEXPECTED)
@pytest.mark.usefixtures("namespace")
def test_what_is_not_planned_is_seen_and_removed(name: str, command: str) -> None:
    check_unexpected(name, command)
    assert len(shell("nft list tables").splitlines()) == len(FLANNEL)
    assert shell("ipset list -n") == ""


@pytest.mark.needs("iptables-legacy")
@pytest.mark.parametrize(("name", "command"), LEGACY_UNEXPECTED.items(), ids=LEGACY_UNEXPECTED)
@pytest.mark.usefixtures("namespace")
def test_legacy_rules_that_are_not_planned_are_seen_and_removed(name: str, command: str) -> None:
    """The table stays: the kernel has no way to take it away, and it is as it was born."""
    check_unexpected(name, command)
    program, table = name.split()[0], name.split()[-1]
    saved = shell(f"{program}-save -t {table}").splitlines()
    assert not [line for line in saved if line.startswith("-A") or " - " in line or "DROP" in line]


@pytest.mark.usefixtures("namespace")
def test_a_chain_may_hook_into_any_device() -> None:
    """Where it is compared there are no devices, so that they have to be made for it."""
    shell("ip link add eth0 type bridge; ip link add eth1 type bridge")
    hook = Hook(type="filter", hook="ingress", priority="0", devices=("eth1", "eth0"))
    load([NftTable(family="netdev", name="t", chains=(Chain(name="c", hook=hook),))])


@pytest.mark.usefixtures("namespace")
def test_a_change_that_the_kernel_refuses_is_made_by_making_the_table_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As kernels before 6.2 refuse to delete a chain that the same transaction frees."""
    canonical = load(SERVICES)
    shell("nft flush chain ip kube-proxy web")
    _, changed, _ = difference(SERVICES, rulesets.observe(SERVICES, canonical))
    monkeypatch.setattr(nft, "transaction", lambda want, have: ["delete chain ip kube-proxy no"])
    rulesets.apply([], changed, [])
    assert rulesets.observe(SERVICES, canonical) == SERVICES


@pytest.mark.usefixtures("namespace")
def test_what_nft_puts_into_a_table_of_iptables_is_seen() -> None:
    """`iptables-save` shows neither the set nor the chain, so the table is no longer iptables'."""
    canonical = load(IPTABLES)
    shell("nft 'add set ip nat mine { type ipv4_addr; }'")
    missing, changed, unexpected = difference(IPTABLES, rulesets.observe(IPTABLES, canonical))
    assert [str(item) for item in missing] == ["iptables-nft table nat"]
    assert [str(item) for item in unexpected] == ["nftables table ip nat"]
    rulesets.apply(missing, changed, unexpected)
    assert rulesets.observe(IPTABLES, canonical) == IPTABLES


@pytest.mark.usefixtures("namespace")
def test_a_table_of_that_name_may_be_nftables_own() -> None:
    hook = Hook(type="nat", hook="postrouting", priority="srcnat")
    planned: list[Ruleset] = [
        NftTable(family="ip", name="nat", chains=(Chain(name="POSTROUTING", hook=hook),))
    ]
    load(planned)


def created() -> tuple[str, ...]:
    """All that looking could create, as the kernel tells it to those who do not create it."""
    names = [Path(f"/proc/thread-self/net/{ip}_tables_names") for ip in ("ip", "ip6")]
    texts = [path.read_text() for path in names if path.exists()]
    return (*texts, shell("nft list ruleset"), shell("ipset list -n"))


@pytest.mark.usefixtures("namespace")
def test_looking_creates_nothing() -> None:
    before = created()
    assert not any(before)
    assert seen() == []
    assert created() == before


@pytest.mark.needs("iptables-legacy")
@pytest.mark.usefixtures("namespace")
def test_looking_at_one_table_creates_no_other() -> None:
    shell(f"iptables-legacy {DNAT}")
    before = created()
    assert before[:2] == ("nat\n", "")
    assert [str(item) for item in seen()] == ["iptables-legacy table nat"]
    assert created() == before


@pytest.mark.needs("iptables-legacy")
def test_a_legacy_table_of_another_thread_is_seen_there_alone() -> None:
    """/proc/self is the process, whose first thread is in another namespace."""
    found: list[Ruleset] = []

    def look() -> None:
        with scratch():
            shell(f"iptables-legacy {DNAT}")
            found.extend(seen())

    with scratch():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert [str(item) for item in found] == ["iptables-legacy table nat"]
        assert seen() == []


@pytest.mark.usefixtures("namespace")
def test_what_rules_learned_is_no_drift() -> None:
    canonical = load(SERVICES)
    shell("ip link set lo up; ping -c 1 127.0.0.5")
    shell("nft add element ip kube-proxy affinity { 10.1.1.1 }")
    assert "127.0.0.5" in shell("nft list set ip kube-proxy seen")
    assert rulesets.observe(SERVICES, canonical) == SERVICES


def packets(chain: str) -> int:
    listing = json.loads(shell(f"nft -j list chain ip kube-proxy {chain}"))
    counters = [
        part["counter"]["packets"]
        for entry in listing["nftables"]
        for part in entry.get("rule", {}).get("expr", ())
        if isinstance(part.get("counter"), dict)
    ]
    return sum(counters)


@pytest.mark.usefixtures("namespace")
def test_an_endpoint_of_many_changes_without_a_reload() -> None:
    planned: list[Ruleset] = [services(5000)]
    canonical = load(planned)
    shell("ip link set lo up; ping -c 1 127.0.0.1")
    counted = packets("output")
    assert counted > 0
    shell(
        "nft 'delete element ip kube-proxy service-ips { 10.96.1.1 . tcp . 80 }; "
        "flush chain ip kube-proxy web'"
    )
    _, changed, _ = difference(planned, rulesets.observe(planned, canonical))
    assert len(told(changed)) == 2
    rulesets.apply([], changed, [])
    assert rulesets.observe(planned, canonical) == planned
    assert packets("output") == counted


@pytest.mark.parametrize(
    "backend", ["nft", pytest.param("legacy", marks=pytest.mark.needs("iptables-legacy"))]
)
@pytest.mark.usefixtures("namespace")
def test_counters_of_other_chains_stay(backend: str) -> None:
    counting = IptablesChain(name="OUTPUT", policy="ACCEPT", rules=("-d 127.0.0.0/8 -j ACCEPT",))
    mine = IptablesChain(name="MINE", rules=("-j RETURN",))
    table = IptablesTable(name="filter", chains=(counting, mine))
    planned: list[Ruleset] = [replace(table, backend=backend)]
    canonical = load(planned)
    shell("ip link set lo up; ping -c 1 127.0.0.1")
    counted = shell(f"iptables-{backend} -vxnL OUTPUT")
    assert " 84 ACCEPT" in counted or " 168 ACCEPT" in counted
    shell(f"iptables-{backend} -F MINE")
    _, changed, _ = difference(planned, rulesets.observe(planned, canonical))
    rulesets.apply([], changed, [])
    assert rulesets.observe(planned, canonical) == planned
    assert shell(f"iptables-{backend} -vxnL OUTPUT") == counted


def test_a_large_ipset_is_read_whole() -> None:
    entries = tuple(f"10.0.{i >> 8}.{i & 255}" for i in range(5000))
    with scratch():
        load([Ipset(name="many", entries=entries)])


REFUSED: dict[str, tuple[Ruleset, str]] = {
    "nftables": (
        NftTable(family="ip", name="t", chains=(Chain(name="c", rules=("jump nowhere",)),)),
        "jump nowhere",
    ),
    "nftables syntax": (
        NftTable(family="ip", name="t", chains=(Chain(name="c", rules=("no such rule",)),)),
        "syntax error, unexpected rule, expecting newline or semicolon: no such rule",
    ),
    "iptables": (
        IptablesTable(
            name="filter",
            chains=(IptablesChain(name="FORWARD", policy="ACCEPT", rules=("-j NOWHERE",)),),
        ),
        "NOWHERE",
    ),
    "ipset": (
        Ipset(name="s", entries=("10.0.0.1,80",)),
        "ipset s: '10.0.0.1,80' is no entry of a hash:ip",
    ),
    "ipset family": (
        Ipset(name="s", entries=("fd00::1",)),
        "ipset protocol error: add s fd00::1",
    ),
    "ipset type": (
        Ipset(name="s", type="hash:nosuch"),
        "ipset s: the kernel has no ip sets of type hash:nosuch",
    ),
}


@pytest.mark.parametrize(("planned", "words"), REFUSED.values(), ids=REFUSED)
@pytest.mark.usefixtures("namespace")
def test_what_is_refused_is_named(planned: Ruleset, words: str) -> None:
    with pytest.raises(RulesetError) as refused:
        _ = rulesets.prepare([planned]), rulesets.apply([planned], [], [])
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_program_that_lacks_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan("t", (), {"node-1": Namespace("node-1", "node", ruleset=[MATCHED])})
    rulesets.preflight(plan)
    monkeypatch.setattr(iptables, "program", lambda name: None)
    with pytest.raises(Unmet) as unmet:
        rulesets.preflight(plan)
    assert str(unmet.value) == (
        "The iptables-nft table nat needs iptables-nft, which is not installed; "
        "install the package iptables."
    )
    assert capabilities.remedy("iptables-nft") == "install the package iptables"


@pytest.mark.needs("iptables-legacy")
def test_a_legacy_rule_in_a_node_is_drift_of_the_lab(netlab: Netlab) -> None:
    """It was invisible to `nft`, and so to netlab."""
    netlab.ok("up", "flannel-vxlan", "--no-verify")
    netlab.inside("node-1", f"iptables-legacy {DNAT}")
    found = netlab.run("--json", "diff")
    assert found.code == 1
    assert [item["object"] for item in found.json["unexpected"]] == ["iptables-legacy table nat"]
    assert netlab.ok("up", "flannel-vxlan", "--no-verify")["changes"] == 1
    assert netlab.ok("diff")["ok"]
    assert "DNAT" not in netlab.inside("node-1", "iptables-legacy-save -t nat")


@pytest.mark.needs("iptables-legacy")
@pytest.mark.usefixtures("namespace")
def test_the_machines_lock_of_iptables_is_left_alone() -> None:
    """Whoever holds it works in another namespace; and a user could not even open it."""
    lock = Path("/run/xtables.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        load(iptables_form("legacy"))
    lock.unlink()
    rulesets.apply([], [], iptables_form("legacy"))
    assert seen() == []
    assert not lock.exists()


FULL = """
import os
from netlab.kernel.namespaces import scratch
from netlab.kernel.rulesets import nft

nft.keep_room()
for _ in range(1100):
    os.open(os.devnull, os.O_RDONLY)
with scratch():
    for _ in range(2):
        nft.run("add table ip t")
    print(nft.run("list ruleset").count("table ip t"))
"""


def test_a_process_with_many_files_can_load_rules() -> None:
    """Of a thousand namespaces each takes a descriptor, and libnftables uses select()."""
    command = [sys.executable, "-c", FULL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "1\n", done.stderr
