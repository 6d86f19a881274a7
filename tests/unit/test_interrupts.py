"""Ctrl-C at the moment at which another process is made: nobody's hook swallows it."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from netlab.kernel import interrupts


def interrupted() -> None:
    """For this thread: a worker of the tests has others, which would take what is for all."""
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


def code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture(autouse=True)
def as_before() -> object:
    handler = signal.getsignal(signal.SIGINT)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    signal.signal(signal.SIGINT, handler)


def test_what_came_before_the_other_is_there_is_raised() -> None:
    seen = []

    def forking() -> None:
        with interrupts.to_another() as interrupt:
            interrupted()
            seen.append("a bytecode later")
            interrupt.is_the_others()
            seen.append("never")

    with pytest.raises(KeyboardInterrupt):
        forking()
    assert seen == ["a bytecode later"]


def test_what_comes_later_is_not_the_callers() -> None:
    with interrupts.to_another() as interrupt:
        interrupt.is_the_others()
        interrupted()


def test_what_came_before_the_work_is_the_works() -> None:
    with interrupts.to_another() as interrupt:
        if (between := os.fork()) == 0:
            interrupted()  # pending here, and a forked process does not get it
            if (last := os.fork()) == 0:
                try:
                    interrupt.first(lambda: time.sleep(5))()
                except KeyboardInterrupt:
                    os._exit(7)
                os._exit(1)
            interrupt.pass_on(last)
            os._exit(code(last))
        interrupt.is_the_others()
        assert code(between) == 7


def test_it_waits_for_the_end_of_a_fork() -> None:
    seen = []

    def forking() -> None:
        with interrupts.held() as release:
            interrupted()
            if (pid := os.fork()) == 0:
                release()  # nothing is pending for a new process
                os._exit(7)
            seen.append(code(pid))

    with pytest.raises(KeyboardInterrupt):
        forking()
    assert seen == [7]
