"""A file with an expulsion that nobody has signed, and what the partner holds: armoured JSON.

`partner expel` writes it at a node, `root expel` reads it at the first council root, which may have no network. What is
held is one party's own knowledge, for the people who decide; it is signed by nobody and enters nothing.
"""

from dataclasses import dataclass

from exchange.directory.codec import decode_as
from exchange.directory.statements import Expulsion
from exchange.runtime.armour import read_armour, write_armour
from exchange.runtime.json_record import decode_record, encode_record, from_base64, to_base64
from nodes.statement_file import StatementTask

EXPULSION_REQUEST = "EXPULSION REQUEST"
HELD_MOST = 1_000
"""Reports that a file lists."""

_FIELDS: dict[str, type] = dict.fromkeys(("payload", "holdings"), str)


@dataclass(frozen=True, slots=True)
class ExpulsionRequest:
    """What such a file holds."""

    payload: bytes
    """Of the Expulsion, as it is to be signed."""
    statement: Expulsion
    holdings: bytes
    """nodes.v1.ShowHoldingsResponse, as the node answered."""

    def task(self) -> StatementTask:
        """Return what a root signs."""
        return StatementTask(self.payload, self.statement, None)


def write_expulsion(payload: bytes, holdings: bytes) -> str:
    """Return the text of the file."""
    record = {"payload": to_base64(payload), "holdings": to_base64(holdings)}
    return write_armour(EXPULSION_REQUEST, encode_record(record))


def read_expulsion(text: str) -> ExpulsionRequest:
    """Return what a file holds; raises MalformedInput, BadName or TooLarge for anything else."""
    fields = decode_record(read_armour(text, {EXPULSION_REQUEST})[1], _FIELDS, what="the request to expel")
    payload = from_base64(fields["payload"], what="the statement")
    statement = decode_as(Expulsion, payload)
    return ExpulsionRequest(payload, statement, from_base64(fields["holdings"], what="what is held"))
