"""A file that shows what the relay promised to deliver and a partner never got, by the word of sender and recipient.

Armoured JSON with the genesis in it. It holds hashes, times and signatures: who is given it learns nothing of a report,
only who sent to whom under which number. Pure.

Nothing that the relay signed says that it delivered, or did not. So the file proves the promise, and that both ends
have signed that it was not kept; whoever would rather believe the relay has to believe that the recipient lied.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed, only
from exchange.directory.fold import Directory
from exchange.errors import BadInput, VerificationFailed
from exchange.limits import KIB
from exchange.names import ExchangeName, PartyId, exchange_name, party_id
from exchange.policy.fields import instant_text
from exchange.policy.strict_json import Entry, read_json, write_json
from exchange.receipts.model import Promise
from exchange.receipts.verify import open_promise
from exchange.resend.model import ResendAnswer, ResendLine, ResendRequest
from exchange.resend.verify import open_resend_answer, open_resend_request
from exchange.runtime.armour import read_armour, write_armour
from nodes.evidence import plain_key, read_key
from nodes.evidence_check import Check, Result
from nodes.shown_keys import ShownKeys, plain_entries, read_entries, shown_keys, suspect

KIND = "LOSS EVIDENCE"
VERSION = 2
EVIDENCE_BYTES = 512 * KIB
STATEMENT_BYTES = 96 * KIB


@dataclass(frozen=True, slots=True)
class Withheld:
    """One number: what was asked, what was answered, and the keys by which both were signed."""

    exchange: ExchangeName
    made_by: PartyId
    made_ms: int
    genesis: bytes
    """First entry of the directory: it names the relay's first keys."""
    relay_keys: tuple[bytes, ...]
    """Entries by which the council named others since."""
    sender: PartyId
    recipient: PartyId
    stream: int
    lane: int
    seq: int
    request: Signed
    """ResendRequest of the recipient."""
    request_key: PublicKey
    answer: Signed
    """ResendAnswer of the sender, with the relay's promise in it."""
    answer_key: PublicKey


def write_withheld(found: Withheld) -> str:
    """Return the file."""
    plain = {
        "version": VERSION,
        "exchange": found.exchange,
        "made_by": found.made_by,
        "made_ms": found.made_ms,
        "genesis": found.genesis.hex(),
        "relay_keys": plain_entries(found.relay_keys),
        "sender": found.sender,
        "recipient": found.recipient,
        "stream": found.stream,
        "lane": found.lane,
        "seq": found.seq,
        "request": encode_signed(found.request).hex(),
        "request_key": plain_key(found.request_key),
        "answer": encode_signed(found.answer).hex(),
        "answer_key": plain_key(found.answer_key),
    }
    return write_armour(KIND, write_json(plain))


def read_withheld(text: str) -> Withheld:
    """Return what a file holds; nothing of it is verified.

    Raises:
        BadInput: it is no such file, or was changed by hand.
    """
    _, data = read_armour(text, {KIND})
    found = read_json(data, limit=EVIDENCE_BYTES, what="loss evidence").fields(
        "version",
        "exchange",
        "made_by",
        "made_ms",
        "genesis",
        "relay_keys",
        "sender",
        "recipient",
        "stream",
        "lane",
        "seq",
        "request",
        "request_key",
        "answer",
        "answer_key",
    )
    if found["version"].number() != VERSION:
        raise found["version"].wrong(f"this program reads version {VERSION}")
    return Withheld(
        exchange=exchange_name(found["exchange"].text()),
        made_by=party_id(found["made_by"].text()),
        made_ms=found["made_ms"].number(),
        genesis=found["genesis"].data(),
        relay_keys=read_entries(found["relay_keys"]),
        sender=party_id(found["sender"].text()),
        recipient=party_id(found["recipient"].text()),
        stream=found["stream"].number(),
        lane=found["lane"].number(),
        seq=found["seq"].number(),
        request=_signed(found["request"]),
        request_key=read_key(found["request_key"]),
        answer=_signed(found["answer"]),
        answer_key=read_key(found["answer_key"]),
    )


def _signed(entry: Entry) -> Signed:
    return decode_signed(entry.data(), limit=STATEMENT_BYTES, what=entry.path)


def check_withheld(found: Withheld) -> list[Check]:
    """Return every check, in order; never raises on what the file says."""
    try:
        directory = Directory.found(found.genesis, expected_hash=None)
        if directory.exchange != found.exchange:
            raise VerificationFailed(f"the genesis is of {directory.exchange}")
        keys = shown_keys(directory, found.relay_keys)
        request, answer = _opened(found, keys)
        line = _line(found, request, answer)
        if line.promise is None:
            raise VerificationFailed("the sender's answer holds no promise of the relay")
        by = keys.promised_by(line.promise)
        promise = open_promise(line.promise, by.keys.promise, found.exchange)
    except (BadInput, VerificationFailed) as error:
        return [Check("evidence", Result.FAILS, str(error))]
    return [
        *_checks(found, request, line, promise),
        *suspect(by, promise.received_ms, "whoever promised it"),
        *keys.checks(),
        *_not_checked(found, directory.genesis_hash),
    ]


def _opened(found: Withheld, keys: ShownKeys) -> tuple[ResendRequest, ResendAnswer]:
    def promise_of(signed: Signed) -> Promise:
        return open_promise(signed, keys.promise_key(signed), found.exchange)

    return (
        open_resend_request(
            found.request,
            only(found.request_key),
            exchange=found.exchange,
            from_party=found.recipient,
            to_party=found.sender,
        ),
        open_resend_answer(
            found.answer,
            only(found.answer_key),
            promise_of=promise_of,
            exchange=found.exchange,
            from_party=found.sender,
            to_party=found.recipient,
        ),
    )


def _line(found: Withheld, request: ResendRequest, answer: ResendAnswer) -> ResendLine:
    asked = {(gap.stream, gap.lane, number) for gap in request.gaps for number in gap.numbers}
    place = (found.stream, found.lane, found.seq)
    if place not in asked:
        raise VerificationFailed("the recipient did not ask for this number")
    for line in answer.lines:
        if (line.stream, line.lane, line.seq) == place:
            return line
    raise VerificationFailed("the sender did not answer for this number")


def _checks(found: Withheld, request: ResendRequest, line: ResendLine, promise: Promise) -> Iterator[Check]:
    envelope = line.envelope_hash.hex()[:16]
    taken, until, asked = (instant_text(at) for at in (promise.received_ms, max(line.expires_ms, 1), request.at_ms))
    yield Check("promise", Result.HOLDS, f"the relay took envelope {envelope} on {taken} and promised to deliver it")
    where = f"number {found.seq} of stream {found.stream}, lane {found.lane}"
    said = f"{found.sender} signed that it is {where} to {found.recipient}, to be held until {until}"
    yield Check("sender", Result.HOLDS, said)
    what = "recipient"
    if not promise.received_ms < request.at_ms:
        yield Check(what, Result.FAILS, f"{found.recipient} asked on {asked}, before the relay had it: no loss")
    elif request.at_ms >= line.expires_ms:
        yield Check(what, Result.FAILS, f"{found.recipient} asked on {asked}, when the relay need not hold it any more")
    else:
        yield Check(what, Result.HOLDS, f"{found.recipient} signed on {asked} that it had not come")
        detail = "by the word of both ends the relay did not deliver it; it signs nothing when it delivers"
        yield Check("delivery", Result.NOT_CHECKED, f"{detail}: ask it for its log of that day")


def _not_checked(found: Withheld, genesis_hash: bytes) -> Iterator[Check]:
    yield Check("genesis", Result.NOT_CHECKED, f"compare its hash with the council: {genesis_hash.hex()}")
    for party, key in ((found.sender, found.answer_key), (found.recipient, found.request_key)):
        detail = f"that it is {party}'s statement key: compare with a directory: {key.key_id.hex()}"
        yield Check(f"key of {party}", Result.NOT_CHECKED, detail)
