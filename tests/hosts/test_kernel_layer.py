"""The tests of tests/kernel that the running kernel may have to skip, on a kernel that has it all."""

from pathlib import Path

import pytest

from tests.hosts.vm import DebianVM

REPOSITORY = Path(__file__).parents[2]
NONE_COLLECTED = pytest.ExitCode.NO_TESTS_COLLECTED


def test_kernel_tests_that_need_a_feature_pass_on_debian(vm: DebianVM) -> None:
    """Each test marked `@pytest.mark.needs(…)`; none may be skipped here as well."""
    result = vm.run(
        f"cd {REPOSITORY} && python3 -m pytest -p no:cacheprovider -m needs tests/kernel",
        timeout=240,
    )
    assert "Skipped for missing kernel features" not in result.stdout
    if result.returncode != NONE_COLLECTED:
        result.check()
