"""A file with a node's witness key, for the council to name it: armoured JSON. Nothing in it is secret, or signed.

`concord log witness --out FILE` writes it, `concord root witnesses FILE...` reads it. A false key in it would only keep
its party's cosignatures from counting; the key id is for people to compare.
"""

from dataclasses import dataclass

from exchange.crypto.keys import KeyAlgorithm, PublicKey, admit_public_key
from exchange.names import ExchangeName, PartyId, exchange_name, party_id
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.json_record import decode_record, encode_record, from_base64, to_base64

KIND = "WITNESS KEY"
_FIELDS: dict[str, type] = dict.fromkeys(("exchange", "party", "key"), str)


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """What a party asks the council to name."""

    exchange: ExchangeName
    party: PartyId
    key: PublicKey
    """ML-DSA-44."""


def write_witness_key(witness: WitnessKey) -> str:
    """Return the text of the file."""
    record = {"exchange": witness.exchange, "party": witness.party, "key": to_base64(witness.key.raw)}
    return write_armour(KIND, encode_record(record))


def read_witness_key(text: str) -> WitnessKey:
    """Return what a file holds; raises MalformedInput, BadName or TooLarge for anything else."""
    fields = decode_record(read_armour(text, {KIND})[1], _FIELDS, what="the witness key")
    raw = from_base64(fields["key"], what="the key")
    return WitnessKey(
        exchange_name(fields["exchange"]), party_id(fields["party"]), admit_public_key(KeyAlgorithm.MLDSA_44, raw)
    )
