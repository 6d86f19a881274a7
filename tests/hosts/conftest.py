"""One VM for each file: one that idles while other tests run takes a fifth of a processor."""

from collections.abc import Iterator

import pytest

from tests.hosts.vm import DebianVM


@pytest.fixture(scope="module")
def vm() -> Iterator[DebianVM]:
    with DebianVM() as machine:
        yield machine
