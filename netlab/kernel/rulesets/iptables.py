"""iptables of both backends by `iptables-restore` and `iptables-save`, which nothing replaces.

They are started only where there is a table of theirs: never in a namespace without.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import msgspec

from netlab.errors import Unmet
from netlab.kernel.rulesets import held
from netlab.kernel.rulesets.errors import RulesetError
from netlab.plan.rulesets import IptablesChain, IptablesTable
from netlab.plan.rulesets.iptables import BUILTIN, Backend, Family, transaction

REMEDY = "install the package iptables"
SECONDS = 600  # 43,000 rules take 5.6, and many times that where many are at work
_LINE = re.compile(r"line:? (\d+)")
_TARGET = re.compile(r"(?:-[jg]|--jump|--goto)[ =](\S+)")
_ROOM = "NETLAB-PRINTED"  # the chain in which rules are loaded to see how they are printed


def program(name: str) -> str | None:
    """The path of a program such as `iptables-nft-save`; None where it is not installed."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def installed(name: str) -> bool:
    """Whether there are the programs of a backend, as `iptables-nft`."""
    return program(f"{name}-restore") is not None


def require(tables: Iterable[IptablesTable]) -> None:
    """Raise Unmet where the programs for these tables are not installed."""
    for table in tables:
        if not installed(table.program()):
            raise Unmet(f"The {table} needs {table.program()}, which is not installed", REMEDY)


def _run(table: IptablesTable, verb: str, *options: str, text: str = "") -> str:
    path = program(table.program(verb))
    if path is None:
        raise Unmet(f"The rules need {table.program(verb)}, which is not installed", REMEDY)
    # The usual lock is one for the whole machine, of which a lab is no part, and a user who is not
    # root cannot open it. The kernel refuses what another changed meanwhile.
    lock = os.memfd_create("xtables.lock")
    try:
        done = subprocess.run(
            [path, *options],
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=os.environ | {"XTABLES_LOCKFILE": f"/proc/self/fd/{lock}"},
            pass_fds=(lock,),
        )
    finally:
        os.close(lock)
    if done.returncode:
        raise RulesetError(_refusal(done.stderr, text))
    return done.stdout


def _refusal(words: str, text: str) -> str:
    """What the program says, and the line that it is about."""
    first = next((line for line in words.splitlines() if "Warning" not in line), "refused")
    message = first.partition("): ")[2] or first
    place = _LINE.search(words)
    lines = text.splitlines()
    if place and int(place[1]) <= len(lines):
        message = f"{message.strip()}: {lines[int(place[1]) - 1]}"
    return message.removeprefix(": ")


def save(backend: Backend, family: Family, tables: Sequence[str] = ()) -> list[IptablesTable]:
    """Tables of the current namespace; of the legacy backend only those that are named.

    `iptables-legacy-save` makes the table that it is asked for.
    """
    table = IptablesTable(backend=backend, family=family, name="")
    if backend == "nft":
        return parse(_run(table, "save"), backend, family)
    return [
        found
        for name in tables
        for found in parse(_run(table, "save", "-t", name), backend, family)
    ]


def parse(text: str, backend: Backend, family: Family) -> list[IptablesTable]:
    """What iptables-save prints."""
    found: list[IptablesTable] = []
    policies: dict[str, str | None] = {}
    rules: dict[str, list[str]] = defaultdict(list)
    name = ""
    for line in text.splitlines():
        if line.startswith("*"):
            name, policies, rules = line[1:], {}, defaultdict(list)
        elif line.startswith(":"):
            chain, policy = line[1:].split(" ")[:2]
            policies[chain] = None if policy == "-" else policy
        elif line.startswith("-A "):
            _, chain, rule = line.split(" ", 2)
            rules[chain].append(rule)
        elif line == "COMMIT":
            chains = tuple(
                IptablesChain(name=chain, rules=tuple(rules[chain]), policy=policy)
                for chain, policy in policies.items()
            )
            found.append(IptablesTable(backend=backend, family=family, name=name, chains=chains))
    return found


def made_by_iptables(keys: Collection[str]) -> list[IptablesTable]:
    """Of nftables' tables (each FAMILY NAME) those that iptables-nft made, or could have made.

    A set, or a chain with a hook of its own, that nft put into one is none of iptables' business
    and is not in what it saves: such a table stays nftables'.
    """
    families: tuple[Family, ...] = ("ip", "ip6")
    result = []
    for family in families:
        mine = [name for name in BUILTIN if f"{family} {name}" in keys]
        if mine and installed(IptablesTable(family=family, name="").program()):
            result += [t for t in save("nft", family) if t.name in mine and _is_whole(t)]
    return result


def _is_whole(table: IptablesTable) -> bool:
    rules = {("chain", chain.name): len(chain.rules) for chain in table.chains}
    return all(
        rules.get(item) == count
        for item, count in held.shape(f"{table.family} {table.name}").items()
    )


def apply(changes: Iterable[tuple[IptablesTable, IptablesTable | None]]) -> None:
    """Make what differs equal, in one transaction for each backend and family."""
    groups: dict[tuple[Backend, Family], list[str]] = defaultdict(list)
    for want, have in changes:
        groups[want.backend, want.family] += transaction(want, have)
    for (backend, family), lines in groups.items():
        table = IptablesTable(backend=backend, family=family, name="")
        _run(table, "restore", "--noflush", text="\n".join([*lines, ""]))


def printed(table: IptablesTable, rules: Sequence[str]) -> dict[str, str]:
    """How iptables-save prints rules of a table, found out in the current (scratch) namespace.

    They are loaded in a chain that nothing jumps to.
    """
    targets = {target for rule in rules for target in _TARGET.findall(rule)}
    named = (chain.name for chain in table.chains if chain.policy is None)
    names = [name for name in named if name in targets]
    chains = (
        *(IptablesChain(name=name) for name in names),
        IptablesChain(name=_ROOM, rules=tuple(rules)),
    )
    room = msgspec.structs.replace(table, chains=chains)
    apply([(room, None)])
    found = next(
        one for one in save(table.backend, table.family, [table.name]) if one.key == table.key
    )
    return dict(zip(rules, found.by_name[_ROOM].rules, strict=True))
