"""Agents on machines: started, asked, and gone without a trace, however that comes about."""

from __future__ import annotations

from netlab.hosts.machine import Needs, look
from netlab.hosts.package import digest
from netlab.hosts.reached import Machines
from tests.kernel.machines import Make, machines, prepared

__all__ = ["machines", "prepared"]


def test_a_machine_without_netlab_is_prepared_and_then_asked(machines: Make) -> None:
    made = machines("vm-1", "vm-2")
    before = [made.snapshot(name) for name in made.names]
    told = []
    with Machines(made.inventory) as reached:
        found = reached.ready(lambda words, *_: told.append(words))
        assert reached.unreachable == {}
        assert list(found) == ["vm-1", "vm-2"]
        assert found["vm-1"].hello.digest == digest()
        facts = found["vm-2"].call(look, Needs(("macvlan",)))
        eth1 = next(link for link in facts.links if link.name == "eth1")
        assert (eth1.mac, eth1.mtu, eth1.up, eth1.carrier) == (
            "02:00:00:00:01:02",
            1500,
            True,
            True,
        )
        assert (facts.labs, facts.lacking) == ((), {})
    assert made.processes() == {"vm-1": [], "vm-2": []}
    assert [made.snapshot(name) for name in made.names] == before
