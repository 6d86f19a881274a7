"""Tests that use the engine itself: in a child process, in namespaces of its own."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from netlab.kernel import syscalls as sys_
from netlab.kernel.apply import Engine
from netlab.plan.types import Namespace, Plan


def sandboxed(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a child process, with a `/run/netns` and a network of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        out, into = os.pipe()
        pid = os.fork()
        if pid == 0:
            words = ""
            try:
                sys_.unshare(sys_.CLONE_NEWNET | sys_.CLONE_NEWNS)
                sys_.mount("none", "/", flags=sys_.MS_REC | sys_.MS_PRIVATE)
                os.makedirs("/run/netns", exist_ok=True)
                sys_.mount("tmpfs", "/run/netns", "tmpfs")
                test(*arguments, **named)
            except BaseException:
                words = traceback.format_exc()
            finally:
                os.write(into, words.encode()[-60000:])
                os._exit(0)
        os.close(into)
        with os.fdopen(out) as answer:
            words = answer.read()
        os.waitpid(pid, 0)
        if words:
            pytest.fail(words, pytrace=False)

    return run


class NoProcesses:
    """In place of the processes of a lab, for plans that have none."""

    def begin(self, wanted: Iterable[Any]) -> None:
        assert not list(wanted)

    def finish(self) -> list[str]:
        return []

    def stop(self, namespace: str, name: str | None = None) -> None:
        pass

    def running(self, namespace: str) -> list[Any]:
        return []


def engine(*spaces: Namespace) -> Engine:
    """The engine of a plan of these namespaces."""
    plan = Plan("test", (), {space.name: space for space in spaces})
    processes: Any = NoProcesses()
    return Engine(plan, processes)
