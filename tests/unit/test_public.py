"""What `import netlab` offers: exactly `__all__`, cheaply, and so that type checkers see it."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from mypy import api as mypy

import netlab

REPOSITORY = Path(__file__).parents[2]
GOOD = """\
from netlab import Cluster, flannel, lab, up

topology = Cluster(nodes=2, dataplane=flannel.Vxlan(vni=2))
with up("flannel-vxlan", nodes=2) as running:
    ok: bool = running.verify().ok
    text: str = running.pod("pod-1-1").run("ip", "route").stdout
    down: tuple[str, ...] = running.status().daemons[0].lacks, lab().name
"""
WRONG = {
    "from netlab import flanel": "flanel",
    "from netlab import flannel\nflannel.Vxlam()": "Vxlam",
    "from netlab import flannel\nflannel.Vxlan(vny=1)": "vny",
    "from netlab import flannel\nflannel.Vxlan(vni='one')": "vni",
    "from netlab import Cluster\nCluster(node=1)": "node",
    "import netlab\nnetlab.up('x').pod('y').run(1)": "run",
    "import netlab\nnetlab.lab().pods": "pods",
}


def test_all_is_what_there_is() -> None:
    submodules = {
        name
        for name, value in vars(netlab).items()
        if isinstance(value, ModuleType) and value.__name__ == f"netlab.{name}"
    }
    public = {name for name in vars(netlab) if name[0] not in "_@"} - submodules  # pytest adds @
    imported = {"TYPE_CHECKING", "Any", "annotations", "importlib"}
    assert sorted([*(public - imported), *netlab._LAZY]) == netlab.__all__
    assert sorted(netlab.__all__) == netlab.__all__
    for name in netlab.__all__:
        assert getattr(netlab, name).__doc__


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="flanel"):
        netlab.flanel  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="flanel"):
        exec("from netlab import flanel")


def test_importing_it_is_cheap() -> None:
    code = (
        "import sys, netlab\n"
        "heavy = {'scapy', 'pyroute2', 'click', 'msgspec', 'netlab.kernel'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("mypy"))


def errors(source: str, folder: Path, cache: str) -> list[str]:
    file = folder / "users.py"
    file.write_text(source + "\n")
    options = ["--strict", "--follow-imports=silent", "--no-error-summary", "--cache-dir", cache]
    out, problem, _ = mypy.run([*options, str(file)])
    assert not problem
    return out.splitlines()


def test_a_type_checker_accepts_what_is_right(
    tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert errors(GOOD, tmp_path, cache) == []


@pytest.mark.parametrize("source", WRONG)
def test_a_type_checker_finds_what_is_wrong(
    source: str, tmp_path: Path, cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    found = errors(source, tmp_path, cache)
    assert any(WRONG[source] in line for line in found), found
