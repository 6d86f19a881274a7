"""The tests of tests/kernel that the running kernel has to skip, on a kernel that has it all."""

from pathlib import Path

import pytest

from netlab.kernel.capabilities import features, missing
from tests.hosts.vm import DebianVM

REPOSITORY = Path(__file__).parents[2]


def test_what_is_skipped_here_passes_on_debian(vm: DebianVM) -> None:
    """Each test marked as needing what this machine lacks; the VM may skip none of them."""
    lacking = ",".join(missing(features()))
    if not lacking:
        return  # the machine's own run of tests/kernel skipped nothing
    result = vm.run(
        f"cd {REPOSITORY} && "
        f"python3 -m pytest -p no:cacheprovider --only-needing={lacking} tests/kernel",
        timeout=900,
    )
    assert "Skipped for missing kernel features" not in result.stdout, result.stdout
    if result.returncode != pytest.ExitCode.NO_TESTS_COLLECTED:
        result.check()
