"""The shape of a way to attach pods; each way is a file of `netlab/dataplane/attach/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from netlab.plan.attachment import Attachment
from netlab.plan.types import Object
from netlab.topology.resolved import Layout, NodeSpec, PodSpec


class Attached(NamedTuple):
    """What attaching one pod puts into both namespaces, and the attachment itself."""

    attachment: Attachment
    pod: Sequence[Object]
    node: Sequence[Object]


class Endpoint(NamedTuple):
    """What a node has attached as its pods are, and is none: Cilium's health endpoint.

    `spec` is what it would be as a pod; `attach` its own way, where names of devices differ.
    """

    spec: PodSpec
    attach: Attach


class Attach(Protocol):
    """A way of wiring, as a value. `name` is its file's."""

    @property
    def name(self) -> str: ...

    def node(self, layout: Layout, node: NodeSpec) -> Sequence[Object]:
        """What the node needs once, whatever its pods."""
        ...

    def pod(self, layout: Layout, node: NodeSpec, pod: PodSpec) -> Attached:
        """What one pod needs."""
        ...
