"""iptables tables and ip sets as values: differences, restore lines; the two forms of flannel."""

from __future__ import annotations

from ipaddress import ip_network

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from netlab.dataplane.flannel.rules import rules
from netlab.plan.rulesets import (
    AnyRuleset,
    Ipset,
    IptablesChain,
    IptablesTable,
    NftTable,
    merged,
)
from netlab.plan.rulesets.iptables import BUILTIN, transaction
from netlab.plan.shell import rulesets as shell

JUMP = IptablesChain(name="POSTROUTING", policy="ACCEPT", rules=("-j MINE",))
MINE = IptablesChain(name="MINE", rules=("-s 10.0.0.0/8 -j MASQUERADE", "-j RETURN"))
TABLE = IptablesTable(name="nat", chains=(JUMP, MINE))
DNAT = IptablesChain(name="PREROUTING", policy="ACCEPT", rules=("-p udp -j DNAT",))

HAVE = {
    "a rule less": (
        replace(TABLE, chains=(JUMP, replace(MINE, rules=MINE.rules[:1]))),
        ["chain MINE: rule 2 is missing: '-j RETURN'"],
        [":MINE - [0:0]", "-A MINE -s 10.0.0.0/8 -j MASQUERADE", "-A MINE -j RETURN"],
    ),
    "a rule in a built-in chain": (
        replace(TABLE, chains=(JUMP, MINE, DNAT)),
        ["chain PREROUTING: unexpected rule '-p udp -j DNAT'"],
        [":PREROUTING ACCEPT [0:0]", "-F PREROUTING"],
    ),
    "a policy": (
        replace(TABLE, chains=(replace(JUMP, policy="DROP"), MINE)),
        ["chain POSTROUTING: policy is DROP, not ACCEPT"],
        [":POSTROUTING ACCEPT [0:0]", "-F POSTROUTING", "-A POSTROUTING -j MINE"],
    ),
    "a chain too many": (
        replace(TABLE, chains=(JUMP, MINE, IptablesChain(name="X", rules=("-j MINE",)))),
        ["unexpected chain X"],
        ["-F X", "-X X"],
    ),
    "nothing": (
        replace(TABLE, chains=()),
        ["chain POSTROUTING: all its rules are missing (1)", "chain MINE is missing"],
        [
            ":POSTROUTING ACCEPT [0:0]",
            ":MINE - [0:0]",
            "-A POSTROUTING -j MINE",
            "-A MINE -s 10.0.0.0/8 -j MASQUERADE",
            "-A MINE -j RETURN",
        ],
    ),
}


@pytest.mark.parametrize(("have", "words", "lines"), HAVE.values(), ids=HAVE)
def test_a_difference_is_told_and_undone(
    have: IptablesTable, words: list[str], lines: list[str]
) -> None:
    assert TABLE.differences(have) == words
    assert list(transaction(TABLE, have)) == ["*nat", *lines, "COMMIT"]


def test_a_chain_that_is_as_it_was_born_is_no_difference() -> None:
    whole = replace(TABLE, chains=(*TABLE.whole.values(),))
    assert len(whole.chains) == len(BUILTIN["nat"]) + 1
    assert TABLE.differences(whole) == []
    assert list(transaction(TABLE, whole)) == ["*nat", "COMMIT"]


def restored(table: IptablesTable, lines: list[str]) -> dict[str, IptablesChain]:
    """What `iptables-restore --noflush` makes of a table; it refuses what is not there."""
    chains = {name: [chain.policy, list(chain.rules)] for name, chain in table.whole.items()}
    for line in lines:
        verb, _, rest = line.partition(" ")
        if line.startswith(":"):
            name, policy = verb[1:], rest.split()[0]
            builtin = name in BUILTIN[table.name]
            assert builtin == (policy != "-")
            old = chains[name][1] if builtin else []
            chains[name] = [policy if builtin else None, old]
        elif verb == "-F":
            chains[rest][1] = []
        elif verb == "-A":
            name, _, rule = rest.partition(" ")
            target = rule.removeprefix("-j ")
            assert target in chains or target == "ACCEPT", f"{rule}: no such chain"
            chains[name][1].append(rule)  # type: ignore[union-attr]
        elif verb == "-X":
            assert not chains[rest][1], f"{rest} has rules"
            users = [n for n, (_, found) in chains.items() if f"-j {rest}" in (found or ())]
            assert not users, f"{rest} is used by {users}"
            del chains[rest]
    return {
        name: IptablesChain(name=name, policy=policy, rules=tuple(found or ()))  # type: ignore[arg-type]
        for name, (policy, found) in chains.items()
    }


@st.composite
def tables(draw: st.DrawFn) -> IptablesTable:
    names = draw(st.lists(st.sampled_from(("ONE", "TWO", "THREE")), unique=True))
    rule = st.sampled_from(["-j ACCEPT", *(f"-j {name}" for name in names)])
    some = st.lists(rule, max_size=3).map(tuple)
    chains = [IptablesChain(name=name, rules=draw(some)) for name in names]
    policy = draw(st.sampled_from(("ACCEPT", "DROP")))
    forward = IptablesChain(name="FORWARD", policy=policy, rules=draw(some))
    return IptablesTable(name="filter", chains=(*chains, forward))


@given(tables(), tables())
def test_restoring_makes_the_one_into_the_other(want: IptablesTable, have: IptablesTable) -> None:
    assert restored(have, list(transaction(want, have))) == want.whole
    assert bool(want.differences(have)) == (want.whole != have.whole)


def test_what_several_write_into_a_table_is_one_value() -> None:
    services = IptablesTable(
        name="nat",
        chains=(replace(JUMP, rules=("-j KUBE",)), IptablesChain(name="KUBE")),
    )
    other, names = replace(services, family="ip6"), Ipset(name="nodes")
    table = NftTable(family="ip", name="t")
    joined = replace(
        TABLE,
        chains=(
            replace(JUMP, rules=("-j MINE", "-j KUBE")),
            MINE,
            IptablesChain(name="KUBE"),
        ),
    )
    assert merged([TABLE, other, table, services, names]) == [names, joined, other, table]


def test_json_brings_back_the_type() -> None:
    values = [TABLE, Ipset(name="s", entries=("10.0.0.1",))]
    data = msgspec.json.encode(values)
    assert msgspec.json.decode(data, type=list[AnyRuleset]) == values


def test_an_ipset_tells_its_differences() -> None:
    want = Ipset(name="s", type="hash:net", entries=("10.0.0.0/8",))
    have = replace(want, maxelem=9, entries=("11.0.0.0/8",))
    assert want.differences(have) == [
        "it is 's hash:net family inet maxelem 9', not 's hash:net family inet maxelem 65536'",
        "element 10.0.0.0/8 is missing from ipset s",
        "unexpected element 11.0.0.0/8 in ipset s",
    ]
    assert want.without({"s"}, have) == (replace(have, entries=want.entries), have)
    assert want.without({"other"}, have) == (have, None)


def test_each_tool_reads_its_own_text() -> None:
    nodes = Ipset(name="nodes", timeout=30, entries=("10.0.0.1",))
    legacy = replace(TABLE, backend="legacy", family="ip6")
    assert shell.tools([TABLE, legacy, nodes, TABLE]) == [
        "iptables-nft-restore",
        "ip6tables-legacy-restore",
        "ipset",
    ]
    assert shell.script("node-1", nodes).splitlines() == [
        "ip netns exec node-1 ipset restore <<'END'",
        "create nodes hash:ip family inet maxelem 65536 timeout 30",
        "add nodes 10.0.0.1",
        "END",
    ]
    assert shell.script("node-1", legacy).splitlines() == [
        "ip netns exec node-1 ip6tables-legacy-restore --noflush <<'END'",
        "*nat",
        ":POSTROUTING ACCEPT [0:0]",
        ":MINE - [0:0]",
        "-A POSTROUTING -j MINE",
        "-A MINE -s 10.0.0.0/8 -j MASQUERADE",
        "-A MINE -j RETURN",
        "COMMIT",
        "END",
    ]


def test_flannels_two_forms_differ_where_its_sources_do() -> None:
    """The fourth rule: who comes from outside, for which pods; and the mark, whole or its bit."""
    cluster, pods = ip_network("10.244.0.0/16"), ip_network("10.244.1.0/24")
    (table,) = rules("nftables", cluster, pods)
    nat, forward = rules("iptables", cluster, pods)
    assert isinstance(table, NftTable)
    assert isinstance(nat, IptablesTable)
    assert isinstance(forward, IptablesTable)
    nft, iptables = table.chains[0].rules, nat.by_name["FLANNEL-POSTRTG"].rules
    assert nft[0] == "meta mark 0x00004000 return"
    assert nft[3] == "ip saddr != 10.244.1.0/24 ip daddr 10.244.0.0/16 return"
    masq = '-m comment --comment "flanneld masq"'
    assert iptables[0] == f"-m mark --mark 0x4000/0x4000 {masq} -j RETURN"
    assert iptables[3] == f"! -s 10.244.0.0/16 -d 10.244.1.0/24 {masq} -j RETURN"
    assert len(nft) == len(iptables) == 6
    assert nat.by_name["POSTROUTING"].rules == (f"{masq} -j FLANNEL-POSTRTG",)
    words = '-m comment --comment "flanneld forward"'
    assert forward.by_name["FORWARD"].rules == (f"{words} -j FLANNEL-FWD",)
    assert forward.by_name["FLANNEL-FWD"].rules == (
        f"-s 10.244.0.0/16 {words} -j ACCEPT",
        f"-d 10.244.0.0/16 {words} -j ACCEPT",
    )


def test_flannels_rules_for_ipv6_are_the_same_with_other_words() -> None:
    cluster, pods = ip_network("fd00:10::/48"), ip_network("fd00:10:0:1::/64")
    (table,) = rules("nftables", cluster, pods)
    nat, _ = rules("iptables", cluster, pods)
    assert table.key == "ip6 flannel-ipv6"
    assert nat.key == "iptables-nft ip6 nat"
    assert "ip6 daddr != ff00::/8 masquerade fully-random" in str(msgspec.to_builtins(table))
    assert "! -d ff00::/8" in str(msgspec.to_builtins(nat))
