"""Write tests/vectors/envelope/delivery.json: one delivery with fixed bytes, and the keys that open it.

Run once by hand; a test opens the file ever after, so that a library that drifts breaks a test and not the exchange:
    .venv/bin/python -m tests.support.make_golden_envelope
The keys are those of envelope_builders, written out here: the file stands on its own.
"""

import json
from pathlib import Path

from exchange.envelope.binding import core_hash, item_hash
from exchange.envelope.open import open_envelope
from tests.support.envelope_builders import (
    DIRECTORY_SIZE,
    EXCHANGE,
    NOW,
    XA,
    XV,
    a_report,
    a_sealed,
    deliver,
    envelope_key,
    open_checks,
    prekey,
    promise_key,
    statement_key,
    verified,
)

PATH = Path(__file__).resolve().parent.parent / "vectors" / "envelope" / "delivery.json"


def main() -> None:
    """Seal one report anew and replace the file; every byte of it changes."""
    sealed = a_sealed()
    delivery = deliver(verified(sealed), XV)
    opened = open_envelope(delivery, context=open_checks(XV))
    golden = {
        "about": "One delivery of suite 1, made once by tests/support/make_golden_envelope.py.",
        "exchange": EXCHANGE,
        "sender": XA,
        "recipient": XV,
        "created_ms": NOW,
        "directory_size": DIRECTORY_SIZE,
        "received_ms": opened.promise_facts.received_ms,
        "sender_envelope_key": envelope_key(XA).public.raw.hex(),
        "sender_statement_key": statement_key(XA).public.raw.hex(),
        "relay_promise_key": promise_key().public.raw.hex(),
        "recipient_prekey_seed": prekey(XV).seed.hex(),
        "core_hash": core_hash(opened.header.core).hex(),
        "envelope_hash": opened.envelope_hash.hex(),
        "item_hash": item_hash(opened.payload).hex(),
        "recipients_root": opened.header.recipients_root.hex(),
        "leaf_index": opened.leaf_index,
        "content": a_report().content.decode(),
        "submission": sealed.submission_bytes.hex(),
        "delivery": delivery.hex(),
    }
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
