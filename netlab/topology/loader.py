"""Finding topology files, and running one to get the `Cluster` it describes.

A file defines `topology`: a Cluster, or a function whose parameters are options and which returns
one; or it is in YAML. Files are the user's own programs; every way in which one can fail becomes
one sentence.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TextIO, TypeVar

from netlab.errors import BadInput, NetlabError, shown, unknown
from netlab.topology import yamlfile
from netlab.topology.convert import convert, parameter_types, parameters
from netlab.topology.fields import cluster_options, with_fields
from netlab.topology.model import Cluster

FOLDERS = "NETLAB_TOPOLOGIES"
ENDINGS = (".py", *yamlfile.ENDINGS)
T = TypeVar("T")
PACKAGE = Path(__file__).parent.parent
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


def available() -> dict[str, Path]:
    """The topologies that can be named, by name. The user's own come before shipped ones."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*")):
            named = path.suffix in ENDINGS and not path.name.startswith(("_", "."))
            if named and _is_file(path):
                found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def summary(path: Path) -> str:
    """The first line of the file's docstring, without running the file; empty if there is none.

    Of a file in YAML it is a comment.
    """
    try:
        if path.suffix in yamlfile.ENDINGS:
            return yamlfile.summary(path)
        docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError):
        return ""
    return (docstring or "").partition("\n")[0].strip()


def find(name: str) -> Path:
    """The file of a topology, given by name or (with a `/` or its ending) by path."""
    if name.endswith(".json"):
        raise BadInput(
            f"{shown(name)} is not a topology: that is a Python file which defines `topology`, a "
            "Cluster or a function returning one, or a YAML file of the same fields (.yaml)."
        )
    if "/" not in name and not name.endswith(ENDINGS):
        known = available()
        if name not in known:
            raise unknown("topology", name, known)
        return known[name]
    try:
        path = Path(name).expanduser()
        there = path.is_file()
    except OSError as error:
        raise BadInput(f"{name} cannot be read: {error.strerror}.") from error
    except RuntimeError:  # a home folder of nobody
        there = False
    if not there:
        raise BadInput(f"There is no topology file {name}.")
    return path


def load(
    name: str,
    *,
    nodes: int | None = None,
    pods_per_node: int | None = None,
    settings: Mapping[str, str] = NO_SETTINGS,
    more_options: Callable[[Cluster], Iterable[str]] = lambda _: (),
) -> Cluster:
    """Run a topology's file and apply the user's settings.

    A setting is for the function's parameter of that name, else for that field of the Cluster;
    `nodes` and `pods_per_node` are settings with an option of their own on the command line.
    `more_options` names what the caller can set on the result, for the error about an unknown one.
    Raises BadInput.
    """
    path = find(name)
    given = dict(settings)
    for key, count in (("nodes", nodes), ("pods_per_node", pods_per_node)):
        if count is not None:
            given[key] = str(count)
    topology = yamlfile.read(path) if path.suffix in yamlfile.ENDINGS else _run(path)
    usual = cluster_options()
    if isinstance(topology, Cluster):
        cluster, options = topology, {}
    else:
        options = parameter_types(topology, usual)
        cluster = _call(path, topology, given)
    rest = {key: text for key, text in given.items() if key not in options}
    if not _takes_any(topology):
        _refuse_unknown(rest, lambda: {*options, *usual, *more_options(cluster)})
    return _with_texts(path.stem, cluster, rest)


def with_settings(
    name: str,
    cluster: Cluster,
    settings: Mapping[str, str],
    more_options: Callable[[Cluster], Iterable[str]] = lambda _: (),
) -> Cluster:
    """As `load`, for a cluster that stands in no topology file."""
    _refuse_unknown(settings, lambda: {*cluster_options(), *more_options(cluster)})
    return _with_texts(name, cluster, settings)


def _refuse_unknown(given: Iterable[str], known: Callable[[], Iterable[str]]) -> None:
    for key in given:
        if key not in cluster_options():
            raise unknown("option", key, known())


def _with_texts(name: str, cluster: Cluster, given: Mapping[str, str]) -> Cluster:
    usual = cluster_options()
    values = {key: convert(text, usual[key], key) for key, text in given.items() if key in usual}
    return with_fields(name, cluster, values)


def _folders() -> list[Path]:
    own = [Path(text) for text in os.environ.get(FOLDERS, "").split(os.pathsep) if text]
    in_wheel, in_checkout = PACKAGE / "_topologies", PACKAGE.parent / "topologies"
    return [*own, Path("topologies"), in_wheel if in_wheel.is_dir() else in_checkout]


def _is_file(path: Path) -> bool:
    """False also where that is not to be known, as in a folder that may not be entered."""
    try:
        return path.is_file()
    except OSError:
        return False


def module(path: Path) -> ModuleType:
    """Run a topology's file; the module that it makes. Raises BadInput.

    Not by importlib: it would leave `__pycache__` in the user's folder, and reuse it when a file is
    changed twice in a second. Files of one name in two folders are two modules.
    """
    folder = hashlib.blake2b(str(path.parent.absolute()).encode(), digest_size=4).hexdigest()
    made = ModuleType(f"netlab_topology_{path.stem}_{folder}")
    made.__file__ = str(path)
    sys.modules[made.__name__] = made  # a dataclass in the file looks its module up there
    try:
        source = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error
    guard(path, lambda: exec(compile(source, path, "exec"), made.__dict__))
    return made


def _run(path: Path) -> Any:
    """What the file calls `topology`, a Cluster or a function."""
    made = module(path)
    if not hasattr(made, "topology"):
        raise BadInput(f"{path} defines no 'topology', a Cluster or a function returning one.")
    topology = made.topology
    if not isinstance(topology, Cluster) and (not callable(topology) or isinstance(topology, type)):
        raise BadInput(
            f"'topology' in {path} is {_article(topology)}, neither a Cluster nor a function."
        )
    if not isinstance(topology, Cluster):
        try:
            inspect.signature(topology)
        except (TypeError, ValueError) as error:  # such as `max`, written in C
            raise BadInput(f"The options of topology() in {path} are not known.") from error
    return topology


def _call(path: Path, function: Callable[..., Any], given: Mapping[str, str]) -> Cluster:
    types = parameter_types(function, cluster_options())
    arguments = {key: convert(given[key], types[key], key) for key in types if key in given}
    if _takes_any(function):
        others = given.keys() - types.keys() - cluster_options().keys()
        arguments.update({key: given[key] for key in others})
    lacking = [
        name
        for name, parameter in parameters(function).items()
        if parameter.default is parameter.empty and name not in arguments
    ]
    if lacking:
        settings = " ".join(f"--set {name}=…" for name in lacking)
        raise BadInput(f"The topology {path.stem} needs {settings}.")
    cluster = guard(path, lambda: function(**arguments))
    if not isinstance(cluster, Cluster):
        if inspect.iscoroutine(cluster):
            cluster.close()  # or Python warns that nobody awaited it
        raise BadInput(f"topology() in {path} returned {_article(cluster)}, not a Cluster.")
    return cluster


def _takes_any(topology: Any) -> bool:
    """Whether it is a function with `**options`: it gets every other setting, as text."""
    return not isinstance(topology, Cluster) and any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD
        for parameter in inspect.signature(topology).parameters.values()
    )


def guard(path: Path, action: Callable[[], T]) -> T:
    """Do what runs the user's code; whatever it raises becomes a sentence with file and line."""
    try:
        with _printing_to_stderr():
            return action()
    except (NetlabError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit, and whatever else the user thought of
        raise BadInput(_failure(path, error)) from error


@contextlib.contextmanager
def _printing_to_stderr() -> Iterator[None]:
    """Meanwhile standard output is standard error: a command's output is its own document alone.

    Its descriptor is too, because the file may run programs. Closed descriptors become /dev/null,
    so that the copy cannot get the number of one.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)
    kept, own = os.dup(1), sys.stdout
    _flush(own)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _flush(own)
        os.dup2(kept, 1)
        os.close(kept)


def _flush(stream: TextIO | None) -> None:
    """Empty Python's own buffer; there is none where standard output is closed."""
    if stream:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _failure(path: Path, error: BaseException) -> str:
    """`FILE line N raised TYPE: MESSAGE`; the line is the innermost one of the user's file."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path} line {error.lineno}: {error.msg}."
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    where = f" line {lines[-1]}" if lines else ""
    try:
        message = " ".join(str(error).split()).rstrip(".")
    except Exception:  # the user's own class
        message = ""
    return f"{path}{where} raised {type(error).__name__}{': ' if message else ''}{message}."


def _article(value: Any) -> str:
    kind = "class" if isinstance(value, type) else type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
