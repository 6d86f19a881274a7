"""What a person at a terminal sees: colours where they are wanted, and lines that fit."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import termios

import pytest

from tests.kernel.conftest import COMMAND, Netlab

GREEN_OK, RED_FAIL = re.compile(r"\x1b\[32mok *\x1b\[0m"), re.compile(r"\x1b\[31mFAIL *\x1b\[0m")


@pytest.fixture(scope="module")
def lab(shared: Netlab) -> Netlab:
    """Pods can be reached from outside, which they should not be."""
    shared.ok("up", "flannel-vxlan", "--no-verify")
    shared.inside("router", "ip route add 10.244.0.0/24 via 192.168.0.1")
    return shared


def on_a_terminal(lab: Netlab, columns: int, *arguments: str, **environment: str) -> str:
    """Run netlab with a terminal of that width as its standard output; returns what it shows."""
    ours, its = os.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    given = {key: value for key, value in lab.environment.items() if key not in ("COLUMNS", "TERM")}
    process = subprocess.Popen([*COMMAND, *arguments], stdout=its, env=given | environment)
    os.close(its)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    os.close(ours)
    assert process.wait() in (0, 1)
    return shown.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours(lab: Netlab) -> None:
    shown = on_a_terminal(lab, 80, "verify")
    assert GREEN_OK.search(shown)
    assert RED_FAIL.search(shown)


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(lab: Netlab, plain: dict[str, str]) -> None:
    shown = on_a_terminal(lab, 80, "verify", **plain)
    assert "\x1b" not in shown
    assert "FAIL" in shown


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_matrix_fits_the_terminal(lab: Netlab, columns: int) -> None:
    shown = on_a_terminal(lab, columns, "verify", NO_COLOR="1").split("\n\n")[0]
    head, *lines = shown.splitlines()
    assert head.startswith("Reachability")
    told = [line for line in lines if "not shown" in line]
    assert max(len(line) for line in lines if line not in told) <= columns
    assert bool(told) is (columns == 60)
    assert "FAIL" in shown


def test_up_shows_the_same(lab: Netlab) -> None:
    shown = on_a_terminal(lab, 80, "up", "flannel-vxlan")
    assert GREEN_OK.search(shown)
    assert "all passed" in shown
