"""An agent's life: what it answers, and that it and its work end with whoever asks."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netlab.errors import Unmet
from netlab.hosts.connection import Connection, Pending, Unreachable
from netlab.hosts.inventory import Host
from netlab.hosts.protocol import SILENCE
from netlab.hosts.ssh import Way
from tests.kernel import agent_calls

REPOSITORY = Path(__file__).parents[2]


class Here(Way):
    """No way at all: the agent for tests is started by itself."""

    def __init__(self, silence: float, variables: dict[str, str]) -> None:
        super().__init__(Host("vm-1", {"ansible_connection": "local"} | variables), Path("/none"))
        self.silence = silence

    def command(self, shell: str, *, terminal: bool = False) -> list[str]:
        return [
            "env",
            "-C",
            str(REPOSITORY),
            sys.executable,
            "-m",
            agent_calls.__name__,
            str(self.silence),
        ]


@contextmanager
def agent(silence: float = SILENCE, **variables: str) -> Iterator[Connection]:
    connection = Connection(Here(silence, variables), "", "")
    try:
        yield connection
    finally:
        connection.close()


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def asleep(connection: Connection) -> tuple[Pending, tuple[int, int]]:
    """A call at work there, with its process and one that this has started."""
    told: list[tuple[int, int]] = []
    heard = threading.Event()

    def hear(_words: str, *pids: int) -> None:
        told.append((pids[0], pids[1]))
        heard.set()

    pending = connection.start(agent_calls.sleep, 60.0, hear)
    assert heard.wait(20)
    return pending, told[0]


def test_it_says_who_it_is() -> None:
    with agent() as connection:
        hello = connection.hello
    assert hello.kernel == os.uname().release
    assert hello.root
    assert abs(hello.clock - time.time()) < 60


def test_calls_at_once_answer_when_they_are_done() -> None:
    with agent() as connection:
        begun = time.monotonic()
        calls = [connection.start(agent_calls.sleep, seconds) for seconds in (1.0, 0.8, 0.6)]
        assert connection.call(agent_calls.much, 8 << 20) == "x" * (8 << 20)
        assert [one.result() for one in calls] == ["slept"] * 3
        assert time.monotonic() - begun < 2.2


def test_errors_come_back_as_what_they_are_with_the_machine_s_name() -> None:
    with agent() as connection:
        with pytest.raises(Unmet, match=r"^vm-1: Nothing is here; bring something\.$") as refused:
            connection.call(agent_calls.refuse, "Nothing is here")
        with pytest.raises(RuntimeError, match="vm-1: ValueError: of a bug") as stumbled:
            connection.call(agent_calls.stumble, "of a bug")
        with pytest.raises(Unmet, match="ended by signal 9"):
            connection.call(agent_calls.vanish, "")
        assert connection.call(agent_calls.much, 1) == "x"  # it is none the worse for it
    assert refused.value.exit_code == 3
    assert "in stumble" in stumbled.value.__notes__[0]


def test_an_answer_does_not_wait_for_who_holds_the_pipe() -> None:
    with agent() as connection:
        begun = time.monotonic()
        assert connection.call(agent_calls.leave, "left") == "left"
        assert connection.call(agent_calls.leave, "left") == "left"
        assert time.monotonic() - begun < 0.9


@pytest.mark.parametrize("end", ["close", "kill"])
def test_its_work_ends_with_it(end: str) -> None:
    with agent() as connection:
        pending, pids = asleep(connection)
        if end == "close":
            connection.close()
        else:  # of what is between: the agent reads the end of its input
            process = connection._process
            os.kill(process.pid, signal.SIGKILL)
        assert within(3, lambda: is_gone(pids[1]))
        with pytest.raises(Unreachable, match="The machine vm-1 cannot be used"):
            pending.result(5)
        if end == "kill":  # nobody was left to end what its work had started
            os.kill(pids[0], signal.SIGKILL)
        assert within(3, lambda: is_gone(pids[0]))


def test_a_cancelled_call_ends_there_and_no_other_does() -> None:
    with agent() as connection:
        pending, pids = asleep(connection)
        _, others = asleep(connection)
        pending.cancel()
        assert within(3, lambda: all(map(is_gone, pids)))
        assert not any(map(is_gone, others))
        with pytest.raises(Unreachable, match=r"no answer in 0\.5 seconds to 'sleep'"):
            connection.start(agent_calls.sleep, 60.0).result(0.5)


def test_it_ends_when_nothing_is_heard_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netlab.hosts.connection.BEAT", 0.2)
    with agent(silence=1.0) as connection:
        _, pids = asleep(connection)
        time.sleep(2)
        assert not any(map(is_gone, pids)), "the beat keeps it"
        connection._closed.set()  # as if the link were cut: no beat, and no end of the input
        assert within(3, lambda: all(map(is_gone, pids)))
        assert connection._process.wait(3) == 0


def test_a_password_that_sudo_did_not_ask_for_is_no_request() -> None:
    with agent(ansible_become_password='{"id": 1, "call": "much"') as connection:
        assert connection.call(agent_calls.much, 2) == "xx"
