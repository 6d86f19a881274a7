"""The commands that change Services, on a lab that has no kernel: what they do, say and refuse."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click.testing
import pytest

from netlab import BadInput, Cluster, Lab, Service, api
from netlab.changing import Changing
from netlab.cli import cli
from netlab.designing import design
from netlab.inside import Applied
from netlab.state import Design
from netlab.topology.resolved import Layout
from tests.options import CHANGING, FIELDS

SERVICES = [
    Service("web", port=80, target_port=8080),
    Service("few", port=80, target_port=8080, pods=("pod-1-1",)),
]


class Fake(Changing):
    """A lab that is what is stored of it."""

    name = "fake"
    late = ()
    report = None

    def __init__(self, **fields: Any) -> None:
        self._design = design(Cluster(nodes=2, **fields), {})
        self.folder: Any = SimpleNamespace(name=self.name, locked=self._locked)
        self.applied = Applied(0, 0, 0.0)
        self.waited: list[float] = []

    @contextlib.contextmanager
    def _locked(self, wait: float) -> Iterator[None]:
        self.waited.append(wait)
        yield

    @property
    def design(self) -> Design:
        return self._design

    @property
    def layout(self) -> Layout:
        return self._design.layout

    def _load(self) -> None:
        pass

    def remake(self, progress: Any, wanted: Design | None = None) -> Applied:
        assert wanted is not None
        changes = sum(
            space != wanted.plan.namespaces[name]
            for name, space in self._design.plan.namespaces.items()
        )
        self._design = wanted
        self.applied = Applied(changes, changes, 0.01)
        return self.applied


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake(proxy="nftables", services=SERVICES)

    def lab(name: str | None, *, wait: float = 0) -> Any:
        assert name in (None, "fake")
        made.waited.append(wait)
        return made

    monkeypatch.setattr(api, "lab", lab)
    return made


def run(*words: str) -> click.testing.Result:
    done = click.testing.CliRunner().invoke(cli, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.mark.parametrize("command", CHANGING)
def test_each_command_takes_the_common_options(fake: Fake, command: str) -> None:
    words = [*command.split(), *CHANGING[command]]
    before = fake.layout
    found = json.loads(run(*words, "--json", "-l", "fake", "--wait", "3").stdout)
    assert fake.layout != before
    assert fake.waited == [3.0, 3.0]
    assert (found["lab"], found["changes"], found["warnings"]) == ("fake", 2, [])
    assert len(found["services"]) == (command != "service remove")
    with pytest.raises(AssertionError):
        run(*words, "-l", "other")


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_of_a_service_has_an_effect(field: str) -> None:
    def made(*options: str) -> Any:
        fake = Fake(proxy="nftables", services=SERVICES)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(api, "lab", lambda name, wait: fake)
            run("service", "add", *CHANGING["service add"], *options)
        return fake.layout.services[3:]

    value, *more = FIELDS[field]
    assert made(f"--{field}", value, *more) != made(*more)


def test_what_is_changed_is_shown_and_said(fake: Fake) -> None:
    shown = run("scale", "web", "2")
    assert shown.stdout.splitlines()[1].split()[0::2] == ["web", "80/TCP", "10.244.1.2:8080"]
    assert shown.stderr == "fake: 2 nodes, 4 pods; 2 changes in 0.010 s\n"
    assert "nothing differed" in run("scale", "web", "2").stderr
    assert run("service", "remove", "web").stdout == "web: removed\n"
    lost = run("service", "add", "lost", "--port", "80", "--selector", "app=x", "--json")
    words = "The Service default/lost has no endpoints: its selector app=x matches no pods."
    assert json.loads(lost.stdout)["warnings"] == [words]
    assert lost.stderr.splitlines()[1] == f"netlab: {words}"


def test_a_plan_warns_too(tmp_path: Path) -> None:
    topology = tmp_path / "mine.py"
    topology.write_text(
        "from netlab import Cluster, Service\n"
        "lost = Service('lost', port=80, selector=('app=x',))\n"
        "topology = Cluster(nodes=1, proxy='nftables', services=[lost])\n"
    )
    words = "The Service default/lost has no endpoints: its selector app=x matches no pods."
    for option in ("--json", "--sh"):
        done = run("plan", str(topology), option)
        assert done.stderr == f"netlab: {words}\n"
        if option == "--json":
            assert json.loads(done.stdout)["warnings"] == [words]


def test_a_lab_without_a_proxy_has_no_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "lab", lambda name, wait: Fake())
    for command, words in CHANGING.items():
        with pytest.raises(BadInput, match=r"has no proxy, .*--set proxy=iptables` gives it one"):
            run(*command.split(), *words)


def test_a_lab_has_these_methods() -> None:
    assert issubclass(Lab, Changing)
    assert not Lab.__abstractmethods__
