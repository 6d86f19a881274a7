"""netlab as it is sent to a machine: one file, which Python runs there and which unpacks itself.

It holds this program and the libraries that it needs, from the environment that runs it or, for
another Python or processor, from an index of packages. What it makes is a folder by the name of the
digest: so two controllers with different ones do not meet, and a folder that is there is whole.
`python -m netlab.hosts.package` makes one for a machine like this one and prints its path.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import platform
import py_compile
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePath

from netlab.errors import Unmet
from netlab.hosts import unpacking

NEEDED = ("click", "dnslib", "msgspec", "pyroute2", "ruamel.yaml", "scapy")
# Half of what there is, and used by nothing here: a small machine may have it all in memory.
_LEFT_OUT = {("scapy", "contrib"), ("scapy", "tools"), ("scapy", "modules")}
OLDEST = (3, 11)
_LIMIT = 300  # seconds for an index of packages
_PACKAGE = Path(__file__).parents[1]


@functools.cache
def digest() -> str:
    """Of all files of this netlab, and the versions of its libraries: 16 hexadecimal digits."""
    found = hashlib.sha256()
    for name, path in sorted(_own_files()):
        found.update(f"{name}\0".encode() + path.read_bytes())
    for name in NEEDED:
        found.update(f"{name}=={importlib.metadata.version(name)}\n".encode())
    return found.hexdigest()[:16]


def write(folder: Path, python: tuple[int, int], architecture: str, libc: str) -> Path:
    """Write the file for machines of that kind; returns its path. Raises Unmet."""
    if python < OLDEST:
        older, oldest = (".".join(map(str, version)) for version in (python, OLDEST))
        raise Unmet(f"netlab needs Python {oldest} or newer, not {older}", "install one there")
    path = folder / f"netlab-{digest()}-{'.'.join(map(str, python))}-{architecture}.pyz"
    own = (python, architecture, libc.split()[:1]) == (*own_kind()[:2], own_libc().split()[:1])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.writestr("__main__.py", Path(unpacking.__file__).read_bytes())
        archive.writestr("DIGEST", digest())
        for name, file in _own_files():
            archive.write(file, f"lib/{name}")
            if own and name.endswith(".py"):
                _add_bytecode(archive, name, file)
        if own:
            for name, file in _libraries():
                archive.write(file, f"lib/{name}")
        else:
            for name, data in _downloaded(python, architecture, libc):
                archive.writestr(f"lib/{name}", data)
    return path


def own_kind() -> tuple[tuple[int, int], str, str]:
    """Python, processor and C library of what runs this, as `write` takes them."""
    return sys.version_info[:2], os.uname().machine, own_libc()


def own_libc() -> str:
    """The C library's name and version, "" where Python knows none."""
    return " ".join(platform.libc_ver()).strip()


def _own_files() -> Iterator[tuple[str, Path]]:
    """The files of the package, named as in a site-packages folder; topologies are in it."""
    shipped = _PACKAGE / "_topologies"
    if not shipped.is_dir():
        shipped = _PACKAGE.parent / "topologies"
    for root, prefix in ((_PACKAGE, "netlab"), (shipped, "netlab/_topologies")):
        for path in root.rglob("*"):
            inside = path.relative_to(root)
            if "__pycache__" in inside.parts or not path.is_file():
                continue
            if root is _PACKAGE and inside.parts[0] == "_topologies":
                continue
            yield f"{prefix}/{inside.as_posix()}", path


def _libraries() -> Iterator[tuple[str, Path]]:
    """The files of the libraries in the environment that runs this."""
    for name in _closure(NEEDED):
        for file in importlib.metadata.files(name) or ():
            path = Path(str(file.locate()))
            wanted = not {"..", "__pycache__"}.intersection(file.parts) and not _is_left_out(file)
            if wanted and path.is_file():
                yield file.as_posix(), path


def _is_left_out(file: PurePath) -> bool:
    return file.parts[:2] in _LEFT_OUT or file.suffix == ".pyi"


def _closure(names: tuple[str, ...]) -> set[str]:
    """Libraries and what they need, as far as it is installed."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        try:
            needs = importlib.metadata.requires(name) or ()
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or Python
        if name not in found:
            found.add(name)
            left += [
                match[0]
                for need in needs
                if "extra ==" not in need and (match := re.match(r"[\w.-]+", need))
            ]
    return found


def _add_bytecode(archive: zipfile.ZipFile, name: str, file: Path) -> None:
    """Compiled so that Python there takes it whatever the file's time is."""
    with tempfile.NamedTemporaryFile() as compiled:
        py_compile.compile(
            str(file),
            cfile=compiled.name,
            dfile=name,
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        place = Path(importlib.util.cache_from_source(name))
        archive.writestr(f"lib/{place.as_posix()}", Path(compiled.name).read_bytes())


def _downloaded(
    python: tuple[int, int], architecture: str, libc: str
) -> Iterator[tuple[str, bytes]]:
    """The libraries for another kind of machine, from the index of packages. Raises Unmet."""
    kind = "manylinux" if libc.startswith("glibc") else "musllinux"
    releases = ("2_28", "2_17", "2014") if kind == "manylinux" else ("1_2", "1_1")
    version = ".".join(map(str, python))
    pins = [f"{name}=={importlib.metadata.version(name)}" for name in NEEDED]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        command += ["--only-binary=:all:", "--python-version", version, "--dest", folder]
        for release in releases:
            command += [
                "--platform",
                f"{kind}{'' if release == '2014' else '_'}{release}_{architecture}",
            ]
        done = subprocess.run(
            [*command, *pins],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
        )
        if done.returncode:
            said = (done.stderr.strip() or "pip says nothing").splitlines()[-1]
            what = f"The libraries for Python {version} on {architecture} cannot be had: {said}"
            raise Unmet(what, "start netlab by that Python, or give pip an index that has them")
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(io.BytesIO(wheel.read_bytes())) as archive:
                for name in archive.namelist():
                    if not name.endswith("/") and not _is_left_out(PurePath(name)):
                        yield name, archive.read(name)


def _kept() -> Path:
    """The file for machines like this one, for who plays a playbook by hand: one is kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "netlab"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in cache.glob("netlab-*.pyz"):
        old.unlink(missing_ok=True)
    return write(cache, *own_kind())


if __name__ == "__main__":
    print(_kept())
