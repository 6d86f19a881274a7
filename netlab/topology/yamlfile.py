"""A topology in YAML: one mapping with the fields of a `Cluster`, of its nodes, pods, containers.

    nodes:
      - name: control
        pods: 0
      - pods:
          - {name: web, containers: [{name: nginx, command: [nginx, -g, daemon off;]}]}
    cluster_cidr: 10.233.64.0/18
    dataplane: {name: flannel-vxlan, direct_routing: true}

It is YAML 1.2, in which `no` is a word. Nothing in it is run, and each thing stands in it once:
aliases, which can make a small file a huge document, are refused.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlab.errors import BadInput, sentence, shown, unknown
from netlab.topology.check import fit, hints, members
from netlab.topology.model import ELSEWHERE, Cluster, Named

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node

ENDINGS = (".yaml", ".yml")
_TAG = "tag:yaml.org,2002:"


def read(path: Path) -> Cluster:
    """The cluster that a file describes. Raises BadInput, with the file and its line."""
    return _Reader(path).cluster()


def summary(path: Path) -> str:
    """What a comment in the file's first line says."""
    with path.open(errors="replace") as lines:
        first = lines.readline()
    return first.lstrip("# ").strip() if first.startswith("#") else ""


class _Reader:
    def __init__(self, path: Path) -> None:
        from ruamel.yaml import YAML  # 20 ms, which only such a file takes

        self._path = path
        self._yaml = YAML(typ="safe", pure=True)
        self._seen: set[int] = set()

    def cluster(self) -> Cluster:
        root = self._root()
        if root is None or root.tag != f"{_TAG}map":
            raise BadInput(
                f"{self._path} is no topology",
                "a topology in YAML is a mapping with the fields of a Cluster, such as `nodes: 3`",
            )
        cluster: Cluster = self._dataclass(root, Cluster)
        return cluster

    def _root(self) -> Node | None:
        """The document as nodes, which know their lines and are not yet values."""
        from ruamel.yaml.error import YAMLError

        try:
            root: Node | None = self._yaml.compose(self._path.read_bytes())
            return root
        except OSError as error:
            raise BadInput(f"{self._path} cannot be read: {error.strerror}.") from error
        except RecursionError:
            raise BadInput(f"{self._path} is nested too deeply to be a topology.") from None
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f" line {mark.line + 1}" if mark else ""
            problem = sentence(str(getattr(error, "problem", None) or error)).rstrip(".")
            raise BadInput(f"{self._path}{line} is not YAML: {problem}.") from None

    def _dataclass(self, node: Node, kind: type) -> Any:
        known = hints(kind, ELSEWHERE)
        values = {}
        for key, one in self._items(node):
            field = key.value
            if field not in known:
                problem = unknown(f"field of a {kind.__name__}", field, known)
                raise self._error(key, problem.what, problem.remedy)
            value = self._dataplane(one) if field == "dataplane" else self._value(one, known[field])
            try:
                values[field] = fit(value, known[field], field)
            except TypeError as error:
                raise self._error(key, str(error)) from None
        try:
            return kind(**values)
        except TypeError as error:
            words = str(error).partition("() ")[2] or str(error)
            raise self._error(node, f"a {kind.__name__} is {words}") from None

    def _dataplane(self, node: Node) -> Any:
        """Its name, or a mapping of that and its options."""
        if node.tag != f"{_TAG}map":
            return self._value(node, str)
        self._once(node)
        options = {key.value: self._value(one, Any) for key, one in self._items(node)}
        name = options.pop("name", None)
        if not isinstance(name, str):
            raise self._error(node, "dataplane has no name", "give it one, as flannel-vxlan")
        return Named(name, options)

    def _value(self, node: Node, wanted: Any) -> Any:
        """What a node holds; a mapping is of the dataclass that is wanted there."""
        self._once(node)
        if node.tag == f"{_TAG}seq":
            return [self._value(one, _item(wanted)) for one in node.value]
        if node.tag == f"{_TAG}map":
            kind = next(filter(dataclasses.is_dataclass, members(wanted)), None)
            if not isinstance(kind, type):
                raise self._error(node, "there is a mapping, where none can be")
            return self._dataclass(node, kind)
        if str(node.tag).removeprefix(_TAG) not in ("str", "int", "float", "bool", "null"):
            raise self._error(
                node, f"{shown(node.value)} is no text to YAML", "put it into quotation marks"
            )
        try:
            return self._yaml.constructor.construct_object(node)
        except ValueError:
            raise self._error(node, f"{shown(node.value)} is no value of {node.tag}") from None

    def _items(self, node: Node) -> Iterator[tuple[Node, Node]]:
        """The keys of a mapping, each of which is a name and there once."""
        seen = set()
        for key, value in node.value:
            if key.tag != f"{_TAG}str":
                raise self._error(key, f"{shown(key.value)} is no field", "give its name")
            if key.value in seen:
                raise self._error(key, f"{shown(key.value)} is given twice", "give it once")
            seen.add(key.value)
            yield key, value

    def _once(self, node: Node) -> None:
        if id(node) in self._seen:
            raise self._error(node, f"&{node.anchor} is used again", "write it out")
        self._seen.add(id(node))

    def _error(self, node: Node, what: str, remedy: str = "") -> BadInput:
        where = f"{self._path} line {node.start_mark.line + 1}"
        return BadInput(f"{where}: {what}{'' if remedy else '.'}", remedy)


def _item(wanted: Any) -> Any:
    """The type of a sequence's items, whichever of a union it is."""
    inner = [one for kind in members(wanted) for one in typing.get_args(kind)]
    return next(filter(dataclasses.is_dataclass, inner), Any)
