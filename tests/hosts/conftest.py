"""One VM for the whole layer: it boots once, and every test leaves it as it was."""

from collections.abc import Iterator

import pytest

from tests.hosts.vm import DebianVM


@pytest.fixture(scope="session")
def vm() -> Iterator[DebianVM]:
    with DebianVM() as machine:
        yield machine
