"""A file with what a party has seen of the relay's logs, for a relay that is restored: armoured JSON.

`concord log witness --seen FILE` writes it, `concord relay restore --seen FILE` reads it. What is in it the relay has
signed itself: newest checkpoints of both logs, and the promise with the highest place in the traffic log. Nothing in it
is secret. The file is not signed: one that says too little would only let a relay go on that its partners then convict.
"""

from dataclasses import dataclass

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed
from exchange.errors import MalformedInput
from exchange.limits import KIB
from exchange.names import ExchangeName, PartyId, exchange_name, party_id
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.json_record import decode_record, encode_record, from_base64, to_base64
from exchange.tlog.note import NOTE_BYTES

LOGS_SEEN = "LOGS SEEN"
PROMISE_BYTES = 8 * KIB
_FIELDS: dict[str, type] = dict.fromkeys(("exchange", "party", "directory", "traffic", "promise"), str)


@dataclass(frozen=True, slots=True)
class LogsSeen:
    """What one party has seen; nothing of it is verified."""

    exchange: ExchangeName
    party: PartyId
    directory: str
    """Note; empty when it has seen none."""
    traffic: str
    promise: Signed | None


def write_logs_seen(seen: LogsSeen) -> str:
    """Return the text of the file."""
    record = {
        "exchange": seen.exchange,
        "party": seen.party,
        "directory": seen.directory,
        "traffic": seen.traffic,
        "promise": "" if seen.promise is None else to_base64(encode_signed(seen.promise)),
    }
    return write_armour(LOGS_SEEN, encode_record(record))


def read_logs_seen(text: str) -> LogsSeen:
    """Return what a file says; raises MalformedInput, BadName or TooLarge for anything else."""
    fields = decode_record(read_armour(text, {LOGS_SEEN})[1], _FIELDS, what="the file of logs seen")
    if max(len(fields["directory"]), len(fields["traffic"])) > NOTE_BYTES:
        raise MalformedInput("a note in the file is too long")
    promise = fields["promise"]
    return LogsSeen(
        exchange_name(fields["exchange"]),
        party_id(fields["party"]),
        fields["directory"],
        fields["traffic"],
        decode_signed(from_base64(promise, what="the promise"), limit=PROMISE_BYTES, what="the promise")
        if promise
        else None,
    )
