"""Labs on several machines, as a user has them: built, verified, broken, repaired, taken down."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kernel.conftest import Netlab
from tests.kernel.machines import Make, Machines, machines, prepared

__all__ = ["machines", "prepared"]
pytestmark = pytest.mark.kernel


def up(netlab: Netlab, made: Machines, dataplane: str, *options: str) -> Any:
    return netlab.ok("up", dataplane, "--inventory", str(made.inventory), *options)


@pytest.mark.parametrize("dataplane", ["flannel-vxlan", "flannel-host-gw"])
def test_a_lab_over_macvlans(netlab: Netlab, machines: Make, dataplane: str) -> None:
    made = machines("vm-1", "vm-2")
    before = [made.snapshot(name) for name in made.names]
    document = netlab.ok("up", dataplane, "--inventory", str(made.inventory))
    assert document["ok"]
