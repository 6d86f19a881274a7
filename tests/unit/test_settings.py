"""What is compared of settings, what is left out, and work in a process of its own."""

from __future__ import annotations

import os
import signal

from netlab.kernel.apart import Apart
from netlab.kernel.settings.copies import without_copies
from netlab.kernel.settings.files import OF_PODS
from netlab.plan.baseline import Baseline, Baselines
from netlab.plan.diff import Diff
from netlab.plan.document import diff_document
from netlab.plan.exceptions import EXCEPTIONS, NotCompared
from netlab.plan.routing import Sysctl
from netlab.probe.result import Report
from netlab.report.matrix import matrix
from netlab.report.tables import diff_table


def paths(
    found: dict[str, str | None], *altered: tuple[str, str], wireguards: tuple[str, ...] = ()
) -> list[str]:
    drift = [Sysctl(*pair) for pair in altered]
    return [item.path for item in without_copies(drift, found, wireguards)]


def test_there_are_few_exceptions_and_few_files_of_pods() -> None:
    assert len(EXCEPTIONS) <= 8
    assert len(set(OF_PODS)) == len(OF_PODS) <= 20


def test_a_copy_is_no_drift_of_its_own() -> None:
    forwarding = "net/ipv6/conf/all/forwarding"
    device = "net/ipv6/conf/eth0/forwarding"
    assert paths({forwarding: "1"}, (forwarding, "1"), (device, "1")) == [forwarding]
    assert paths({forwarding: "1"}, (forwarding, "1"), (device, "2")) == [forwarding, device]
    assert paths({}, (device, "1")) == [device]


def test_what_wireguard_writes_is_no_drift_where_there_is_one() -> None:
    conf = "net/ipv4/conf"
    mine, other, of_all = (f"{conf}/{name}/send_redirects" for name in ("wg0", "eth0", "all"))
    written = ((mine, "0"), (other, "0"), (of_all, "0"))
    assert paths({}, *written, wireguards=("wg0",)) == [other]
    assert paths({}, *written) == [mine, other, of_all]


def test_forwarding_of_a_namespace_turns_redirects_off() -> None:
    found = {"net/ipv4/ip_forward": "0"}
    assert paths(found, ("net/ipv4/conf/all/accept_redirects", "1")) == []
    assert paths(found, ("net/ipv4/conf/default/forwarding", "0")) == []
    assert paths({}, ("net/ipv4/conf/all/accept_redirects", "1")) != []


def test_what_new_devices_get_is_copied_to_old_ones_but_not_to_all() -> None:
    default, everywhere = "net/ipv4/conf/default/rp_filter", "net/ipv4/conf/all/rp_filter"
    found = {default: "2", everywhere: "2"}
    device = ("net/ipv4/conf/eth0/rp_filter", "2")
    assert paths(found, (default, "2"), (everywhere, "2"), device) == [default, everywhere]


def test_equal_baselines_are_kept_once() -> None:
    known = Baselines()
    for name in ("a", "b"):
        known.put(Baseline({}, {"net/ipv4/ip_forward": "0"}, {}), [name])
    known.put(Baseline({}, {"net/ipv4/ip_forward": "1"}, {}), ["b"])
    assert len(known.made) == 2
    assert [known.get(name).files["net/ipv4/ip_forward"] for name in "ab"] == ["0", "1"]


def test_work_apart_is_done_elsewhere_and_here_where_that_is_lost() -> None:
    here = os.getpid()

    def killed_elsewhere() -> int:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    assert Apart(os.getpid).result() != here
    assert Apart(killed_elsewhere).result() == here


def test_work_apart_holds_no_pipe_of_others() -> None:
    """Whoever waits for the end of one would wait until the answer is fetched."""
    reading, writing = os.pipe()
    apart = Apart(lambda: "x" * (1 << 20))  # more than a pipe takes before it is read
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)
    assert len(apart.result()) == 1 << 20


def test_a_comparison_after_failed_checks_says_what_it_left_out() -> None:
    equal = Diff(not_compared=[NotCompared("the weather", "nobody asked")])
    assert "the weather: nobody asked" in diff_table(equal, checks_failed=True)
    assert diff_table(equal) == "The kernel equals the plan."
    document = diff_document(equal, checks_failed=True)
    assert document["not_compared"] == [{"what": "the weather", "why": "nobody asked"}]
    assert document["checks_failed"]


def test_failed_checks_without_a_difference_come_with_what_was_left_out() -> None:
    report = Report(1.0, (), not_compared=(NotCompared("the weather", "nobody asked"),))
    assert "the weather: nobody asked" in matrix(report)
    assert "Not compared" not in matrix(Report(1.0, ()))
