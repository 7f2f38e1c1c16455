"""Envelopes for tests: five partners with fixed keys, a report, and the tools of a hostile sender or relay.

Keys come from fixed seeds and are made once. `unsafe_seal`, `resign` and the changes of `deliver` build what an honest
party never builds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from hashlib import sha256
from typing import Any

from exchange.consent.verify import report_signers
from exchange.crypto.chunked import encrypt
from exchange.crypto.codec import encode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import KeyLookup, Signed, sign
from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.crypto.xwing import XWingKey, wrap
from exchange.envelope import binding
from exchange.envelope.codec import (
    decode_core,
    decode_header,
    decode_submission,
    delivery_bytes,
    encode_core,
    encode_header,
    encode_leaf,
    encode_report,
    encode_submission,
)
from exchange.envelope.model import (
    CONTROL_LABEL,
    ENVELOPE_TYPE,
    REPORT_MEDIA_TYPE,
    REPORT_TYPE,
    Body,
    EnvelopeCore,
    EnvelopeKind,
    Head,
    Lane,
    RecipientLeaf,
    ReportStatement,
    SealedHeader,
    Submission,
    SubmittedLeaf,
)
from exchange.envelope.open import OpenChecks, PromiseFacts
from exchange.envelope.seal import Recipient, Sealed, seal
from exchange.envelope.statement import Signing
from exchange.envelope.verify import RelayChecks, Verified, verify_submission
from exchange.errors import VerificationFailed
from exchange.limits import SLOTS
from exchange.merkle import leaf_hash
from exchange.names import ExchangeName, PartyId
from exchange.policy.agreement import AgreementRef
from exchange.policy.codec import encode_label, encode_release, relay_label, release_sha256
from exchange.policy.model import (
    Category,
    Label,
    LegalBasis,
    OnwardRule,
    PersonalData,
    Purpose,
    RelayLabel,
    Release,
    Target,
    Tlp,
)
from exchange.receipts.codec import encode_promise
from exchange.receipts.model import Promise
from exchange.receipts.verify import open_promise

EXCHANGE = ExchangeName("demo.concord.example")
XA, XV, XO, XH, XM = (PartyId(name) for name in ("XA", "XV", "XO", "XH", "XM"))
NOW = 1_760_000_000_000
DAY = 24 * 60 * 60 * 1000
DIRECTORY_SIZE = 40
HEAD = Head(DIRECTORY_SIZE - 2, sha256(b"directory").digest())
BASIS = AgreementRef(sha256(b"agreement").digest()[:16], 1, sha256(b"commitment").digest())
CONTENT = b'{"type":"bundle","id":"bundle--5f1c7a34-0f0e-4c0a-9a51-0d1f60a4f7b1","objects":[]}'
RELEASE = Release((Target(partner=XO), Target(partner=XV)), salt=sha256(b"release").digest()[:16])
RELEASE_BYTES = encode_release(RELEASE)
OPEN_RELEASE = replace(RELEASE, open_roster=True)
OPEN_RELEASE_BYTES = encode_release(OPEN_RELEASE)
THREAD = sha256(b"thread").digest()[:16]


def seed(*words: str) -> bytes:
    return sha256("/".join(words).encode()).digest()


@cache
def statement_key(party: str) -> CompositeKey:
    return CompositeKey.from_seed(seed(party, "statement") + seed(party, "statement", "2"))


@cache
def envelope_key(party: str) -> Ed25519Key:
    return Ed25519Key.from_seed(seed(party, "envelope"))


@cache
def prekey(party: str) -> XWingKey:
    return XWingKey.from_seed(seed(party, "prekey"))


@cache
def promise_key() -> Ed25519Key:
    return Ed25519Key.from_seed(seed("relay", "promise"))


def parties(count: int) -> list[PartyId]:
    """Return XV and as many other partners as make `count`."""
    return [XV, *(PartyId(f"XT.p{number}") for number in range(count - 1))]


def a_label(originator: str = XA, **changes: Any) -> Label:
    label = Label(
        originators=(PartyId(originator),),
        tlp=Tlp.AMBER,
        categories=(Category.TERROR_ATTACK, Category.ALERT),
        purposes=(Purpose.PROTECT_LIFE,),
        basis=LegalBasis("mou", "Memorandum of 2020, article 4"),
        personal_data=PersonalData(present=False),
        onward=OnwardRule.CONSENT,
        release_sha256=release_sha256(RELEASE_BYTES, RELEASE.salt),
        salt=seed("label")[:16],
        about=("XA",),
        max_hops=1,
    )
    return replace(label, **changes)


def an_open_report() -> ReportStatement:
    """A report whose audience its recipients may see."""
    return a_report(label=a_label(release_sha256=release_sha256(OPEN_RELEASE_BYTES, OPEN_RELEASE.salt)))


def a_report(originator: str = XA, *, label: Label | None = None, **changes: Any) -> ReportStatement:
    report = ReportStatement(
        exchange=EXCHANGE,
        originator=PartyId(originator),
        label=encode_label(label or a_label(originator)),
        kind="alert",
        media_type=REPORT_MEDIA_TYPE,
        content=CONTENT,
        thread_id=THREAD,
        supersedes=b"",
        authored_ms=NOW - 60_000,
        salt=seed("report")[:16],
    )
    return replace(report, **changes)


def a_statement(report: ReportStatement, key: CompositeKey | None = None, context: str = EXCHANGE) -> Signed:
    return sign(key or statement_key(report.originator), REPORT_TYPE, encode_report(report), context=context)


def relay_label_of(report: ReportStatement, *, sender: str = XA, label: Label | None = None) -> RelayLabel:
    label = label or a_label(report.originator)
    return relay_label(label, report.label, sender=PartyId(sender), expires_ms=NOW + 7 * DAY)


def to(party: str, **changes: Any) -> Recipient:
    recipient = Recipient(PartyId(party), prekey(party).public, stream=1, pair_seq=7, basis=BASIS)
    return replace(recipient, **changes)


def fields(**changes: Any) -> dict[str, Any]:
    """Return the arguments of `seal` and `prepare` (without the key) for a report of XA to XV and XO."""
    report = a_report()
    given: dict[str, Any] = {
        "exchange": EXCHANGE,
        "sender": XA,
        "created_ms": NOW,
        "expires_ms": NOW + 7 * DAY,
        "lane": Lane.ROUTINE,
        "kind": EnvelopeKind.REPORT,
        "label": relay_label_of(report),
        "directory": HEAD,
        "body": Body(a_statement(report)),
        "recipients": [to(XV), to(XO)],
    }
    return given | changes


def control_fields(**changes: Any) -> dict[str, Any]:
    """Return the arguments of `seal` for a control envelope of XA to XV; what is inside is not looked at here."""
    given = fields(
        kind=EnvelopeKind.CONTROL,
        label=CONTROL_LABEL,
        lane=Lane.FLASH,
        body=Body(sign(statement_key(XA), "retraction", b"a retraction", context=EXCHANGE)),
        recipients=[to(XV, basis=None)],
    )
    return given | changes


def a_sealed(**changes: Any) -> Sealed:
    return seal(envelope_key(changes.get("sender", XA)), **fields(**changes))


def prekey_id(party: str, created_ms: int) -> bytes | None:
    """Return the prekey of every partner but XM, who has published none, and XX, who does not exist."""
    return None if party in {XM, "XX"} else prekey(party).public.key_id


def relay_checks(**changes: Any) -> RelayChecks:
    def lookup(party: PartyId, key_id: bytes) -> PublicKey | None:
        key = envelope_key(party).public
        return key if key.key_id == key_id else None

    checks = RelayChecks(EXCHANGE, XA, NOW + 1000, lookup, DIRECTORY_SIZE, prekey_id)
    return replace(checks, **changes)


def verified(submission: bytes | Sealed, **changes: Any) -> Verified:
    data = submission.submission_bytes if isinstance(submission, Sealed) else submission
    return verify_submission(data, context=relay_checks(**changes))


# -- the recipient's side ----------------------------------------------------------------------------------------------


def a_promise(envelope_hash: bytes, **changes: Any) -> Signed:
    promise = Promise(EXCHANGE, envelope_hash, 17, NOW + 2000, DIRECTORY_SIZE, seed("decisions"), seed("salt")[:16])
    return sign(promise_key(), "promise", encode_promise(replace(promise, **changes)), context=EXCHANGE)


def verify_promise(signed: Signed, envelope_hash: bytes) -> PromiseFacts:
    promise = open_promise(signed, promise_key().public, EXCHANGE)
    if promise.envelope_hash != envelope_hash:
        raise VerificationFailed("the promise is for another envelope")
    return PromiseFacts(promise.directory_size, promise.received_ms)


def nothing_ended(_party: PartyId, _key_id: bytes, /, *, at_size: int) -> PublicKey | None:
    """No key has ended."""
    return None


def open_checks(me: str = XV, *, once_stood: Any = nothing_ended, **changes: Any) -> OpenChecks:
    def envelope(party: PartyId, key_id: bytes, /, *, at_size: int, at_ms: int) -> PublicKey | None:
        key = envelope_key(party).public
        return key if key.key_id == key_id and at_size >= DIRECTORY_SIZE and at_ms >= NOW else None

    def statement(party: PartyId, key_id: bytes, /, *, at_size: int, at_ms: int) -> PublicKey | None:
        key = statement_key(party).public
        return key if key.key_id == key_id and at_size >= DIRECTORY_SIZE and at_ms >= NOW else None

    def mine(key_id: bytes) -> XWingKey | None:
        return prekey(me) if key_id == prekey(me).public.key_id else None

    in_force = changes.get("statement_key", statement)

    def signers(signing: Signing, facts: PromiseFacts) -> KeyLookup:
        return report_signers(
            signing.originator,
            signing.item,
            signing.grants,
            holder=signing.sender,
            in_force=partial(in_force, at_size=facts.directory_size, at_ms=facts.received_ms),
            once_stood=partial(once_stood, at_size=facts.directory_size),
            exchange=EXCHANGE,
        )

    checks = OpenChecks(EXCHANGE, PartyId(me), verify_promise, envelope, statement, signers, mine)
    return replace(checks, **changes)


def deliver(envelope: Verified, party: str = XV, *, promise: Signed | None = None, **changes: Any) -> bytes:
    """Return the delivery of one recipient, as an honest relay makes it but for `changes`."""
    at = next(number for number, leaf in enumerate(envelope.leaves) if leaf.leaf.recipient == party)
    leaf = envelope.leaves[at]
    parts: dict[str, Any] = {
        "header": encode_signed(envelope.header_signed),
        "leaf": leaf.data,
        "leaf_index": leaf.index,
        "proof": envelope.proofs[at],
        "wrap": leaf.wrap,
        "body": envelope.body,
        "promise": encode_signed(promise or a_promise(envelope.envelope_hash)),
    }
    return delivery_bytes(**(parts | changes))


# -- the hostile sender's side -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parts:
    """A submission taken apart, to be changed and signed again."""

    submission: Submission
    header: SealedHeader
    core: EnvelopeCore


def take_apart(sealed: Sealed) -> Parts:
    submission = decode_submission(sealed.submission_bytes)
    header = decode_header(submission.header.payload)
    return Parts(submission, header, decode_core(header.core))


def resign(
    parts: Parts,
    *,
    core: EnvelopeCore | bytes | None = None,
    header: SealedHeader | bytes | None = None,
    leaves: Sequence[SubmittedLeaf] | None = None,
    body: bytes | None = None,
    key: Ed25519Key | None = None,
    root: bool = True,
) -> bytes:
    """Return the submission with these parts changed, its root (unless not `root`), hashes and signature made anew."""
    submission = parts.submission
    leaves = submission.leaves if leaves is None else tuple(leaves)
    body = submission.body if body is None else body
    core_bytes = parts.header.core if core is None else core if isinstance(core, bytes) else encode_core(core)
    if header is None:
        header = replace(parts.header, core=core_bytes, body_sha256=sha256(body).digest(), body_size=len(body))
        if root:
            occupied = {leaf.index: leaf_hash(leaf.leaf) for leaf in leaves}
            header = replace(header, recipients_root=binding.slot_tree(occupied, submission.dummy_seed).root)
    header_bytes = header if isinstance(header, bytes) else encode_header(header)
    sender = parts.core.sender if not isinstance(core, EnvelopeCore) else core.sender
    signed = sign(key or envelope_key(sender), ENVELOPE_TYPE, header_bytes, context=EXCHANGE)
    return encode_submission(Submission(signed, leaves, submission.dummy_seed, body))


def unsafe_seal(
    core: EnvelopeCore,
    framed: bytes,
    recipients: Sequence[Recipient],
    *,
    content_keys: Sequence[bytes] | None = None,
    header_key: Ed25519Key | None = None,
    context: str = EXCHANGE,
) -> bytes:
    """Return a submission of any core and framed body; recipient n gets content key n, the body is under the first."""
    core_bytes = encode_core(core)
    core_hash = binding.core_hash(core_bytes)
    keys = content_keys or [seed("content key")] * len(recipients)
    body = encrypt(keys[0], framed, binding.body_context(core_hash))
    leaves = []
    for index, (recipient, content_key) in enumerate(zip(recipients, keys, strict=True)):
        kem = recipient.kem
        wrapped = wrap(content_key, kem.raw, binding.wrap_info(core_hash, kem.key_id, recipient.party))
        leaf = RecipientLeaf(
            seed(recipient.party, "salt")[:16],
            recipient.party,
            kem.key_id,
            sha256(wrapped).digest(),
            recipient.stream,
            recipient.pair_seq,
            recipient.basis,
            recipient.via,
            recipient.display_only,
        )
        leaves.append(SubmittedLeaf(index, encode_leaf(leaf), wrapped))
    occupied = {leaf.index: leaf_hash(leaf.leaf) for leaf in leaves}
    root = binding.slot_tree(occupied, seed("dummies")).root
    header = encode_header(SealedHeader(core_bytes, sha256(body).digest(), len(body), root, SLOTS))
    signed = sign(header_key or envelope_key(core.sender), ENVELOPE_TYPE, header, context=context)
    return encode_submission(Submission(signed, tuple(leaves), seed("dummies"), body))
