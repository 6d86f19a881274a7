"""What comes of a probe: one `Check` for each thing that was asked of the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Kind = Literal[
    "container",
    "pod-same-node",
    "pod-cross-node",
    "node-pod",
    "pod-node",
    "node-endpoint",
    "node-node",
    "pod-external",
    "node-external",
    "external-node",
    "pod-service",
    "node-service",
    "external-service",
    "hairpin",
    "negative",
    "mtu",
    "wire",
    "state",
]
KINDS: tuple[str, ...] = get_args(Kind)


class Verdict(NamedTuple):
    """What an expectation says of an outcome; `evidence` are the facts seen, if there are any."""

    expected: str
    observed: str
    ok: bool
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """What was expected between two named things, and what happened, both in words.

    `evidence` holds the facts seen: addresses, TTLs, a frame of the underlay. It may be empty.
    `family` is the address family, 4 or 6; `protocol` what was spoken, empty where nothing was.
    In a lab on several machines `crossed` is whether its packets went from one to another, and
    `number` its place among all that is asked of the lab, from 1 on.
    """

    kind: Kind
    source: str
    target: str
    expected: str
    observed: str
    ok: bool
    evidence: str = ""
    family: int = 4
    protocol: str = ""
    crossed: bool = False
    number: int = 0
