"""The DSSE pre-authentication encoding: what is hashed or signed for a typed payload.

The type is inside, so a signature over one kind of statement can never be read as another (DSSE 1.0.2, "protocol").
"""


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return `DSSEv1 <length of type> <type> <length of payload> <payload>`; lengths are decimal byte counts."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
