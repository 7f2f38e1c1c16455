"""Two envelopes that one key signed and that cannot both be honest: one id, or one number towards one partner, twice.

Both headers are signed by the sender's envelope key, so a file with both proves to anyone that the sender said two
things under one name, or that somebody else holds its key. It holds nothing of the content of either. Pure.
"""

from dataclasses import dataclass
from enum import StrEnum

from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import only, verify_signed
from exchange.envelope.binding import envelope_hash
from exchange.envelope.codec import decode_core, decode_header, decode_leaf
from exchange.envelope.model import ENVELOPE_TYPE
from exchange.errors import BadInput, VerificationFailed
from exchange.limits import KIB
from exchange.names import ExchangeName, PartyId, exchange_name, party_id
from exchange.policy.strict_json import read_json, write_json
from exchange.runtime.armour import read_armour, write_armour
from nodes.evidence import plain_key, read_key
from nodes.evidence_check import Check, Result
from nodes.shown import ShownEnvelope, check_slots, plain_shown, read_shown

KIND = "SENDER EVIDENCE"
VERSION = 1
EVIDENCE_BYTES = 256 * KIB


class Twice(StrEnum):
    """What was used twice; stable words."""

    ID = "envelope-id"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two envelopes of one sender, and the key that signed both headers."""

    exchange: ExchangeName
    made_by: PartyId
    made_ms: int
    sender: PartyId
    key: PublicKey
    twice: Twice
    first: ShownEnvelope
    second: ShownEnvelope


def write_contradiction(found: Contradiction) -> str:
    """Return the file."""
    plain = {
        "version": VERSION,
        "exchange": found.exchange,
        "made_by": found.made_by,
        "made_ms": found.made_ms,
        "sender": found.sender,
        "envelope_key": plain_key(found.key),
        "twice": found.twice.value,
        "first": plain_shown(found.first),
        "second": plain_shown(found.second),
    }
    return write_armour(KIND, write_json(plain))


def read_contradiction(text: str) -> Contradiction:
    """Return what a file holds; nothing of it is verified.

    Raises:
        BadInput: it is no such file, or was changed by hand.
    """
    _, data = read_armour(text, {KIND})
    found = read_json(data, limit=EVIDENCE_BYTES, what="an evidence file").fields(
        "version", "exchange", "made_by", "made_ms", "sender", "envelope_key", "twice", "first", "second"
    )
    if found["version"].number() != VERSION:
        raise found["version"].wrong(f"this program reads version {VERSION}")
    return Contradiction(
        exchange=exchange_name(found["exchange"].text()),
        made_by=party_id(found["made_by"].text()),
        made_ms=found["made_ms"].number(),
        sender=party_id(found["sender"].text()),
        key=read_key(found["envelope_key"]),
        twice=found["twice"].code(Twice),
        first=read_shown(found["first"]),
        second=read_shown(found["second"]),
    )


def check_contradiction(found: Contradiction) -> list[Check]:
    """Return every check, in order; never raises on what the file says."""
    checks = [_signed(found, "first envelope", found.first), _signed(found, "second envelope", found.second)]
    if all(check.result is Result.HOLDS for check in checks):
        checks.append(_contradict(found))
    detail = f"that it was {found.sender}'s: compare with a directory: {found.key.key_id.hex()}"
    return [*checks, Check("envelope key", Result.NOT_CHECKED, detail)]


def _signed(found: Contradiction, what: str, shown: ShownEnvelope) -> Check:
    key = found.key
    try:
        verify_signed(
            shown.header,
            only(key),
            expected_type=ENVELOPE_TYPE,
            context=found.exchange,
        )
        core = decode_core(decode_header(shown.header.payload).core)
        check_slots(shown)
    except (BadInput, VerificationFailed) as error:
        return Check(what, Result.FAILS, str(error))
    if (core.sender, core.sender_key) != (found.sender, key.key_id):
        return Check(what, Result.FAILS, f"it names {core.sender} as its sender, or another key")
    digest = envelope_hash(shown.header.payload).hex()
    return Check(what, Result.HOLDS, f"{digest[:16]}, signed by {found.sender} with key {key.key_id.hex()[:16]}")


def _contradict(found: Contradiction) -> Check:
    try:
        same = _name_of(found.first, found.twice)
        other = _name_of(found.second, found.twice)
    except (BadInput, VerificationFailed) as error:
        return Check("contradiction", Result.FAILS, str(error))
    if found.first.header.payload == found.second.header.payload:
        return Check("contradiction", Result.FAILS, "both are the same envelope")
    if same != other:
        return Check("contradiction", Result.FAILS, f"they do not share one {found.twice}: {same}; {other}")
    return Check("contradiction", Result.HOLDS, f"two envelopes under one {found.twice}: {same}")


def _name_of(shown: ShownEnvelope, twice: Twice) -> str:
    core = decode_core(decode_header(shown.header.payload).core)
    if twice is Twice.ID:
        return core.envelope_id.hex()
    if len(shown.slots) != 1:
        raise VerificationFailed("a number stands in one slot, and the file shows another count")
    leaf = decode_leaf(shown.slots[0].leaf)
    return f"number {leaf.pair_seq} of stream {leaf.stream}, lane {core.lane.name}, to {leaf.recipient}"
