"""Each change of the catalogue is seen, named and repaired by one `up`; some together, too.

`NETLAB_EXAMPLES` is how many combinations are drawn: few here, many in a long run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import netlab
from netlab.api import Lab
from netlab.plan.exceptions import EXCEPTIONS
from tests.kernel.catalogue import CHANGES
from tests.kernel.conftest import Netlab
from tests.kernel.drift import cycle
from tests.kernel.test_repair import sandbox

pytestmark = pytest.mark.kernel
OPTIONS = ("flannel-dual-stack", "--nodes", "2", "--pods-per-node", "2", "--no-verify")
EXAMPLES = int(os.environ.get("NETLAB_EXAMPLES", "6"))
EVERYTHING = (
    "lsmod",
    "cat /proc/net/dev_mcast /dev/null | wc -l",
    *(
        f"ip netns exec {name} {command}"
        for name in ("node-1", "pod-1-1", "underlay")
        for command in (
            "nft list ruleset",
            "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names",
            "ip xfrm policy",
            "ip -o link",
            "ip nexthop",
            "tc qdisc",
        )
    ),
)


@pytest.fixture(scope="module")
def command(shared: Netlab) -> Netlab:
    shared.ok("up", *OPTIONS)
    return shared


@pytest.fixture(scope="module")
def lab(command: Netlab) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NETLAB_STATE", str(command.state))
        yield netlab.lab("flannel-dual-stack")


def test_looking_creates_nothing(command: Netlab, lab: Lab) -> None:
    def look() -> str:
        return sandbox(command, "; ".join(f"echo '{words}'; {words} 2>&1" for words in EVERYTHING))

    before = look()
    assert lab.diff().ok
    assert look() == before


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen_named_and_repaired(lab: Lab, name: str) -> None:
    change = CHANGES[name]
    assert cycle(lab, [change]).problem([change]) == ""


@given(st.lists(st.sampled_from(sorted(CHANGES)), min_size=2, max_size=3, unique=True))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 6,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_changes_together_are_seen_and_repaired(lab: Lab, names: list[str]) -> None:
    """One may undo another or make it impossible, so that not each has to be named."""
    changes = [CHANGES[name] for name in names]
    seen = cycle(lab, changes)
    assert seen.found
    assert not seen.left


def test_the_catalogue_is_large_and_the_exceptions_are_few() -> None:
    assert len(CHANGES) >= 120
    assert len(EXCEPTIONS) <= 8
