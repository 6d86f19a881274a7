"""Verification of a lab on several machines, which here are namespaces joined by a bridge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.conftest import assert_untouched, untouched
from tests.kernel.shares import Shares, machines

CASES = [("flannel-vxlan", True), ("flannel-host-gw", True), ("flannel-vxlan", False)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def lab(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shares]:
    topology, shares = request.param
    untouched()
    folder = tmp_path_factory.mktemp("machines")
    with machines(folder, 2, mtu=1500 if shares else 1600) as (found, listed):
        found.up(topology, listed, shares=shares)
        yield found
        found.down()
    assert_untouched()


def test_all_is_asked_and_holds(lab: Shares) -> None:
    report = lab.verify()
    assert not report.failed, "\n".join(map(str, report.failed))
