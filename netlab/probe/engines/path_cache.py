"""What a namespace remembers of paths' MTUs, for ten minutes after it was told one."""

from __future__ import annotations

import contextlib
from pathlib import Path

from netlab.kernel import namespaces

_FLUSH = tuple(Path(f"/proc/sys/net/{family}/route/flush") for family in ("ipv4", "ipv6"))


def flush_path_mtus(namespace: str) -> None:
    """Let the namespace learn its paths' MTUs anew: what it knows may be from before a repair.

    A kernel shows the file of IPv6 to the first user namespace only; in a rootless lab that part
    stays.
    """
    with contextlib.suppress(OSError), namespaces.inside(namespace):
        for file in _FLUSH:
            with contextlib.suppress(OSError):
                file.write_text("0")
