"""What real systems leave to chance, and a lab has to choose the same way each time."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable


def hashed(key: str) -> int:
    """A number that only the key decides."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "big")


def drawn(key: str, ranges: Iterable[range], taken: Collection[int]) -> int | None:
    """A number of the first range that has one that is not taken: the one at a hash of `key`, or
    the next one after it, and from the start again. None where all are taken.

    As Kubernetes' allocators search a bitmap from a random place (pkg/registry/core/service).
    """
    for numbers in ranges:
        count = len(numbers)
        used = sum(number in numbers for number in taken)
        if used >= count:
            continue
        offset = hashed(key) % count
        while numbers[offset] in taken:
            offset = (offset + 1) % count
        return numbers[offset]
    return None
