"""What shows an envelope to whoever did not get it: the header as it was signed, and some of its slots. Pure.

It holds nothing of the content. Each slot comes with its path to the header's root, so that nobody can make one up.
"""

from dataclasses import dataclass

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed
from exchange.envelope.codec import decode_header
from exchange.limits import KIB, RECIPIENTS, SLOTS
from exchange.merkle import leaf_hash, verify_inclusion
from exchange.policy.strict_json import Entry, Plain

PATH_STEPS = 8
HEADER_BYTES = 32 * KIB


@dataclass(frozen=True, slots=True)
class ShownSlot:
    """One slot of an envelope; `path` leads from it to the header's root."""

    index: int
    leaf: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ShownEnvelope:
    """The header as it was signed, and the slots that it is shown for."""

    header: Signed
    slots: tuple[ShownSlot, ...]


def check_slots(shown: ShownEnvelope) -> None:
    """Check that every slot is the header's.

    Raises:
        VerificationFailed, BadInput: one is not, or the header cannot be read.
    """
    root = decode_header(shown.header.payload).recipients_root
    for slot in shown.slots:
        verify_inclusion(leaf_hash(slot.leaf), slot.index, SLOTS, slot.path, root)


def plain_shown(shown: ShownEnvelope) -> Plain:
    """Return it as plain data."""
    return {
        "header": encode_signed(shown.header).hex(),
        "slots": [
            {"index": slot.index, "leaf": slot.leaf.hex(), "path": [step.hex() for step in slot.path]}
            for slot in shown.slots
        ],
    }


def read_shown(entry: Entry) -> ShownEnvelope:
    """Return what plain_shown wrote."""
    found = entry.fields("header", "slots")
    header = decode_signed(found["header"].data(), limit=HEADER_BYTES, what="a header")
    return ShownEnvelope(header, tuple(_read_slot(each) for each in found["slots"].items(most=RECIPIENTS)))


def _read_slot(entry: Entry) -> ShownSlot:
    found = entry.fields("index", "leaf", "path")
    path = tuple(step.data(32) for step in found["path"].items(most=PATH_STEPS))
    return ShownSlot(found["index"].number(most=SLOTS - 1), found["leaf"].data(), path)
