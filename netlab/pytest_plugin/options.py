"""The plugin's options."""

from __future__ import annotations

from pathlib import Path

import pytest


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("netlab", "labs of Kubernetes networks")
    group.addoption(
        "--netlab-strict",
        action="store_true",
        help="what this host lacks for a lab is a failure, and no skip",
    )
    group.addoption(
        "--netlab-keep",
        action="store_true",
        help="leave the labs of a failed test running, and say how to enter them",
    )
    group.addoption(
        "--netlab-artifacts",
        type=Path,
        metavar="DIR",
        help="for each failed test a folder there: capture, verify, diff, status and logs",
    )
