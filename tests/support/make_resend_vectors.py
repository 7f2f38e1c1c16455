"""Write tests/vectors/receipts/resend.json: a request, an answer with a promise in it, and the keys that open them.

Run by hand when the format changes; a test reads the file ever after, as another implementation would:
    .venv/bin/python -m tests.support.make_resend_vectors
"""

import json
from pathlib import Path

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import sign
from exchange.receipts.codec import encode_promise
from exchange.resend.codec import encode_resend_answer, encode_resend_request
from exchange.resend.model import ResendAnswer, ResendRequest
from exchange.resend.verify import RESEND_ANSWER, RESEND_REQUEST
from tests.support.envelope_builders import promise_key, statement_key
from tests.support.receipts import EXCHANGE, a_promise, a_resend_answer, a_resend_request

PATH = Path(__file__).resolve().parent.parent / "vectors" / "receipts" / "resend.json"


def fields_of_request(request: ResendRequest) -> dict[str, object]:
    """Return what a request says; bytes in hexadecimal."""
    return {
        "exchange": request.exchange,
        "from": request.from_party,
        "to": request.to_party,
        "gaps": [{"lane": gap.lane, "stream": gap.stream, "numbers": list(gap.numbers)} for gap in request.gaps],
        "at_ms": request.at_ms,
        "salt": request.salt.hex(),
    }


def fields_of_answer(answer: ResendAnswer) -> dict[str, object]:
    """Return what an answer says; bytes in hexadecimal, the promise as the bytes of its Signed."""
    return {
        "exchange": answer.exchange,
        "from": answer.from_party,
        "to": answer.to_party,
        "lines": [
            {
                "lane": line.lane,
                "stream": line.stream,
                "seq": line.seq,
                "outcome": line.outcome.name,
                "envelope_hash": line.envelope_hash.hex(),
                "expires_ms": line.expires_ms,
                "promise": "" if line.promise is None else encode_signed(line.promise).hex(),
            }
            for line in answer.lines
        ],
        "at_ms": answer.at_ms,
        "salt": answer.salt.hex(),
    }


def main() -> None:
    """Sign both anew and replace the file; only the composite signatures change."""
    promise = sign(promise_key(), "promise", encode_promise(a_promise()), context=EXCHANGE)
    request, answer = a_resend_request(), a_resend_answer(promise)
    payloads = {RESEND_REQUEST: encode_resend_request(request), RESEND_ANSWER: encode_resend_answer(answer)}
    signers = {RESEND_REQUEST: request.from_party, RESEND_ANSWER: answer.from_party}
    fields = {RESEND_REQUEST: fields_of_request(request), RESEND_ANSWER: fields_of_answer(answer)}
    golden = {
        "about": "docs/spec/receipts.md, what never came. `signed` are the bytes of a Signed of signing.proto.",
        "relay_promise_key": promise_key().public.raw.hex(),
        "statements": [
            {
                "type": name,
                "statement_key": statement_key(signers[name]).public.raw.hex(),
                "fields": fields[name],
                "payload": payload.hex(),
                "signed": encode_signed(sign(statement_key(signers[name]), name, payload, context=EXCHANGE)).hex(),
            }
            for name, payload in payloads.items()
        ],
    }
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
