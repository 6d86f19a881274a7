"""What the types share: an object with the message that deletes it."""

from __future__ import annotations

from netlab.kernel.netlink import Request
from netlab.plan.routing import Extra


def unnamed(values: dict[int, bytes]) -> list[str]:
    """Attributes that are not worth a name, in words."""
    return [f"attribute-{number} 0x{data.hex()}" for number, data in values.items()]


def extra(
    kind: str, words: str, deletion: int, body: bytes, link: str = "", protocol: int = 0
) -> Extra:
    """An object, and the number and body of the message that deletes it."""
    return Extra(kind, words, link, protocol, deletion, body.hex())


def removal(item: Extra) -> Request:
    return Request(item.deletion, 0, bytes.fromhex(item.body), item)
