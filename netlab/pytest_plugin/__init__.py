"""The pytest plugin: labs as fixtures, chosen by the mark `netlab`.

Loaded by its entry point with every run of pytest, so it imports nothing but pytest and the
standard library until a test wants a lab.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from netlab.pytest_plugin import failures, marks
from netlab.pytest_plugin.options import add_options

if TYPE_CHECKING:
    from netlab.pytest_plugin.stock import Stock
    from netlab.running import Lab

_KILLED = pytest.StashKey[bool]()
_FORK = r"ignore:.*use of fork\(\) may lead to deadlocks:DeprecationWarning"


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", marks.USAGE)
    # Work in a lab is done in forks; pytest-xdist's workers have threads, that hold no lock of it.
    config.addinivalue_line("filterwarnings", _FORK)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """A mark that cannot be is an error of collection, as a syntax error is."""
    for item in list(items):
        if words := marks.fault(item):
            items.remove(item)
            report = pytest.CollectReport(item.nodeid, "failed", words, [])
            config.hook.pytest_collectreport(report=report)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """What a worker of pytest-xdist leaves that was killed is removed at the end."""
    if error:
        node.config.stash[_KILLED] = True


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash.get(_KILLED, False):
        from netlab.pytest_plugin.leftovers import remove

        remove()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with failures.told(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with failures.told(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.when in ("setup", "call"):
        failures.attend(item, report)
    return report


@pytest.fixture(scope="session")
def _netlab_session() -> Iterator[Stock]:
    yield from _stock()


@pytest.fixture(scope="module")
def _netlab_module() -> Iterator[Stock]:
    yield from _stock()


@pytest.fixture(scope="class")
def _netlab_class() -> Iterator[Stock]:
    yield from _stock()


@pytest.fixture
def _netlab_function() -> Iterator[Stock]:
    yield from _stock()


def _stock() -> Iterator[Stock]:
    from netlab.pytest_plugin.stock import Stock

    with Stock() as stock:
        yield stock


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Lab:
    """A running lab of the test's mark `netlab`: its own, unless the mark has a `scope`."""
    return _lab(request, None)


@pytest.fixture
def lab_module(request: pytest.FixtureRequest) -> Lab:
    """As `lab`, one for all tests of a module with the same mark; before each it is put back."""
    return _lab(request, "module")


@pytest.fixture
def lab_session(request: pytest.FixtureRequest) -> Lab:
    """As `lab_module`, for all tests of the run (with pytest-xdist, of one worker)."""
    return _lab(request, "session")


def _lab(request: pytest.FixtureRequest, scope: str | None) -> Lab:
    from netlab.pytest_plugin.stock import handed_out

    with failures.in_a_sentence(), failures.lacking(request.config):
        wanted = marks.of(request.node)
        scope = scope or wanted.scope
        stock: Stock = request.getfixturevalue(f"_netlab_{scope}")
        return handed_out(request.node, stock, wanted, again=scope != "function")


@pytest.fixture
def lab_factory(request: pytest.FixtureRequest, _netlab_function: Stock) -> Callable[..., Lab]:
    """Called as `netlab.up`, as often as you like: labs that end with the test."""
    from netlab.pytest_plugin.stock import handed_out

    def make(topology: Any, **options: Any) -> Lab:
        __tracebackhide__ = True
        wanted = marks.wanted(topology, options, request.node)
        with failures.lacking(request.config):
            return handed_out(request.node, _netlab_function, wanted, again=False)

    return make
