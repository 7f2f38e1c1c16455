"""A file that proves: the relay promised an envelope under an older directory than the one that the envelope names.

An envelope names the directory that its sender had verified, and the relay takes none that names more entries than it
has (docs/spec/envelope.md, the relay's checks, step 7). So a promise under fewer entries is the relay's own
contradiction, whoever wrote the envelope: it dates the envelope back, to a time before an entry that it had. The file
holds hashes, sizes, times and the header, which the relay reads anyway; nothing of the content. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signed import Signed
from exchange.directory.fold import Directory
from exchange.envelope.binding import envelope_hash
from exchange.envelope.codec import decode_core, decode_header
from exchange.envelope.model import EnvelopeCore
from exchange.errors import BadInput, VerificationFailed
from exchange.limits import KIB
from exchange.names import ExchangeName, PartyId, exchange_name, party_id
from exchange.policy.fields import instant_text
from exchange.policy.strict_json import read_json, write_json
from exchange.receipts.model import Promise
from exchange.receipts.verify import check_promise_for, open_promise
from exchange.runtime.armour import read_armour, write_armour
from nodes.evidence_check import Check, Result

KIND = "PROMISE EVIDENCE"
VERSION = 1
EVIDENCE_BYTES = 256 * KIB
PROMISE_BYTES = 4 * KIB


@dataclass(frozen=True, slots=True)
class Outdated:
    """A promise, and the header of the envelope that it is for."""

    exchange: ExchangeName
    made_by: PartyId
    made_ms: int
    genesis: bytes
    """First entry of the directory: it names the relay's keys."""
    header: bytes
    """SealedHeader."""
    promise: Signed


def write_outdated(found: Outdated) -> str:
    """Return the file."""
    plain = {
        "version": VERSION,
        "exchange": found.exchange,
        "made_by": found.made_by,
        "made_ms": found.made_ms,
        "genesis": found.genesis.hex(),
        "header": found.header.hex(),
        "promise": encode_signed(found.promise).hex(),
    }
    return write_armour(KIND, write_json(plain))


def read_outdated(text: str) -> Outdated:
    """Return what a file holds; nothing of it is verified.

    Raises:
        BadInput: it is no such file, or was changed by hand.
    """
    _, data = read_armour(text, {KIND})
    names = ("version", "exchange", "made_by", "made_ms", "genesis", "header", "promise")
    found = read_json(data, limit=EVIDENCE_BYTES, what="promise evidence").fields(*names)
    if found["version"].number() != VERSION:
        raise found["version"].wrong(f"this program reads version {VERSION}")
    return Outdated(
        exchange=exchange_name(found["exchange"].text()),
        made_by=party_id(found["made_by"].text()),
        made_ms=found["made_ms"].number(),
        genesis=found["genesis"].data(),
        header=found["header"].data(),
        promise=decode_signed(found["promise"].data(), limit=PROMISE_BYTES, what="the promise"),
    )


def check_outdated(found: Outdated) -> list[Check]:
    """Return every check, in order; never raises on what the file says."""
    try:
        directory = Directory.found(found.genesis, expected_hash=None)
        if directory.exchange != found.exchange:
            raise VerificationFailed(f"the genesis is of {directory.exchange}")
        promise = open_promise(found.promise, directory.relay_keys.promise, found.exchange)
        check_promise_for(promise, envelope_hash(found.header))
        core = decode_core(decode_header(found.header).core)
    except (BadInput, VerificationFailed) as error:
        return [Check("evidence", Result.FAILS, str(error))]
    return [*_checks(promise, core), *_not_checked(directory.genesis_hash)]


def _checks(promise: Promise, core: EnvelopeCore) -> Iterator[Check]:
    taken, size, named = instant_text(promise.received_ms), promise.directory_size, core.directory.size
    what = f"the relay promised envelope {promise.envelope_hash.hex()[:16]} of {core.sender} on {taken}"
    yield Check("promise", Result.HOLDS, f"{what}, as judged under {size} entries of the directory")
    if named > size:
        said = f"the envelope names {named} entries: the relay may take none that names more than it has"
        yield Check("directory", Result.WRONG, f"{said}, so it dates this one back")
    else:
        yield Check("directory", Result.FAILS, f"the envelope names {named} entries: no contradiction")


def _not_checked(genesis_hash: bytes) -> Iterator[Check]:
    yield Check("genesis", Result.NOT_CHECKED, f"compare its hash with the council: {genesis_hash.hex()}")
