"""Tables, the matrix and JUnit XML: what a person or a CI system is given to read."""

from __future__ import annotations

from dataclasses import asdict
from xml.etree import ElementTree

import pytest

from netlab import Cluster
from netlab.plan.diff import Change, Diff, Item
from netlab.plan.routing import route
from netlab.probe.result import Check, Kind, Report
from netlab.report.figures import addresses_table, ipcalc_table
from netlab.report.junit import junit_xml
from netlab.report.matrix import matrix
from netlab.report.tables import diff_table, doctor_table, plan_table, status_table
from netlab.report.text import table
from netlab.topology.addresses import address_plan
from netlab.topology.explained import explain
from netlab.topology.ipam.blocks import Blocks
from netlab.topology.ipam.pool import ClusterPool
from netlab.topology.ipcalc import calculate, subnets
from netlab.topology.layout import lay_out
from tests.unit.plans import plan_of

ESCAPE = "\x1b["
PLACES = {"pod-1-1": "node-1", "pod-2-1": "node-2"}


def check(
    kind: Kind, source: str, target: str, ok: bool = True, expected: str = "echo reply"
) -> Check:
    return Check(kind, source, target, expected, expected if ok else "no reply", ok, "the facts")


def rows(text: str) -> dict[str, list[str]]:
    """A table's rows by their first cell."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}


def test_columns_are_aligned() -> None:
    assert table(("A", "LONG"), [("wide cell", 1), ("x", "y")]) == (
        "A          LONG\nwide cell  1\nx          y"
    )


def test_a_table_may_be_empty() -> None:
    assert table(("A", "B"), []) == "A  B"


REACHED = [
    check("pod-cross-node", "pod-1-1", "pod-2-1"),
    check("pod-cross-node", "pod-2-1", "pod-1-1", ok=False),
    check("pod-cross-node", "pod-2-1", "pod-1-1"),
    check("node-pod", "node-1", "pod-1-1", ok=False),
    check("pod-external", "pod-1-1", "external"),
    check("negative", "external", "pod-1-1"),
    check("negative", "pod-1-1", "pod-2-1/container-1"),
]


def test_the_matrix_shows_who_reaches_whom() -> None:
    shown = rows(matrix(Report(0.1, tuple(REACHED), PLACES)))
    assert shown["from"] == ["\\", "to", "pod-1-1", "pod-2-1", "external"]
    assert shown["pod-1-1"] == ["ok", "ok"]
    assert shown["pod-2-1"] == ["FAIL", "1/2", "."]
    assert shown["node-1"] == ["FAIL", ".", "."]
    assert shown["external"] == ["no", "."]


def test_the_matrix_is_by_node_when_there_are_many_pods() -> None:
    places = {f"pod-{number}": f"node-{number % 2}" for number in range(20)}
    checks = [
        check("pod-cross-node", "pod-0", "pod-1"),
        check("pod-cross-node", "pod-2", "pod-3", ok=False),
        check("node-pod", "node-0", "pod-1"),
    ]
    shown = rows(matrix(Report(0.1, tuple(checks), places)))
    assert shown["node-0"] == ["FAIL", "1/3"]
    assert "pod-0" not in shown


def test_a_lab_without_pods_has_a_matrix_of_its_nodes() -> None:
    """Proved on the wire only; wires between pods are evidence for what is in the matrix anyway."""
    checks = [
        check("wire", "node-1", "node-2", expected="bare, once at the port of node-1"),
        check("wire", "node-1", "external", expected="bare, once at the port of node-1"),
        check("wire", "pod-1-1", "pod-2-1", ok=False),
    ]
    text = matrix(Report(0.1, tuple(checks), PLACES))
    assert rows(text.split("\n\n")[0])["node-1"] == ["ok", "ok"]
    assert "wire: node to node: bare: 1 of 1 ok" in text
    assert "wire: node to outside: bare: 1 of 1 ok" in text


def lab(nodes: int, *failing: tuple[int, int]) -> Report:
    """A lab with a pod on each of so many nodes, all of which reach all, but for these."""
    places = {f"pod-{number}-1": f"node-{number}" for number in range(1, nodes + 1)}
    checks = [
        check("pod-cross-node", f"pod-{a}-1", f"pod-{b}-1", ok=(a, b) not in failing)
        for a in range(1, nodes + 1)
        for b in range(1, nodes + 1)
        if a != b
    ]
    return Report(0.1, tuple(checks), places)


def drawn(report: Report, width: int) -> list[str]:
    """The lines of the matrix alone."""
    return matrix(report, width=width).split("\n\n")[0].splitlines()[1:]


def test_names_over_columns_are_wrapped_where_they_have_no_room() -> None:
    wide, narrow = drawn(lab(8), 81), drawn(lab(8), 72)
    assert wide[0].split() == ["from", "\\", "to", *(f"pod-{n}-1" for n in range(1, 9))]
    assert narrow[0].split() == ["from", "\\", "to", *["pod-"] * 8]
    assert narrow[1].split() == [f"{n}-1" for n in range(1, 9)]
    assert [line.split() for line in narrow[2:]] == [line.split() for line in wide[1:]]
    assert narrow[0].index("pod-") == narrow[1].index("1-1"), "columns stay aligned"


def test_a_word_is_broken_only_when_nothing_else_helps() -> None:
    reached = [check("pod-external", "pod-1", f"{name}-external") for name in ("a", "b", "c")]
    report = Report(0.1, tuple(reached))
    assert [line.split() for line in drawn(report, 40)][1] == ["external"] * 3
    assert "exter" in drawn(report, 35)[1]


@pytest.mark.parametrize("width", [20, 40, 80, 132])
@pytest.mark.parametrize("nodes", [2, 12, 16, 30])
def test_the_matrix_is_never_wider_than_the_terminal(nodes: int, width: int) -> None:
    lines = drawn(lab(nodes, (1, nodes)), width)
    table_lines = [line for line in lines if "not shown" not in line]
    assert max(map(len, table_lines)) <= width
    assert any("FAIL" in line for line in table_lines)


def test_columns_that_have_no_room_are_named() -> None:
    lines = drawn(lab(30), 80)
    assert lines[-1] == ("columns 11 to 30 of 30 are not shown: widen the terminal or use --json")
    assert lines[0].split()[3:] == ["node-"] * 10
    assert "not shown" not in matrix(lab(30), width=300)


def test_columns_with_a_failure_are_the_first_to_be_shown() -> None:
    text = matrix(lab(30, (2, 29), (3, 17)), width=80)
    shown = rows(text.split("\n\n")[0])
    assert shown["node-2"].count("FAIL") == 1
    assert shown["node-3"].count("FAIL") == 1
    assert "columns 9 to 16, 18 to 28, 30 of 30 are not shown: " in text
    assert "pod-cross-node  pod-2-1 > pod-29-1" in text, "and listed below"


def test_failures_for_which_there_is_no_room_are_told() -> None:
    """More of them than columns, and than failed checks that are written out."""
    failing = [(1, b) for b in range(2, 31)] + [(b, 1) for b in range(2, 31)]
    text = matrix(lab(30, *failing), width=80)
    assert "columns 11 to 30 of 30 are not shown (FAIL in 11 to 30 too): " in text
    assert "Failed checks: 58" in text


def test_rows_that_nobody_would_read_are_left_out_and_named() -> None:
    text = matrix(lab(60, (58, 3)), width=80)
    assert "rows 40 to 57, 59 to 60 of 60 are not shown: use --json" in text
    assert "FAIL" in rows(text)["node-58"]


def test_the_evidence_is_one_example_for_each_class_of_paths() -> None:
    checks = [
        check("wire", "pod-1-1", "pod-2-1", expected="VXLAN, once at the port of node-1"),
        check("wire", "pod-2-1", "pod-1-1", expected="VXLAN, once at the port of node-2"),
        check("mtu", "pod-1-1", "pod-2-1", expected="1451 refused by 10.244.0.1"),
        check("mtu", "pod-2-1", "pod-1-1", expected="1451 refused by 10.244.1.1"),
    ]
    text = matrix(Report(0.1, tuple(checks), PLACES))
    assert "wire: across nodes: VXLAN: 2 of 2 ok" in text
    assert "mtu: 1451 refused by …: 2 of 2 ok" in text
    assert text.count("the facts") == 2


def test_evidence_is_shown_in_either_family() -> None:
    checks = [
        Check("mtu", "pod-1-1", "pod-2-1", f"1451 refused by {ip}", "", True, f"from {ip}", family)
        for ip, family in (
            ("10.244.0.1", 4),
            ("10.244.1.1", 4),
            ("fd44::1", 6),
            ("fd44:0:0:1::1", 6),
        )
    ]
    text = matrix(Report(0.1, tuple(checks), PLACES))
    assert "mtu: 1451 refused by …: 2 of 2 ok\n    pod-1-1 > pod-2-1: from 10.244.0.1" in text
    assert "mtu: 1451 refused by … (IPv6): 2 of 2 ok\n    pod-1-1 > pod-2-1: from fd44::1" in text


def test_what_was_not_asked_is_said_with_its_reason() -> None:
    text = matrix(Report(0.1, (REACHED[0],), PLACES, (("hairpin", "there are no pods"),)))
    assert "Not asked of this lab\nhairpin: there are no pods" in text


def test_nodes_among_themselves_are_in_the_matrix() -> None:
    checks = [
        *REACHED,
        check("node-node", "node-1", "node-2", expected="bare, once at the port of x"),
    ]
    text = matrix(Report(0.1, tuple(checks), PLACES))
    assert "node-2" in rows(text)["from"]
    assert "node-node: bare: 1 of 1 ok" in text


def test_failed_checks_are_written_out_and_counted() -> None:
    failed = [check("wire", f"pod-{number}", "x", ok=False) for number in range(50)]
    text = matrix(Report(1.234, (*failed, REACHED[0])))
    assert "Failed checks: 50" in text
    assert "wire  pod-0 > x\n    expected  echo reply\n    observed  no reply" in text
    assert "and 10 more; --json lists them all" in text
    assert text.endswith("51 checks in 1.23 s: 50 failed")


def test_all_passed_is_said() -> None:
    text = matrix(Report(0.5, (REACHED[0],)))
    assert text.endswith("1 checks in 0.50 s: all passed") or text.endswith("all passed")
    assert "Failed" not in text


@pytest.mark.parametrize("style", [False, True])
def test_colours_are_only_where_wanted(style: bool) -> None:
    assert (ESCAPE in matrix(Report(0.1, tuple(REACHED), PLACES), style=style)) is style


def test_colours_do_not_move_columns() -> None:
    report = Report(0.1, tuple(REACHED), PLACES)
    plain, coloured = matrix(report), matrix(report, style=True)
    import re

    assert re.sub("\x1b\\[[0-9;]*m", "", coloured).split() == plain.split()


def test_an_empty_report_is_no_error() -> None:
    assert matrix(Report(0.0, ())) == "0 checks in 0.00 s: all passed"


def test_junit_has_a_case_for_each_check_and_survives_any_text() -> None:
    odd = Check("wire", "a<b>", "c&d", '"x"', "no\x00pe", False, "é")
    suite = ElementTree.fromstring(junit_xml(Report(0.25, (REACHED[0], odd))).encode())
    assert suite.attrib["tests"] == "2"
    assert suite.attrib["failures"] == "1"
    good, bad = suite.findall("testcase")
    assert good.attrib["classname"] == "netlab.pod-cross-node"
    assert good.find("failure") is None
    assert bad.attrib["name"] == 'a<b> > c&d: "x"'
    failure = bad.find("failure")
    assert failure is not None
    assert failure.text is not None
    assert "observed: " in failure.text


ROUTE = route("10.244.1.0/24", "flannel.1", "10.244.1.0", onlink=True)
OTHER = route("10.244.1.0/24", "eth0", "10.244.1.0", onlink=True)


def test_a_diff_names_state_namespace_and_object() -> None:
    diff = Diff(
        missing=[Item("node-1", ROUTE)],
        unexpected=[Item("stray", None)],
        changed=[Change("node-2", ROUTE, OTHER)],
    )
    text = diff_table(diff)
    assert "missing     node-1     route 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink" in text
    assert "unexpected  stray      the whole namespace" in text
    assert "dev eth0 onlink, not via 10.244.1.0 dev flannel.1 onlink" in text
    assert text.endswith("3 differences")


def test_no_difference_is_said() -> None:
    assert diff_table(Diff()) == "The kernel equals the plan."


def test_a_plan_is_counted_by_namespace_and_listed() -> None:
    text = plan_table(plan_of("flannel-vxlan"))
    assert "pod-1-1    pod " in text
    assert "13 namespaces" in text
    assert "link flannel.1 vxlan" in text
    assert "vni 1 local 192.168.0.1 device eth0 learning off" in text
    assert "route 10.244.1.0/24 via 10.244.1.0 dev flannel.1 onlink" in text
    assert "masquerade fully-random" in text


def test_a_large_plan_is_only_counted() -> None:
    text = plan_table(plan_of("flannel-vxlan", pods_per_node=20))
    assert "flannel.1" not in text
    assert "--json and --sh show each" in text


def test_the_binary_split_is_aligned() -> None:
    lines = ipcalc_table(asdict(calculate("10.244.1.7/22"))).splitlines()
    gaps = {line.rindex(" ") for line in lines[1:5]}
    assert len(gaps) == 1, "network and host part divide in one column"
    assert "1022" in lines[-1]
    of_ipv6 = ipcalc_table(asdict(calculate("fd44:0:0:1::7/60"))).splitlines()
    assert "broadcast" not in "".join(of_ipv6)
    assert max(map(len, of_ipv6)) < 110
    assert of_ipv6[1].endswith(":0000000000000000:000000000000 0001")


def test_a_route_to_one_host_or_two_has_no_broadcast() -> None:
    assert "broadcast" in ipcalc_table(asdict(calculate("10.0.0.1/30")))
    for text, kind in (("10.0.0.1/31", "two ends of a link"), ("10.0.0.1/32", "one address")):
        shown = ipcalc_table(asdict(calculate(text)))
        assert "broadcast" not in shown
        assert kind in shown


@pytest.mark.parametrize(("length", "lines"), [(20, 16), (21, 9)])
def test_of_many_subnets_the_first_and_last_are_shown(length: int, lines: int) -> None:
    document = asdict(calculate("10.0.0.0/16"))
    document["subnets"] = [asdict(one) for one in subnets("10.0.0.0/16", str(length))]
    text = ipcalc_table(document)
    listed = text.partition("SUBNET")[2].partition("\n\n")[0].splitlines()[1:]
    assert len(listed) == lines
    assert (listed[0].split()[0], listed[-1].split()[2]) == (f"10.0.0.0/{length}", "10.0.255.254")
    assert ("the 24 between are left out" in text) is (length == 21)
    assert f"\n{2 ** (length - 16)} subnets" in text


def test_addresses_are_shown_from_the_value_or_its_document() -> None:
    plan = address_plan(lay_out(Cluster()))
    text = addresses_table(plan)
    assert text == addresses_table(asdict(plan))
    assert rows(text)["node-2"][:3] == ["192.168.0.2", "10.244.1.0/24", "10.244.1.1"]


def test_each_kind_of_address_has_its_ranges() -> None:
    plan = address_plan(lay_out(Cluster(service_cidr="10.233.0.0/18")))
    lines = [" ".join(line.split()) for line in addresses_table(plan).splitlines()]
    for line in (
        "node 192.168.0.0/24 253 nodes on underlay; the router has 192.168.0.254",
        "cluster 10.233.0.0/18 16382 Services",
        "10.233.0.1 1 the first: kubernetes, the API server's Service",
        "10.233.0.1 to 10.233.1.0 256 static band: for those who name theirs",
        "10.233.1.1 to 10.233.63.254 16126 dynamic band: given out first",
        "NodePort 30000-32767 2768 ports of each node",
        "30000 to 30085 86 static band: for those who name theirs",
        "pod 10.244.0.0/16 256 nodes, a /24 each",
    ):
        assert line in lines
    small = Cluster(service_cidr="10.9.0.0/28", node_port_range=(30000, 30009))
    assert "band" not in addresses_table(address_plan(lay_out(small)))


def test_a_node_s_own_addresses_have_their_columns() -> None:
    for ipam, heads in (
        (ClusterPool(), "ROUTER HEALTH FIRST"),
        (Blocks(tunnel=True), "GATEWAY TUNNEL FIRST"),
    ):
        text = " ".join(addresses_table(address_plan(lay_out(Cluster(), ipam))).split())
        assert f"POD CIDR {heads}" in text
    dual = Cluster(cluster_cidr=("10.244.0.0/16", "fd44::/56"))
    lines = addresses_table(address_plan(lay_out(dual))).splitlines()
    [six] = [line.split() for line in lines if "fd44:0:0:1::/64" in line]
    assert six[:4] == ["node-2", "fd30::2", "fd44:0:0:1::/64", "fd44:0:0:1::1"]


def test_the_arithmetic_of_addresses_is_shown() -> None:
    layout = lay_out(Cluster(cluster_cidr="10.233.64.0/18", service_cidr="10.233.0.0/18"))
    document = asdict(address_plan(layout))
    document["explained"] = [asdict(step) for step in explain(layout)]
    text = addresses_table(document)
    for line in (
        "24 - 18 = 6 bits number the nodes: 2^6 = 64 nodes",
        "10.233.127.0/24  00001010.11101001.01 111111. 00000000  63: the last",
        "less the gateway's 10.233.64.1: 253 pods, from 10.233.64.2 to 10.233.64.254",
        "less the network's 10.233.0.0 and the broadcast's 10.233.63.255: 16382",
        "32767 - 30000 + 1 = 2768 ports",
        "min(max(16, 2768/32), 128) = 86 at the start are for those who name one: to 30085",
    ):
        assert f"    {line}\n" in f"{text}\n"


def test_status_shows_nodes_pods_services_and_what_is_down() -> None:
    document = {
        "lab": "mine",
        "topology": "flannel-vxlan",
        "state": "running",
        "nodes": [
            {
                "name": "node-1",
                "netns": "node-1",
                "underlay_ip": "192.168.0.1",
                "pod_cidr": "10.244.0.0/24",
                "gateway": "10.244.0.1",
            }
        ],
        "pods": [
            {
                "name": "web",
                "node": "node-1",
                "netns": "web",
                "ip": "10.244.0.2",
                "containers": ["a", "b"],
            }
        ],
        "services": [
            {
                "name": "svc",
                "cluster_ip": "10.96.0.9",
                "port": 80,
                "node_port": None,
                "endpoints": ["10.244.0.2:8080"],
            }
        ],
        "containers": [
            {"pod": "web", "name": "a", "running": True, "ready": True, "lacks": ""},
            {"pod": "web", "name": "b", "running": False, "ready": False, "lacks": "it is ill"},
        ],
        "dataplane": "flannel-vxlan",
        "proxy": None,
        "health": {"ok": False, "containers_down": ["web/b"]},
    }
    shown = rows(status_table(document))
    assert shown["lab"] == ["mine", "(running)"]
    assert shown["web"] == ["node-1", "10.244.0.2", "1/2", "a,", "b"]
    assert shown["svc"] == ["10.96.0.9", "80", "10.244.0.2:8080"]
    assert shown["health"] == ["down:", "web/b"]
    assert shown["b"] == ["web", "it", "is", "ill"]
    assert "SERVICE" not in status_table(document | {"services": []})


def test_the_doctor_tells_what_is_missing_and_the_remedy() -> None:
    document = {
        "ok": False,
        "kernel": "6.1",
        "python": "3.11",
        "rootless": True,
        "features": [{"name": "ipip", "ok": False, "remedy": "load the module"}],
        "dataplanes": [{"name": "calico", "ok": False, "missing": ["ipip"]}],
        "proxies": [],
        "notes": ["a note"],
    }
    text = doctor_table(document)
    assert "missing  load the module" in text
    assert "cannot run  ipip" in text
    assert "a note" in text
