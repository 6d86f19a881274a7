"""Labs for tests: made by the real command, in a state folder of their own, and always removed.

Everything in this folder runs on a host of its own, so that nothing else on the machine matters.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import pytest

from netlab.kernel.capabilities import features, missing
from tests.kernel import host, place
from tests.kernel.warm import Warm

COMMAND = [sys.executable, "-m", "netlab"]
REPOSITORY = Path(__file__).parents[2]
LABS = 8  # that `several` has
T = TypeVar("T")


@functools.cache
def machine() -> place.Place:
    """Where pytest was started."""
    return place.Place.here()


@functools.cache
def own_host() -> place.Place:
    machine()
    # Finding out what the kernel can do loads its modules. Later, each would add settings (and some
    # a device) to the host in the middle of a test.
    missing(features())
    return place.new_host()


_visit: list[ExitStack] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Called for the tests of all layers: there and back where the kernel layer begins and ends.

    Where the layers' files are dealt to several processes, that may be more than once.
    """
    if _is_ours(item) and not _visit:
        _visit.append(ExitStack())
        _visit[0].enter_context(place.inside(own_host()))
    result = yield
    if nextitem and not _is_ours(nextitem):
        _leave()
    return result


def _leave() -> None:
    while _visit:
        _visit.pop().close()


def pytest_unconfigure() -> None:
    if warm.cache_info().currsize:
        warm().close()
    _leave()


def _is_ours(item: pytest.Item) -> bool:
    return item.get_closest_marker("kernel") is not None and os.geteuid() == 0


@functools.cache
def warm() -> Warm:
    """What runs commands, on the tests' host."""
    return Warm()


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@functools.cache
def untouched() -> dict[str, str]:
    """The tests' host as it is before and after every lab."""
    return host.snapshot()


def assert_untouched() -> None:
    found = host.changes(untouched())
    if found:  # is told once: the next test is compared with what there is now
        untouched.cache_clear()
    assert found == []


def remove(netlab: Netlab) -> None:
    """Take all labs of a state folder down, and check that nothing is left of them."""
    if netlab.state.exists() or host.processes(netlab.state):
        netlab.run("down", "--all")
    host.assert_nothing_left(netlab.state)


def failed(result: Result) -> str:
    """What a command's output says went wrong: the failed checks of a report, else all of it."""
    if '"checks"' not in result.out:
        return result.out
    report = result.json.get("verify") or result.json
    return "\n".join(str(check) for check in report["checks"] if not check["ok"])


@dataclass(frozen=True)
class Netlab:
    """The netlab command, with a state folder that no other lab of this machine is in."""

    state: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {"NETLAB_STATE": str(self.state), "PYTHONPATH": str(REPOSITORY), "SHELL": "/bin/sh"}
        return os.environ | own

    def run(self, *arguments: str, stdin: str = "", timeout: float = 120) -> Result:
        return Result(*warm().run(arguments, self.environment, stdin, timeout))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ok(self, *arguments: str) -> Any:
        """Run with --json, insist on exit code 0, and return the document."""
        result = self.run("--json", *arguments)
        assert result.code == 0, (
            f"{arguments}: exit code {result.code}: {result.err}{failed(result)}"
        )
        return result.json

    def inside(self, target: str, command: str, lab: str | None = None) -> str:
        """Run a shell command in a target and return its output; it must succeed."""
        choice = ("-l", lab) if lab else ()
        document = self.ok(*choice, "exec", target, "--", "sh", "-c", command)
        assert document["exit_code"] == 0, document
        return str(document["stdout"])

    def show(self, target: str, command: str, lab: str | None = None) -> Any:
        """The JSON that a command such as `ip -j link` prints in a target."""
        return json.loads(self.inside(target, command, lab) or "[]")


@pytest.fixture
def netlab(tmp_path: Path) -> Iterator[Netlab]:
    command = Netlab(tmp_path / "state")
    untouched()
    yield command
    remove(command)
    assert_untouched()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Netlab]:
    """A netlab command for tests of a module that share one lab and leave it as it was."""
    command = Netlab(tmp_path_factory.mktemp("shared") / "state")
    untouched()
    yield command
    remove(command)
    assert_untouched()


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Netlab]]:
    """Commands with a running lab each, for tests of a module that are prepared at once."""
    folder = tmp_path_factory.mktemp("several")
    commands = [Netlab(folder / f"state-{number}") for number in range(LABS)]
    untouched()
    for command in commands:
        command.ok("up", "flannel-vxlan", "--no-verify")
    yield commands
    for command in commands:
        remove(command)
    assert_untouched()


@contextmanager
def at_once(
    labs: list[Netlab], work: Callable[[Netlab, str], T], names: Iterable[str]
) -> Iterator[dict[str, Future[T]]]:
    """Do work for each name, each time with a lab to itself, and for as many at once as labs.

    A lab that lost something makes every probe wait for what does not come. That takes no less
    time for one lab than for several.
    """
    free: SimpleQueue[Netlab] = SimpleQueue()
    for lab in labs:
        free.put(lab)

    def do(name: str) -> T:
        lab = free.get()
        try:
            return work(lab, name)
        except BaseException:  # the next one gets a lab that is whole
            lab.run("down", "--all")
            lab.ok("up", "flannel-vxlan", "--no-verify")
            raise
        finally:
            free.put(lab)

    with ThreadPoolExecutor(len(labs)) as pool:
        found = {name: pool.submit(do, name) for name in names}
        pool.shutdown(wait=False)  # its threads end with the work: tests that follow may fork
        yield found
        for future in found.values():
            future.cancel()


def wanted(request: pytest.FixtureRequest, parameter: str) -> list[str]:
    """The values of a parameter for which this module has tests that are to run."""
    found = [
        item.callspec.params.get(parameter)
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        if item.module is request.module
    ]
    return [value for value in found if value is not None]


@pytest.fixture
def topology(tmp_path: Path) -> Callable[[str], str]:
    """Write a topology file and return its path."""

    def write(source: str) -> str:
        path = tmp_path / "mine.py"
        path.write_text(f"from netlab import Cluster, Container, Node, Pod, flannel\n{source}\n")
        return str(path)

    return write
