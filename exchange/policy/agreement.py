"""From an agreement's text to what software enforces of it, and to the commitment that the directory shows."""

import hashlib

from exchange.policy.terms import (
    Agreement,
    AgreementRef,
    AgreementStatus,
    EnforcementView,
    NationalCeiling,
    PersonalDataRule,
    Term,
)

__all__ = [
    "Agreement",
    "AgreementRef",
    "AgreementStatus",
    "EnforcementView",
    "NationalCeiling",
    "PersonalDataRule",
    "Term",
    "commitment",
]


def commitment(view_bytes: bytes, salt: bytes) -> bytes:
    """Return what the directory shows of an agreement: SHA-256(salt || EnforcementView bytes)."""
    return hashlib.sha256(salt + view_bytes).digest()
