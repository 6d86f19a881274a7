"""A topology in YAML: the same fields as in Python, and one sentence for whatever is wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from netlab import BadInput, Cluster, Container, Node, Pod, flannel
from netlab.loading import load_topology
from netlab.topology.loader import available, summary

WHOLE = """\
# Two nodes by hand.
nodes:
  - name: control
    pods: 0
    mtu: 1400
  - address: 192.168.0.50
    pod_cidr: 10.233.65.0/24
    pods:
      - name: web
        namespace: prod
        containers:
          - {name: nginx, command: [nginx, -g, daemon off;]}
          - name: side
      - {}
containers: 1
cluster_cidr: 10.233.64.0/18
node_port_range: [30000, 30009]
underlay: [192.168.0.0/24, 192.168.1.0/24]
external: false
dataplane: {name: flannel-vxlan, vni: 7, direct_routing: true}
"""
SAME = Cluster(
    nodes=[
        Node("control", pods=0, mtu=1400),
        Node(
            address="192.168.0.50",
            pod_cidr="10.233.65.0/24",
            pods=[
                Pod(
                    "web",
                    (Container("nginx", ("nginx", "-g", "daemon off;")), Container("side")),
                    "prod",
                ),
                Pod(),
            ],
        ),
    ],
    containers=1,
    cluster_cidr="10.233.64.0/18",
    node_port_range=(30000, 30009),
    underlay=["192.168.0.0/24", "192.168.1.0/24"],
    external=False,
    dataplane=flannel.Vxlan(vni=7, direct_routing=True),
)


def written(folder: Path, text: str | bytes, name: str = "mine.yaml") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml"])
def test_it_has_the_fields_of_python(tmp_path: Path, name: str) -> None:
    loaded = load_topology(written(tmp_path, WHOLE, name))
    assert loaded.name == "mine"
    assert loaded.cluster == SAME
    assert loaded.dataplane == flannel.Vxlan(vni=7, direct_routing=True)


def test_options_are_set_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path, "nodes: 2\ndataplane: flannel-vxlan\n")
    loaded = load_topology(path, nodes=4, settings={"external": "no", "dataplane.vni": "9"})
    assert (loaded.cluster.nodes, loaded.cluster.external) == (4, False)
    assert loaded.dataplane == flannel.Vxlan(vni=9)


def test_it_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(written(tmp_path, WHOLE))
    monkeypatch.setenv("NETLAB_TOPOLOGIES", str(tmp_path))
    assert available()["mine"] == path
    assert summary(path) == "Two nodes by hand."
    assert load_topology("mine").cluster == SAME


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("apiVersion: v1\nkind: Pod\n", "line 1: There is no field of a Cluster 'apiVersion'"),
        ("nodes: 3\nnodez: 2\n", "line 2: .* 'nodez'; did you mean nodes"),
        (
            "nodes:\n- {name: a, pod: 1}\n",
            "line 2: There is no field of a Node 'pod'; did you mean",
        ),
        ("nodes: 3\nnodes: 2\n", "line 2: 'nodes' is given twice; give it once"),
        ("nodes: [{name: a}, {name: b, name: c}]\n", "line 1: 'name' is given twice"),
        ("nodes: three\n", "line 1: nodes is 'three', not a whole number or a sequence of Node"),
        ("external: no\n", "line 1: external is 'no', not True or False"),
        ("nodes:\n", "line 1: nodes is None, not"),
        ("nodes: [1]\n", r"line 1: nodes\[0\] is 1, not a Node"),
        ("\n\nnode_port_range: [1]\n", "line 3: node_port_range is"),
        ("nodes: {name: a}\n", "line 1: there is a mapping, where none can be"),
        ("cluster_cidr: {a: b}\n", "line 1: there is a mapping, where none can be"),
        ("nodes:\n- pods:\n  - containers: [{command: [a]}]\n", "line 3: a Container is missing"),
        ("nodes:\n- pods:\n  - containers:\n    - {name: 5}\n", "line 4: name is 5, not a string"),
        ("dataplane: {vni: 3}\n", "line 1: dataplane has no name; give it one"),
        ("dataplane: {name: flannel-vxlan, vnj: 3}\n", "no option of flannel-vxlan 'vnj'; did you"),
        ("dataplane: {name: flannel-vxlan, vni: a}\n", "vni is 'a', not a whole number"),
        ("dataplane: nosuch\n", "There is no dataplane 'nosuch'"),
        ("underlay: 2026-01-01\n", "line 1: '2026-01-01' is no text to YAML; put it into quot"),
        ("underlay: !!python/name:os.system ''\n", "line 1: .* is no text to YAML"),
        ("a: &a [x, x]\nnodes: *a\n", "line 1: There is no field of a Cluster 'a'"),
        ("underlay: &a [x, x]\ncluster_cidr: *a\n", "line 1: &a is used again; write it out"),
        ("underlay: &a [*a]\n", "line 1: &a is used again"),
        ("<<: {nodes: 3}\n", "line 1: '<<' is no field"),
        ("? [a, b]\n: 1\n", "line 1: .* is no field"),
        ("underlay: *nosuch\n", "line 1 is not YAML: found undefined alias 'nosuch'"),
        ("nodes: 3\n b: 2\n", "line 2 is not YAML: mapping values are not allowed here"),
        ("nodes: [1\n", "line 2 is not YAML: expected ',' or ']'"),
        ("nodes: 1\n---\nnodes: 2\n", "line 2 is not YAML: but found another document"),
        ("", "mine.yaml is no topology; a topology in YAML is a mapping with the fields"),
        ("- nodes: 3\n", "mine.yaml is no topology"),
        ("from netlab import Cluster\n", "mine.yaml is no topology"),
        (b"nodes: \xff\xfe\n", "is not YAML: "),
        (b"nodes: \x00\n", "is not YAML: "),
        ("underlay: " + "[" * 20_000, "is nested too deeply to be a topology|is not YAML"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        load_topology(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))


def test_a_bomb_of_aliases_costs_nothing(tmp_path: Path) -> None:
    levels = [f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)]
    bomb = "\n".join(["dataplane:", "  name: flannel-vxlan", "  l0: &l0 [x]", *levels])
    started = time.perf_counter()
    with pytest.raises(BadInput, match="&l0 is used again"):
        load_topology(written(tmp_path, bomb))
    assert time.perf_counter() - started < 1


def test_it_is_read_by_the_command_and_loaded_only_then(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    code = (
        "import sys; from netlab.cli import cli\n"
        "cli(['plan', sys.argv[1]], standalone_mode=False)\n"
        "print('ruamel.yaml' in sys.modules, file=sys.stderr)\n"
    )
    for topology, loads in ((path, "True\n"), ("flannel-vxlan", "False\n")):
        done = subprocess.run(
            [sys.executable, "-c", code, topology], capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, loads)
