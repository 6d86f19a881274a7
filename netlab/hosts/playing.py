"""A process that plays one of netlab's playbooks, by ansible-runner, and leaves no other behind.

Ansible's workers, its ssh clients and what they start outlive a run that is cancelled, each in a
session of its own. So a run has a process to itself, which adopts whatever is orphaned below it
and ends all of that: at the end of the run, and at the end of its standard input, which is there
as long as netlab is.

It reads one line, a `Play`, and prints lines: an `Event` each.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, Literal

import msgspec

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_GRACE = 0.5  # seconds between asking processes to end and ending them


class Play(msgspec.Struct, frozen=True):
    """`folder` is a private one of the run's own, which goes with it; `inventory` are variables."""

    folder: str
    playbook: str
    inventory: dict[str, dict[str, Any]]
    environment: dict[str, str] = {}


class Event(msgspec.Struct, frozen=True):
    """What became of a task on a machine; `words` are the task's name, or the reason."""

    what: Literal["start", "ok", "failed", "unreachable", "end"]
    machine: str = ""
    words: str = ""


def main() -> None:
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    play = msgspec.json.decode(sys.stdin.buffer.readline(), type=Play)
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    over = threading.Event()
    threading.Thread(target=_wait_for_end, args=(over, play.folder), daemon=True).start()
    try:
        code = _run(play, events, over)
        events.write(msgspec.json.encode(Event("end", words=code)) + b"\n")
        events.flush()
    except BrokenPipeError:
        pass
    finally:
        _end_all()
        shutil.rmtree(play.folder, ignore_errors=True)
    os._exit(0)


def _run(play: Play, events: Any, over: threading.Event) -> str:
    """Play it until it ends or has to; returns ansible-runner's word for how it ended."""
    import ansible_runner

    inventory = Path(play.folder, "inventory.json")
    inventory.touch(mode=0o600)  # passwords may be in it
    inventory.write_bytes(msgspec.json.encode({"all": {"hosts": play.inventory}}))

    def hear(event: dict[str, Any]) -> bool:
        if found := _event(event):
            with contextlib.suppress(BrokenPipeError):
                events.write(msgspec.json.encode(found) + b"\n")
                events.flush()
        return False  # nothing of it is written to disk

    thread, runner = ansible_runner.run_async(
        private_data_dir=play.folder,
        playbook=play.playbook,
        inventory=str(inventory),
        envvars=play.environment,
        event_handler=hear,
        cancel_callback=over.is_set,
        quiet=True,
    )
    thread.join()
    return str(runner.status)


def _event(event: dict[str, Any]) -> Event | None:
    data = event.get("event_data", {})
    machine, result = data.get("host", ""), data.get("res", {})
    match event.get("event"):
        case "runner_on_start":
            return Event("start", machine, data.get("task", ""))
        case "runner_on_ok":
            return Event("ok", machine, data.get("task", ""))
        case "runner_on_failed":
            said = [result.get(name) or "" for name in ("stderr", "stdout", "msg")]
            return Event("failed", machine, next((one.strip() for one in said if one.strip()), ""))
        case "runner_on_unreachable":
            return Event("unreachable", machine, result.get("msg", ""))
        case _:
            return None


def _wait_for_end(over: threading.Event, folder: str) -> None:
    while os.read(0, 4096):
        pass
    over.set()
    time.sleep(_GRACE)  # for ansible-runner to see it
    _end_all()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _end_all() -> None:
    """End every process below this one; orphans are children of it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + _GRACE
        while (left := descendants(os.getpid())) and time.monotonic() < end:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    """All processes below one."""
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text().split()):
                found += [child, *descendants(child)]
    return found


if __name__ == "__main__":
    main()
