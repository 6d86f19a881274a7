"""nftables tables as values: their differences in words, and the commands that undo them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from netlab.plan.rulesets import AnyRuleset, Chain, Hook, Map, NftObject, NftTable, Set
from netlab.plan.rulesets.nft_transaction import transaction
from tests.unit.fake_nft import FakeTable, state

NAT = Hook(type="nat", hook="prerouting", priority="dstnat")
SERVICES = Map(
    name="service-ips",
    type="ipv4_addr . inet_proto . inet_service : verdict",
    elements=(
        ("10.96.0.10 . udp . 53", "goto dns"),
        ('10.96.0.1 . tcp . 443 comment "a : b, c"', "goto api"),
    ),
)
TABLE = NftTable(
    family="ip",
    name="t",
    comment="rules",
    sets=(Set(name="cluster", type="ipv4_addr", elements=("10.96.0.1", "10.96.0.10")),),
    maps=(SERVICES,),
    chains=(
        Chain(
            name="nat",
            hook=NAT,
            rules=("ip daddr . meta l4proto . th dport vmap @service-ips", "counter"),
        ),
        Chain(name="dns", rules=("dnat to 10.0.0.1:53",)),
        Chain(name="api", comment="the API", rules=("dnat to 10.0.0.2:6443", "accept")),
    ),
)


def with_chain(table: NftTable, name: str, **fields: Any) -> NftTable:
    chains = (replace(c, **fields) if c.name == name else c for c in table.chains)
    return replace(table, chains=tuple(chains))


def without_chain(table: NftTable, name: str) -> NftTable:
    return replace(table, chains=tuple(c for c in table.chains if c.name != name))


HAVE = {
    "a rule less": (
        with_chain(TABLE, "api", rules=("accept",)),
        ["chain api: rule 1 is missing: 'dnat to 10.0.0.2:6443'"],
        [
            "flush chain ip t api",
            "add rule ip t api dnat to 10.0.0.2:6443",
            "add rule ip t api accept",
        ],
    ),
    "another rule": (
        with_chain(TABLE, "dns", rules=("drop",)),
        ["chain dns: rule 1 is 'drop', not 'dnat to 10.0.0.1:53'"],
        ["flush chain ip t dns", "add rule ip t dns dnat to 10.0.0.1:53"],
    ),
    "a rule too many": (
        with_chain(TABLE, "dns", rules=("counter", "dnat to 10.0.0.1:53")),
        ["chain dns: unexpected rule 'counter'"],
        ["flush chain ip t dns", "add rule ip t dns dnat to 10.0.0.1:53"],
    ),
    "no rules": (
        with_chain(TABLE, "api", rules=()),
        ["chain api: all its rules are missing (2)"],
        [
            "flush chain ip t api",
            "add rule ip t api dnat to 10.0.0.2:6443",
            "add rule ip t api accept",
        ],
    ),
    "an element less and one too many": (
        replace(TABLE, sets=(TABLE.sets[0].holding(["10.96.0.1", "10.96.0.9"]),)),
        [
            "element 10.96.0.10 is missing from set cluster",
            "unexpected element 10.96.0.9 in set cluster",
        ],
        [
            "delete element ip t cluster { 10.96.0.9 }",
            "add element ip t cluster { 10.96.0.10 }",
        ],
    ),
    "another value": (
        replace(
            TABLE,
            maps=(
                replace(
                    SERVICES, elements=(SERVICES.elements[0], (*SERVICES.elements[1][:1], "drop"))
                ),
            ),
        ),
        [
            'element 10.96.0.1 . tcp . 443 comment "a : b, c" : goto api is missing from map '
            "service-ips",
            'unexpected element 10.96.0.1 . tcp . 443 comment "a : b, c" : drop in map service-ips',
        ],
        [
            "delete element ip t service-ips { 10.96.0.1 . tcp . 443 }",
            'add element ip t service-ips { 10.96.0.1 . tcp . 443 comment "a : b, c" : goto api }',
        ],
    ),
    "another policy": (
        with_chain(TABLE, "nat", hook=replace(NAT, policy="drop")),
        [
            "chain nat is 'type nat hook prerouting priority dstnat; policy drop', not "
            "'type nat hook prerouting priority dstnat; policy accept'"
        ],
        ["add chain ip t nat { type nat hook prerouting priority dstnat; policy accept; }"],
    ),
    "a chain too many": (
        replace(TABLE, chains=(*TABLE.chains, Chain(name="x", rules=("accept",)))),
        ["unexpected chain x"],
        ["flush chain ip t x", "delete chain ip t x"],
    ),
    "another comment of the table": (
        replace(TABLE, comment=""),
        ["comment is '', not 'rules'"],
        ["delete table ip t", TABLE.script.rstrip()],
    ),
    "an object too many": (
        replace(TABLE, objects=(NftObject(kind="counter", name="c"),)),
        ["unexpected counter c"],
        ["delete counter ip t c"],
    ),
}


@pytest.mark.parametrize(("have", "words", "commands"), HAVE.values(), ids=HAVE)
def test_a_difference_is_told_and_undone(
    have: NftTable, words: list[str], commands: list[str]
) -> None:
    assert TABLE.differences(have) == words
    assert list(transaction(TABLE, have)) == commands


def test_nothing_differs() -> None:
    assert TABLE.differences(TABLE) == []
    assert list(transaction(TABLE, TABLE)) == []


def test_what_is_made_again_takes_what_names_it_along() -> None:
    """A set of another type, used in a rule; a chain with another comment, named by an element."""
    other = replace(SERVICES, type="ipv4_addr : verdict", elements=())
    commands = list(
        transaction(TABLE, with_chain(replace(TABLE, maps=(other,)), "api", comment=""))
    )
    assert commands[:4] == [
        "flush chain ip t nat",
        "flush chain ip t api",
        "delete map ip t service-ips",
        "delete chain ip t api",
    ]
    assert "flush chain ip t dns" not in commands
    assert not any("cluster" in command for command in commands)


def test_an_endpoint_of_many_is_two_lines() -> None:
    """Services' maps grow with the cluster; a change of one endpoint does not."""
    elements = tuple((f"10.{i >> 8}.{i & 255}.1 . tcp . 80", "goto dns") for i in range(5000))
    want = replace(TABLE, maps=(replace(SERVICES, elements=elements),))
    moved = (("10.9.9.9 . tcp . 80", "goto dns"), *elements[1:])
    have = replace(TABLE, maps=(replace(SERVICES, elements=moved),))
    assert list(transaction(want, have)) == [
        "delete element ip t service-ips { 10.9.9.9 . tcp . 80 }",
        "add element ip t service-ips { 10.0.0.1 . tcp . 80 : goto dns }",
    ]
    assert len(want.differences(replace(TABLE, maps=(replace(SERVICES, elements=()),)))) == 6


def test_a_daemons_elements_are_apart() -> None:
    have = replace(TABLE, sets=(TABLE.sets[0].holding(["10.1.1.1"]),))
    compared, theirs = TABLE.without({"ip t cluster", "ip other cluster"}, have)
    assert compared == TABLE
    assert theirs == NftTable(family="ip", name="t", sets=have.sets)
    assert TABLE.without({"ip t nosuch"}, have) == (have, None)
    empty = replace(TABLE, sets=(TABLE.sets[0].holding([]),))
    assert TABLE.without({"ip t cluster"}, empty) == (TABLE, None)


def test_json_brings_back_the_type() -> None:
    data = msgspec.json.encode([TABLE])
    assert msgspec.json.decode(data, type=list[AnyRuleset]) == [TABLE]
    assert msgspec.json.decode(data)[0]["kind"] == "nfttable"


IPS = ("10.0.0.1", "10.0.0.2", '10.0.0.3 comment "x : y, z"')
CHAINS = ("one", "two", "three")


@st.composite
def tables(draw: st.DrawFn) -> NftTable:
    """Tables whose rules and elements only name what is there, as the kernel insists."""
    names = draw(st.lists(st.sampled_from(CHAINS), unique=True))
    kinds = st.sampled_from(("ipv4_addr", "ipv4_addr . mark"))
    elements = st.lists(st.sampled_from(IPS), unique=True).map(tuple)
    sets = tuple(
        Set(name=name, type=draw(kinds), elements=draw(elements))
        for name in draw(st.lists(st.sampled_from(("s1", "s2")), unique=True))
    )
    verdicts = st.sampled_from(["drop", *(f"goto {name}" for name in names)])
    maps = tuple(
        Map(
            name=name,
            type=f"{draw(kinds)} : verdict",
            elements=tuple((key, draw(verdicts)) for key in draw(elements)),
        )
        for name in draw(st.lists(st.sampled_from(("m1",)), unique=True))
    )
    choices = ["accept", "drop", *(f"ip saddr @{item.name} drop" for item in sets)]
    choices += [f"ip daddr vmap @{item.name}" for item in maps]
    choices += [f"jump {name}" for name in names]
    rules = st.lists(st.sampled_from(choices), max_size=3).map(tuple)
    hooks = st.none() | st.builds(
        Hook,
        type=st.just("filter"),
        hook=st.sampled_from(("input", "output")),
        policy=st.sampled_from(("accept", "drop")),
    )
    comments = st.sampled_from(("", "note"))
    chains = [Chain(name=name, comment=draw(comments), rules=draw(rules)) for name in names]
    base = Chain(name="base", hook=draw(hooks), rules=draw(rules))
    return NftTable(family="ip", name="t", sets=sets, maps=maps, chains=(*chains, base))


@given(tables(), tables())
def test_a_transaction_makes_the_one_into_the_other(want: NftTable, have: NftTable) -> None:
    fake = FakeTable(have)
    for command in transaction(want, have):
        fake.apply(command)
    wanted = state(want)
    assert fake.state.keys() == wanted.keys()
    for key, (definition, content) in wanted.items():
        found = fake.state[key]
        assert found[0] == definition
        assert found[1] == content if key[0] == "chain" else sorted(found[1]) == sorted(content)


@given(tables(), tables())
def test_what_differs_is_told_and_what_is_told_differs(want: NftTable, have: NftTable) -> None:
    assert bool(want.differences(have)) == bool(list(transaction(want, have)))
