"""WireGuard's keys: Curve25519 (RFC 7748), in base64 as `wg` writes them.

`wg genkey` draws a private key at random. A lab's is made from what it is for, so that the same lab
has the same keys each time: they are no secret, and are worth nothing outside of a lab.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib

from netlab.errors import Unmet

BYTES = 32
REMEDY = "pip install 'netlab-k8s[wireguard]', or start netlab by ./bootstrap"


def private_key(owner: str) -> str:
    """The private key of whoever is called so; clamped, as the kernel would do."""
    key = bytearray(
        hashlib.blake2b(owner.encode(), digest_size=BYTES, person=b"netlab wg").digest()
    )
    key[0] &= 248
    key[31] = key[31] & 127 | 64
    return base64.b64encode(key).decode()


@functools.cache
def public_key(private: str) -> str:
    """The public key of a private one. Raises Unmet where the library `cryptography` lacks."""
    try:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    except ImportError:
        what = "WireGuard's public keys take the Python package cryptography, which is missing"
        raise Unmet(what, REMEDY, "cryptography") from None
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def is_key(text: str) -> bool:
    """Whether a text is 32 bytes in base64, as every key is."""
    try:
        return len(base64.b64decode(text, validate=True)) == BYTES
    except (binascii.Error, ValueError):
        return False
