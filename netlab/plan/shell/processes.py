"""Containers and daemons as lines of the script, which calls its own functions for them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from netlab.errors import BadInput
from netlab.plan import etc
from netlab.plan.processes import Container, Daemon, File, Ready
from netlab.plan.shell.words import here_document, word
from netlab.plan.types import Namespace

PACKAGES = "{packages}"


def needs_packages(daemon: Daemon) -> bool:
    """Whether it is of Python with a library beside the standard one."""
    return PACKAGES in daemon.command


def serves(container: Container) -> bool:
    """Whether it is netlab's own server."""
    return container.command is None


def containers(spaces: Iterable[Namespace]) -> Iterator[str]:
    """A pod's files, one line for each of its containers, and those that wait for them."""
    ready = []
    for space in spaces:
        for item in space.containers[:1]:
            for name, text in etc.files(item).items():
                lines = text.removesuffix("\n").split("\n")
                yield here_document(f"etc {space.name} {name}", lines).rstrip("\n")
        for item in space.containers:
            own = [space.name, word(item.name), shlex.quote(item.hostname)]
            own += [shlex.quote(setting) for setting in item.env]
            yield " ".join(["container", *own, *_command(item)])
            if serves(item):
                ready.append(f"listening {space.name} {item.port:04X}  # port {item.port}")
            elif item.ready:
                ready += _until_ready(space.name, item, item.ready, own)
    yield from ready


def _until_ready(space: str, item: Container, ready: Ready, own: list[str]) -> Iterator[str]:
    start = f"until_ready {space} {item.name} {_tries(ready)}"
    if ready.tcp:
        yield f"{start} reachable {space} tcp {ready.tcp:04X} 0A  # port {ready.tcp}"
    if ready.udp:
        yield f"{start} reachable {space} udp {ready.udp:04X} ..  # port {ready.udp}"
    if ready.command:
        yield " ".join([start, "inside", *own, *map(shlex.quote, ready.command)])


def _tries(ready: Ready) -> int:
    """How often a process is asked, ten times a second."""
    return max(int(ready.seconds * 10), 1)


def _command(item: Container) -> list[str]:
    if item.command is not None:
        return [shlex.quote(part) for part in item.command]
    options = {
        "--pod": item.pod or item.hostname,
        "--container": item.name,
        "--port": str(item.port),
        "--local-port": str(item.local_port),
    }
    words = [f"{option} {shlex.quote(value)}" for option, value in options.items()]
    return ["python3", '"$dir/server.py"', *words]


def daemons(spaces: Iterable[Namespace]) -> Iterator[str]:
    """Each daemon's folder with its files, the daemon itself, and waiting until it is ready."""
    waits = []
    for space in spaces:
        for item in space.daemons:
            folder = f"$dir/daemons/{word(space.name)}/{word(item.name)}"
            yield f'mkdir -p "{folder}"'
            for file in item.files:
                yield from _file(file, folder)
            start = [space.name, item.name, f"{item.backoff:g}", *_words(item.command, folder)]
            yield " ".join(["daemon", *start])
            if item.ready:
                waits += list(_ready(space.name, item, item.ready, folder))
    yield from waits


def _file(file: File, folder: str) -> Iterator[str]:
    """The lines that write a file into its daemon's folder."""
    path = PurePosixPath(file.path)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise BadInput(f"The file {file.path!r} is not in the private folder of its daemon.")
    if len(path.parts) > 1:
        yield f'mkdir -p "{folder}/"{shlex.quote(str(path.parent))}'
    where = f'"{folder}/"{shlex.quote(file.path)}'
    fill = f'in_folder "{folder}" > {where}'
    # In a here-document dash loses the first byte of an "é" that follows an "E" of its end mark.
    if file.content.endswith("\n") and file.content.isascii():
        yield here_document(fill, file.content[:-1].split("\n")).rstrip("\n")
    else:
        yield f"printf %s {shlex.quote(file.content)} | {fill}"
    yield f"chmod {file.mode:o} {where}"


def _ready(space: str, item: Daemon, ready: Ready, folder: str) -> Iterator[str]:
    start = f"ready {space} {item.name} {_tries(ready)}"
    if ready.tcp:
        yield f"{start} bound tcp {ready.tcp:04X}  # port {ready.tcp}"
    if ready.udp:
        yield f"{start} bound udp {ready.udp:04X}  # port {ready.udp}"
    if ready.file:
        yield f'{start} test -e "{folder}/"{shlex.quote(ready.file)}'
    if ready.command:
        yield " ".join([start, *_words(ready.command, folder)])


def _words(command: Iterable[str], folder: str) -> Iterator[str]:
    """The words of a command, its `{folder}` put in by the shell.

    The shell's Python knows itself where its libraries are.
    """
    for part in command:
        if part == PACKAGES:
            continue
        before, *after = part.split("{folder}")
        yield shlex.quote(before) + "".join(f'"{folder}"{_rest(text)}' for text in after)


def _rest(text: str) -> str:
    return shlex.quote(text) if text else ""
