"""What is claimed is judged by what was measured, and changes nothing of that."""

from __future__ import annotations

import fnmatch
import json
from typing import Any

import pytest

from netlab.dataplane import registry
from netlab.probe.measures.cells import UNDERLAYS
from netlab.probe.measures.crossing import OF_WIRE
from netlab.report.claims import Claim, Judged, judge, read, shipped
from netlab.report.comparison import comparison_table, document
from tests.unit.comparisons import FOUND

COLUMNS = {"works", *OF_WIRE, "mtu", "latency-udp", "throughput", "packets", "runs-in"}
GENERAL = {"any/node-cidr-24/pods", "any/no-service/pod-to-pod"}
PLANNED = {"calico-ipip"}  # named by claims before there is such a dataplane


def judged(check: str, bound: Any, value: Any) -> Judged:
    return judge([Claim("It is so.", "many", check, bound, value)], FOUND)[0]


@pytest.mark.parametrize(
    ("check", "bound", "value", "verdict"),
    [
        ("flannel-vxlan/two-subnets/works", "is", True, "right"),
        ("flannel-vxlan/two-subnets/works", "is", False, "wrong"),
        ("flannel-host-gw/two-subnets/works", "is", False, "right"),
        ("flannel-vxlan/two-subnets/works", "is", 1, "wrong"),
        ("flannel-host-gw/one-segment/overhead", "is", False, "wrong"),
        ("flannel-vxlan/*/node-joins", "is", "1 route", "right"),
        ("any/node-cidr-24/pods", "is", 254, "wrong"),
        ("any/node-cidr-24/pods", "at_least", 253, "right"),
        ("flannel-host-gw/one-segment/throughput", "at_least", 0.9, "right"),
        ("flannel-host-gw/one-segment/throughput", "at_most", 0.9, "wrong"),
        ("flannel-vxlan/two-subnets/throughput", "at_least", 0.9, "undecided"),
        ("flannel-vxlan/two-subnets/throughput", "at_most", 0.9, "undecided"),
        ("flannel-vxlan/two-subnets/throughput", "at_most", 0.96, "right"),
        ("flannel-*/*/encapsulation", "is", "bare", "wrong"),
        ("flannel-*/*/throughput", "at_most", 1.1, "right"),
        ("flannel-*/*/throughput", "at_least", 0.9, "undecided"),
        ("flannel-udp/*/works", "is", True, "not measured"),
    ],
)
def test_a_verdict_is_what_the_cells_say(check: str, bound: Any, value: Any, verdict: str) -> None:
    assert judged(check, bound, value).verdict == verdict


def test_a_verdict_names_the_checks_that_decide() -> None:
    wrong = judged("flannel-*/*/encapsulation", "is", "bare")
    assert [cell.check for cell in wrong.cells] == ["flannel-vxlan/two-subnets/encapsulation"]


def test_what_was_not_measured_says_why() -> None:
    assert judged("calico-ipip/*/encapsulation", "is", "IPIP").why == (
        "The dataplane calico-ipip needs ipip"
    )
    assert judged("flannel-host-gw/two-subnets/mtu", "is", 1500).why == (
        "pods do not reach each other"
    )
    assert judged("flannel-udp/*/mtu", "is", 1500).why == ""


def test_wrong_claims_come_first() -> None:
    claims = [
        Claim("right", "", "any/node-cidr-24/pods", "is", 253),
        Claim("wrong", "", "any/node-cidr-24/pods", "is", 254),
    ]
    assert [one.claim.text for one in judge(claims, FOUND)] == ["wrong", "right"]


def test_emptying_the_file_changes_no_measured_cell() -> None:
    none = judge(read(""), FOUND)
    assert none == []
    with_claims, without = (document(FOUND, judge(c, FOUND)) for c in (shipped(), read("")))
    assert with_claims.pop("claims")
    assert without.pop("claims") == []
    assert json.dumps(with_claims) == json.dumps(without)
    table = comparison_table(FOUND, none)
    assert table.rpartition("\n\n")[0] in comparison_table(FOUND, judge(shipped(), FOUND))


def test_shipped_claims_are_about_cells_that_there_are() -> None:
    known = {
        f"{name}/{underlay}/{column}"
        for name in {*registry(), *PLANNED}
        for underlay in UNDERLAYS
        for column in (*COLUMNS, "node-joins")
    } | GENERAL
    for claim in shipped():
        assert fnmatch.filter(known, claim.check), claim
        assert claim.text.endswith(".")
        assert claim.source


@pytest.mark.parametrize(
    "wrong",
    [
        'text = "a"\nsource = "b"\nis = true',
        'text = "a"\nsource = "b"\ncheck = "c"',
        'text = "a"\nsource = "b"\ncheck = "c"\nis = 1\nat_most = 2',
        'text = "a"\nsource = "b"\ncheck = "c"\nwas = 1',
    ],
)
def test_a_claim_of_another_form_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match="a claim is text, source, check and one bound"):
        read(f"[[claim]]\n{wrong}\n")
