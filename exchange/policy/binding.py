"""What binds the parts of a report's rules to each other: the release's hash, and the part that the relay reads."""

import hashlib

from exchange.errors import BadLabel, VerificationFailed
from exchange.names import PartyId
from exchange.policy.model import Label, RelayFlag, RelayLabel


def release_sha256(release_bytes: bytes, salt: bytes) -> bytes:
    """Return what a label shows of its release: SHA-256(salt || Release bytes), `salt` being Release.salt."""
    return hashlib.sha256(salt + release_bytes).digest()


def consent_needed(label: Label, sender: PartyId) -> bool:
    """Say whether another originator must consent to what `sender` sends: the flag NOT_ORIGINATOR tells the relay."""
    return set(label.originators) != {sender}


def relay_label(label: Label, label_bytes: bytes, *, sender: PartyId, expires_ms: int) -> RelayLabel:
    """Return what the relay may read of a label that `sender` sends; it deletes at `expires_ms` or the label's expiry.

    Raises:
        BadLabel: `expires_ms` is not set; the relay keeps nothing for ever.
    """
    if expires_ms <= 0:
        raise BadLabel("an envelope needs a time at which the relay deletes it")
    flags = RelayFlag(0)
    if label.personal_data.present or label.personal_data.special:
        flags |= RelayFlag.PERSONAL_DATA
    if label.personal_data.special:
        flags |= RelayFlag.SPECIAL_CATEGORIES
    if label.personal_data.pseudonymous:
        flags |= RelayFlag.PSEUDONYMOUS
    if consent_needed(label, sender):
        flags |= RelayFlag.NOT_ORIGINATOR
    if label.orcon:
        flags |= RelayFlag.ORCON
    return RelayLabel(
        tlp=label.tlp,
        policy=label.policy,
        categories=label.categories,
        purposes=label.purposes,
        flags=int(flags),
        expires_ms=min(expires_ms, label.expires_ms or expires_ms),
        label_sha256=hashlib.sha256(label_bytes).digest(),
    )


def check_relay_label(label: Label, label_bytes: bytes, given: RelayLabel, *, sender: PartyId) -> None:
    """Check every field of the relay label of a header from `sender` against the full label.

    Raises:
        VerificationFailed: it names the fields that differ; the sender has shown the relay another label.
    """
    if given.expires_ms <= 0:
        raise VerificationFailed("the relay label has no expiry")
    expected = relay_label(label, label_bytes, sender=sender, expires_ms=given.expires_ms)
    names = ("tlp", "policy", "categories", "purposes", "flags", "expires_ms", "label_sha256")
    differing = [name for name in names if getattr(given, name) != getattr(expected, name)]
    if differing:
        raise VerificationFailed(f"the relay label differs from the label in {', '.join(differing)}")
