"""A difference, and what a verification found, travel as JSON and arrive as they were."""

from __future__ import annotations

import msgspec
import pytest

from netlab import Cluster
from netlab.designing import design
from netlab.hosts.protocol import given_of, raw, value_of
from netlab.hosts.share import Build, build, verify
from netlab.hosts.travelling import Found, One, arrived, travelling
from netlab.plan.diff import Change, Diff, Item, diff
from netlab.plan.exceptions import EXCEPTIONS
from netlab.plan.machines import Machine
from netlab.plan.spreading import choose_wire, spread
from netlab.probe.result import Check, Report
from netlab.state import Share, decode, encode

DUAL = Cluster(nodes=2, dataplane="flannel-vxlan", cluster_cidr=["10.244.0.0/16", "fd44::/56"])


def over_there(found: Diff) -> Diff:
    return arrived(decode(encode(travelling(found)), Found))


def test_every_object_of_a_plan_travels() -> None:
    plan = design(DUAL, {}).plan
    lacking = diff(plan.namespaces, {})
    assert len(lacking) > 100
    assert over_there(lacking) == lacking
    turned = Diff(unexpected=lacking.missing, foreign=[Item("node-1", None, "bird")])
    turned.not_compared = list(EXCEPTIONS)
    assert over_there(turned) == turned


def test_what_changed_travels_in_both_states() -> None:
    plan = design(DUAL, {}).plan
    other = design(DUAL, {"underlay_mtu": 1400}).plan
    changed = diff(plan.namespaces, other.namespaces)
    assert {type(change.want).__name__ for change in changed.changed} >= {"Veth", "Vxlan"}
    back = over_there(changed)
    assert back == changed
    assert [str(change) for change in back.changed] == [str(change) for change in changed.changed]
    assert all(isinstance(change, Change) for change in back.changed)


def test_what_is_no_difference_is_refused() -> None:
    for bad in (
        One("node-1", "nonsense", msgspec.Raw(b"{}")),
        One("node-1", "links", msgspec.Raw(b'{"kind": "nosuch"}')),
        One("node-1", "routes", msgspec.Raw(b'{"destination": 7}')),
    ):
        with pytest.raises(ValueError, match=r"nonsense|nosuch|Expected"):
            arrived(Found((bad,), (), (), (), ()))


def test_a_share_travels_to_its_machine() -> None:
    wanted = design(DUAL, {})
    machines = [Machine(name=f"vm-{k}", device="eth1", address=f"172.16.0.{k}") for k in (1, 2)]
    wire, why = choose_wire(wanted.layout, machines, shares_segment=True)
    whole, how = spread(wanted.plan, wanted.layout, machines, wire, why)
    from netlab.stored import design_of, layout_file

    share = Share(machine="vm-2", spread=how, whole=whole)
    back = given_of(build, raw(Build("lab", share, layout_file(wanted))))
    assert back.share == share
    assert design_of(back.file, wanted.plan) == wanted


def test_a_report_travels_back() -> None:
    check = Check("wire", "pod-1-1", "pod-2-1", "seen", "seen", True, "a > b", 6, "icmp")
    report = Report(1.5, (check,), {"pod-1-1": "node-1"}, (("hairpin", "why"),), EXCEPTIONS[:1])
    assert value_of(verify, raw(report)) == report
