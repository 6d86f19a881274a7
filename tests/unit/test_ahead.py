"""Namespaces that another process makes while this one uses the first of them."""

import os
import signal
from pathlib import Path

import pytest

from netlab.kernel import ahead, namespaces
from netlab.kernel.ahead import Ahead

NAMES = [f"pod-{number}" for number in range(200)]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file for each namespace that was made, which tells by whom."""
    here = os.getpid()

    def create(name: str) -> None:
        if name == "killed" and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "refused":
            raise OSError(28, "unshare net: No space left on device")
        (tmp_path / name).write_text(str(os.getpid()))

    monkeypatch.setattr(namespaces, "create", create)
    return tmp_path


def test_each_is_there_when_it_was_waited_for(made: Path) -> None:
    new = Ahead(NAMES, lambda: os.getpid())
    for name in NAMES[::17]:
        new.wait(name)
        assert (made / name).exists()
    assert "pod-0" in new
    assert "pod-200" not in new
    assert new.result() == int((made / NAMES[-1]).read_text()) != os.getpid()
    assert len(list(made.iterdir())) == len(NAMES)


def test_a_few_are_made_here(made: Path) -> None:
    new = Ahead(NAMES[: ahead._FEW], lambda: "then")
    assert {path.read_text() for path in made.iterdir()} == {str(os.getpid())}
    new.wait(NAMES[3])
    assert new.result() == new.result() == "then"


def test_the_rest_is_made_here_if_the_other_process_is_killed(made: Path) -> None:
    new = Ahead([*NAMES[:50], "killed", *NAMES[50:]], lambda: "then")
    new.wait(NAMES[-1])
    assert (made / NAMES[-1]).read_text() == str(os.getpid()) != (made / NAMES[0]).read_text()
    assert new.result() == "then"


def test_what_the_kernel_refuses_is_raised_by_who_waits(made: Path) -> None:
    new = Ahead([*NAMES[:50], "refused"], lambda: "then")
    new.wait(NAMES[49])
    with pytest.raises(OSError, match="No space left"):
        new.wait("refused")
