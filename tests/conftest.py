"""What holds for every test: the three layers, and one single reason to skip.

A test is skipped only because the running kernel lacks a feature, and the run says which at its
end. Any other skip is a check that silently did not happen, so it counts as a failure.
"""

import functools
import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

REASON = "kernel feature missing: "
TESTS = Path(__file__).parent
LAYERS = ("unit", "kernel", "hosts")

Report = pytest.TestReport | pytest.CollectReport


@functools.cache
def _is_missing(feature: str) -> bool:
    from netlab.kernel.capabilities import missing

    return bool(missing([feature]))


def _need(*features: str) -> None:
    lacking = [feature for feature in features if _is_missing(feature)]
    if lacking:
        pytest.skip(REASON + ", ".join(lacking))


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """`needs("ipip")` skips the test on a kernel without ipip.

    Where it can be, use `@pytest.mark.needs("ipip")`: tests/hosts finds these tests by their mark
    and runs them on Debian's kernel, so that they are skipped nowhere.
    """
    return _need


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-needing",
        default="",
        metavar="FEATURES",
        help="only tests marked as needing one of these kernel features (names with commas)",
    )

    parser.addoption(
        "--long", action="store_true", help="also the tests that take long, as before a release"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test's folder says its layer: `-m "not hosts"` needs no marker in any file."""
    for item in items:
        layer = item.path.relative_to(TESTS).parts[0]
        if layer in LAYERS:
            item.add_marker(layer)
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    if only := set(config.getoption("--only-needing").split(",")) - {""}:
        chosen = [item for item in items if only & _marked_needs(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """When a test begins: VMs at the start and in the middle, and last what is soon done.

    So no two of them run at once, and no processor is idle at the end of a run on several.
    """
    if item.path.name == "test_kernel_layer.py":
        return 0
    if item.get_closest_marker("hosts"):
        return 2
    if item.get_closest_marker("kernel"):
        return 1 if item.path.name < "test_machines.py" else 3
    return 4


def _marked_needs(item: pytest.Item) -> set[str]:
    return {feature for marker in item.iter_markers("needs") for feature in marker.args}


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kernel") and os.geteuid() != 0:
        pytest.fail("tests/kernel needs root: run `sudo ./bootstrap tests`", pytrace=False)
    _need(*sorted(_marked_needs(item)))


def _skip_reason(report: Report) -> str | None:
    """Why a test or a module was skipped; nothing for one that ran or was expected to fail."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")


def _refuse_other_skips(report: Report) -> None:
    reason = _skip_reason(report)
    if reason is not None and not reason.startswith(REASON):
        report.outcome = "failed"
        report.longrepr = f"skipped, and not for a missing kernel feature: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refuse_other_skips(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_other_skips(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    yield  # so that this is the last thing said before pytest's closing line
    count: dict[str, int] = {}
    for report in terminalreporter.getreports("skipped"):
        for feature in (_skip_reason(report) or "").removeprefix(REASON).split(", "):
            count[feature] = count.get(feature, 0) + 1
    if count:
        features = ", ".join(
            f"{feature} ({number} test{'s' * (number > 1)})"
            for feature, number in sorted(count.items())
        )
        terminalreporter.line("")
        terminalreporter.line(f"Skipped for missing kernel features: {features}")
    # Once more in a line each: who sees only the end of a log, sees this.
    for report in (*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")):
        crash = getattr(report.longrepr, "reprcrash", None)
        why = (crash.message if crash else report.longreprtext).strip().partition("\n")[0]
        terminalreporter.line(f"Failed: {report.nodeid}: {why[:200]}")
