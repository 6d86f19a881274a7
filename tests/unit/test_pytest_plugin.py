"""The pytest plugin before any test wants a lab."""

import subprocess
import sys

HEAVY = ("pyroute2", "scapy", "msgspec", "click", "netlab.api", "netlab.kernel", "netlab.plan")


def test_nothing_heavy_is_imported_before_a_lab_is_wanted() -> None:
    """Every run of pytest loads it, where netlab is installed."""
    code = f"import sys, netlab.pytest_plugin; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
