"""The bootstrap, on a copy of the checkout, with interpreters that only pretend to install.

/usr/local/bin is another folder meanwhile: as root, bootstrap links its command there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# As python3: a new .venv has this very program as its interpreter, and a pip that takes its time,
# as no two may run at once, and that lacks the network where a file says so.
PYTHON = """#!/bin/sh
case "$*" in
"-m venv"*)
    for folder; do :; done
    rm -rf "$folder/bin"
    mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python" && cp "$0" "$folder/bin/pip"
    echo "$0" >>"{place}/made" ;;
"-m pip"*)
    here=$(dirname "$(dirname "$0")")
    [ ! -e "{place}/offline" ] || {{ echo 'ERROR: No matching distribution'; exit 1; }}
    mkdir "{place}/busy" || exit 1
    sleep 0.3
    printf '#!%s/bin/python\\n' "$here" >"$here/bin/netlab"
    echo "$*" >>"{place}/installed"
    rmdir "{place}/busy" ;;
*) exec {python} "$@" ;;
esac
"""
PRIVATE_MOUNT = 'mount --bind "$0" /usr/local/bin && exec "$@"'


class Copy:
    def __init__(self, place: Path) -> None:
        self.place = place
        self.checkout = place / "checkout"
        self.checkout.mkdir()
        for name in ("bootstrap", "pyproject.toml"):
            shutil.copy(REPOSITORY / name, self.checkout)
        links = place / "links"
        links.mkdir()
        self.private = ["unshare", "-m", "sh", "-ec", PRIVATE_MOUNT, str(links)]
        self.python = self.interpreter(place / "bin")
        shutil.copy(self.python, self.python.with_name("python3.14"))

    def interpreter(self, folder: Path, mode: int = 0o755) -> Path:
        folder.mkdir(mode=mode)
        path = folder / "python3"
        path.write_text(PYTHON.format(place=self.place, python="/usr/bin/python3"))
        path.chmod(0o755)
        return path

    def start(
        self, *words: str, program: Path | None = None, first: Path | None = None
    ) -> subprocess.Popen[str]:
        folders = [str(one.parent) for one in (first, self.python) if one]
        return subprocess.Popen(
            [*self.private, str(program or self.checkout / "bootstrap"), *words],
            env=os.environ | {"PATH": os.pathsep.join([*folders, "/usr/bin:/bin:/usr/sbin:/sbin"])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, program: Path | None = None, first: Path | None = None) -> str:
        """Run bootstrap, which must succeed; returns what it said."""
        process = self.start(*words, program=program, first=first)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out == ""
        return err

    def times(self, what: str) -> int:
        path = self.place / what
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def copy() -> Iterator[Copy]:
    if sys.version_info < (3, 11) or not Path("/usr/bin/python3").exists():
        pytest.skip("the system has no Python of its own")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are only for root to enter
        os.chmod(folder, 0o755)
        yield Copy(Path(folder))


def test_it_installs_once_and_then_says_nothing(copy: Copy) -> None:
    assert "installing the project" in copy.run("true")
    assert copy.run("true") == ""
    assert (copy.times("made"), copy.times("installed")) == (1, 1)


def test_two_at_once_install_once(copy: Copy) -> None:
    both = [copy.start("true") for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert (copy.times("made"), copy.times("installed")) == (1, 1)


def test_ansible_comes_when_an_inventory_is_named_and_stays(copy: Copy) -> None:
    copy.run("true", "mine")
    copy.run("true", "mine", "--inventory=vagrant")
    assert copy.run("true", "mine", "--inventory", "vagrant") == ""
    assert copy.run("true", "mine") == ""
    plain, hosts = (copy.place / "installed").read_text().splitlines()
    assert plain.endswith("checkout")
    assert hosts.endswith("checkout[hosts]")


def test_by_a_link_it_is_the_same_checkout(copy: Copy) -> None:
    link = copy.place / "elsewhere"
    link.symlink_to(copy.checkout / "bootstrap")
    copy.run("true", program=link)
    assert copy.run("true") == ""
    assert (copy.checkout / ".venv" / "bin" / "netlab").exists()


def test_a_moved_checkout_takes_no_network(copy: Copy) -> None:
    copy.run("true")
    (copy.place / "offline").touch()
    moved = copy.place / "another place"
    copy.checkout.rename(moved)
    assert copy.run("true", program=moved / "bootstrap").count("\n") == 1  # the link is made anew
    assert (moved / ".venv/bin/netlab").read_text() == f"#!{moved}/.venv/bin/python\n"
    assert copy.times("installed") == 1


def test_without_a_network_it_is_one_sentence(copy: Copy) -> None:
    (copy.place / "offline").touch()
    process = copy.start("true")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    last = err.splitlines()[-1]
    assert last.startswith("bootstrap: the project could not be installed, for which pip needs a")
    log = Path(last.rpartition(" ")[2])
    assert "No matching distribution" in log.read_text()


def test_an_interpreter_for_root_alone_is_passed_over(copy: Copy) -> None:
    private = copy.interpreter(copy.place / "private", mode=0o700)
    copy.run("true", first=private)
    made = (copy.place / "made").read_text()
    assert str(private) not in made
    venv = copy.checkout / ".venv"
    done = subprocess.run([venv / "bin" / "python", "-c", ""], user=65534, group=65534)
    assert done.returncode == 0
    # What was made with one before is made anew.
    shutil.rmtree(venv)
    copy.run("true", first=private)
    (venv / "bin").chmod(0o700)
    assert "making .venv" in copy.run("true", first=private)
