"""Daemons in the script: their files, their commands, waiting for them; nothing breaks out."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netlab.errors import BadInput
from netlab.plan.processes import Daemon, File, Ready
from netlab.plan.shell.processes import daemons
from netlab.plan.shell.text import DAEMONS
from tests.unit.plans import space_with
from tests.unit.scripts import check_syntax, script_with, words_for

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
BIRD = Daemon(
    name="bird",
    command=("bird", "-f", "-c", "{folder}/bird.conf", "-s={folder}/bird.ctl"),
    files=(File("bird.conf", "log '{folder}/log';\n", 0o600),),
    ready=Ready(tcp=179, udp=3784, file="bird.ctl", command=("birdc", "-s", "{folder}/bird.ctl")),
)


def lines_of(daemon: Daemon) -> str:
    return "\n".join(daemons([space_with(daemon)])) + "\n"


def written(daemon: Daemon, folder: Path) -> Path:
    """Run the lines that write its files; the daemon's private folder."""
    quiet = "daemon() { :; }\nready() { :; }\n"
    program = f"set -eu\ndir=$1\n{DAEMONS}\n{quiet}{lines_of(daemon)}"
    subprocess.run(["sh", "-c", program, "sh", str(folder)], check=True)
    return folder / "daemons" / "a" / daemon.name


def test_a_daemon_s_lines_are_valid_and_come_last() -> None:
    text = script_with(BIRD)
    check_syntax(text)
    assert "for tool in ip bridge unshare sed; do" in text
    assert text.index("\ndaemon() {") < text.index("\ndaemon a bird ") < text.index("# ==== Ready")
    assert "sed; do" not in script_with(Daemon(name="d", command=("true",)))


def test_the_command_gets_the_folder_in_every_word() -> None:
    [call] = words_for("daemon", _only("daemon", lines_of(BIRD)))
    assert call == [
        *("a", "bird", "0.5", "bird", "-f", "-c", "/d/daemons/a/bird/bird.conf"),
        "-s=/d/daemons/a/bird/bird.ctl",
    ]


def _only(function: str, lines: str) -> str:
    return "\n".join(line for line in lines.splitlines() if line.startswith(f"{function} "))


def test_readiness_is_every_condition_that_is_given() -> None:
    calls = words_for("ready", _only("ready", lines_of(BIRD)))
    assert calls == [
        ["a", "bird", "100", "bound", "tcp", "00B3"],
        ["a", "bird", "100", "bound", "udp", "0EC8"],
        ["a", "bird", "100", "test", "-e", "/d/daemons/a/bird/bird.ctl"],
        ["a", "bird", "100", "birdc", "-s", "/d/daemons/a/bird/bird.ctl"],
    ]
    never = Daemon(name="d", command=("true",))
    assert "ready a" not in lines_of(never)


def test_all_daemons_are_started_before_one_is_waited_for() -> None:
    """Two that wait for each other must both run."""
    spaces = [space_with(BIRD), space_with(BIRD, name="b")]
    kinds = [line.split()[0] for line in daemons(spaces) if line.startswith(("daemon ", "ready "))]
    assert kinds == ["daemon"] * 2 + ["ready"] * 8


def test_files_are_written_with_their_folder_and_mode(tmp_path: Path) -> None:
    more = File("conf.d/peer/one.conf", "no newline at the end of {folder}")
    daemon = Daemon(name="bird", command=("true",), files=(*BIRD.files, more))
    folder = written(daemon, tmp_path)
    config = folder / "bird.conf"
    assert config.read_text() == f"log '{folder}/log';\n"
    assert config.stat().st_mode & 0o777 == 0o600
    assert (folder / more.path).read_text() == f"no newline at the end of {folder}"


@pytest.mark.parametrize("path", ["../escaped", "/etc/passwd", "a/../../b", "", "."])
def test_a_file_outside_of_the_folder_is_refused(path: str) -> None:
    with pytest.raises(BadInput, match="is not in the private folder of its daemon"):
        lines_of(Daemon(name="d", command=("true",), files=(File(path, ""),)))


@example("E\x80")
@example("Eé")
@given(TEXT)
def test_any_content_arrives_as_it_is(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    files = (File("with", f"{text}\n"), File("without", text), File("end", f"END\n{text}\nEND\n"))
    daemon = Daemon(name="d", command=("true",), files=files)
    folder = written(daemon, tmp_path_factory.mktemp("any"))
    for file in files:
        wanted = file.content.replace("{folder}", str(folder)).encode()
        assert (folder / file.path).read_bytes() == wanted


@given(st.lists(TEXT, min_size=1, max_size=3), TEXT)
def test_any_command_and_readiness_arrive_word_by_word(command: list[str], file: str) -> None:
    daemon = Daemon(
        name="d",
        command=tuple(command),
        ready=Ready(command=tuple(command), file=file, seconds=0.0),
    )
    lines = lines_of(daemon)
    both = 'ready() { daemon ready "$@"; }\nmkdir() { :; }'
    calls = words_for("daemon", lines, both)
    filled = [word.replace("{folder}", "/d/daemons/a/d") for word in command]
    assert calls[0] == ["a", "d", "0.5", *filled]
    assert calls[-1] == ["ready", "a", "d", "1", *filled]
    if file:
        assert calls[1] == ["ready", "a", "d", "1", "test", "-e", f"/d/daemons/a/d/{file}"]
