"""What a killed process leaves of its labs: their folders, as the labs themselves end with it."""

from __future__ import annotations

import contextlib

from netlab.errors import NetlabError
from netlab.kernel import lab as folders


def remove() -> None:
    """Remove the folders of labs that are gone; what is in the way the next command meets."""
    with contextlib.suppress(NetlabError):
        folders.clear_stale()
