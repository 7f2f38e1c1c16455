"""A partner that lies with its own valid keys, beside honest nodes: it speaks to the real relay without a node.

It knows what a partner knows: the directory, its agreements and the others' prekeys, as an honest node sees them.
`collude` is a relay that helps it: what an honest relay would refuse is delivered all the same, under a true promise.
"""

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from exchange.crypto.chunked import decrypt
from exchange.crypto.padme import frame, unframe
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, sign
from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.crypto.xwing import unwrap, wrap
from exchange.directory.prekeys import day_of
from exchange.envelope import binding
from exchange.envelope.codec import (
    SEED_BYTES,
    decode_body,
    decode_core,
    decode_delivery,
    decode_header,
    decode_leaf,
    decode_report,
    decode_submission,
    encode_body,
    encode_delivery,
    encode_leaf,
    encode_report,
    encode_submission,
)
from exchange.envelope.model import (
    CONTROL_LABEL,
    REPORT_TYPE,
    Body,
    Delivery,
    EnvelopeKind,
    Head,
    Lane,
    ReportStatement,
    Submission,
    SubmittedLeaf,
)
from exchange.envelope.seal import Prepared, Recipient, prepare, seal_all
from exchange.merkle import leaf_hash
from exchange.names import ID_BYTES, party_id
from exchange.policy.agreement import AgreementRef
from exchange.policy.binding import relay_label
from exchange.policy.codec import decode_label, encode_label
from exchange.policy.model import RelayLabel
from exchange.receipts.codec import encode_promise
from exchange.receipts.model import Promise, Refusal
from exchange.receipts.verify import PROMISE
from exchange.runtime.clock import now_ms
from nodes.author import Desk, author
from nodes.parts import Node
from nodes.relay_port import Delivered, Waiting
from nodes.store import sending
from tests.support.directory_builders import EXCHANGE, PartyKeys, ed25519
from tests.support.envelope_builders import unsafe_seal
from tests.support.node_world import a_label
from tests.support.relay_world import DAY_MS, Partner, promise_of, refusal_of
from tests.support.reports import a_report


@dataclass(slots=True)
class LyingPartner:
    """A partner with valid keys; `eyes` is an honest node that sees the directory for it."""

    partner: Partner
    eyes: Node
    _numbers: dict[tuple[str, Lane], int] = field(default_factory=dict)

    @property
    def keys(self) -> PartyKeys:
        """Its keys."""
        return self.partner.keys

    def report(self, *to: str, **changes: Any) -> ReportStatement:
        """Return a report that it might send to these partners; Any: `changes` are fields of the statement."""
        partners = [record.party for record in self.eyes.core.trust.now.directory.parties()]
        made = author(a_report(), a_label(*to), desk=Desk(self.keys.party, partners, {}), now_ms=now_ms())
        fields: dict[str, Any] = {
            "exchange": EXCHANGE,
            "originator": self.keys.party,
            "label": encode_label(made.label),
            "kind": made.kind,
            "media_type": made.media_type,
            "content": made.content,
            "thread_id": made.thread_id,
            "supersedes": b"",
            "authored_ms": now_ms(),
            "salt": random_bytes(ID_BYTES),
        }
        return ReportStatement(**(fields | changes))

    def sign(self, report: ReportStatement, *, key: CompositeKey | None = None, context: str = EXCHANGE) -> Signed:
        """Sign a report, with its own key when no other is given."""
        return sign(key or self.keys.statement, REPORT_TYPE, encode_report(report), context=context)

    def prepare(self, body: Signed | Body, *to: str, **changes: Any) -> Prepared:
        """Return an envelope for these partners, to be signed; Any: `changes` are arguments of `prepare`."""
        snapshot, at_ms = self.eyes.core.trust.now, changes.get("created_ms", now_ms())
        body = Body(body) if isinstance(body, Signed) else body
        lane = changes.pop("lane", Lane.ROUTINE)
        seq = changes.pop("seq", None)
        kind = changes.pop("kind", EnvelopeKind.REPORT)
        given: dict[str, Any] = {
            "exchange": EXCHANGE,
            "sender": self.keys.party,
            "sender_key": self.keys.envelope.public.key_id,
            "created_ms": at_ms,
            "expires_ms": at_ms + 7 * DAY_MS,
            "lane": lane,
            "kind": kind,
            "label": CONTROL_LABEL
            if kind is EnvelopeKind.CONTROL
            else self.shown_label(body.statement, at_ms + 7 * DAY_MS),
            "directory": Head(snapshot.head.size, snapshot.head.root),
            "body": body,
            "recipients": self.recipients(*to, lane=lane, seq=seq, kind=kind),
        }
        return prepare(**(given | changes))

    def recipients(
        self, *to: str, lane: Lane, seq: int | None = None, kind: EnvelopeKind = EnvelopeKind.REPORT
    ) -> list[Recipient]:
        """Return slots for these partners, under the next number of each when none is given."""
        snapshot, recipients = self.eyes.core.trust.now, []
        for name in to:
            kem = snapshot.prekey(party_id(name), now_ms())
            assert kem is not None, f"{name} has no prekey"
            number = seq or self._numbers.get((name, lane), 0) + 1
            self._numbers[name, lane] = max(number, self._numbers.get((name, lane), 0))
            basis = self._basis(name) if kind is EnvelopeKind.REPORT else None
            recipients.append(Recipient(party_id(name), kem, stream=1, pair_seq=number, basis=basis))
        return recipients

    def seal_under_id(self, body: Signed, to: str, like: Prepared) -> bytes:
        """Return another submission for a partner, under the id of an envelope that it made before."""
        core = replace(self.prepare(body, to).core, envelope_id=like.core.envelope_id)
        recipients = self.recipients(to, lane=core.lane)
        framed = frame(encode_body(Body(body)))
        return unsafe_seal(core, framed, recipients, header_key=self.keys.envelope, context=EXCHANGE)

    def seal(self, body: Signed | Body, *to: str, **changes: Any) -> bytes:
        """Return a submission of its own; Any: as for `prepare`."""
        return finished(self.prepare(body, *to, **changes), self.keys.envelope)

    async def submit(self, *submissions: bytes) -> list[Promise | Refusal]:
        """Submit and return what the relay answered, verified."""
        outcomes = await self.partner.submit(*submissions)
        return [promise_of(each) if each.decision_record else refusal_of(each) for each in outcomes]

    def open(self, delivery: bytes) -> tuple[bytes, Body]:
        """Return the content key and the body of what was delivered to it."""
        came = decode_delivery(delivery)
        header, leaf = decode_header(came.header.payload), decode_leaf(came.leaf)
        core_hash = binding.core_hash(header.core)
        day = day_of(decode_core(header.core).created_ms)
        held = (self.keys.prekey(each) for each in range(day - 3, day + 4))
        prekey = next(each for each in held if each.public.key_id == leaf.kem_key)
        key = unwrap(came.wrap, prekey, binding.wrap_info(core_hash, leaf.kem_key, leaf.recipient))
        return key, decode_body(unframe(decrypt(key, came.body, binding.body_context(core_hash))))

    def wrap_again(self, delivery: bytes, to: str) -> bytes:
        """Return what was delivered to it as a submission with a slot for somebody else, under the same header."""
        came = decode_delivery(delivery)
        header, leaf = decode_header(came.header.payload), decode_leaf(came.leaf)
        kem = self.eyes.core.trust.now.prekey(party_id(to), now_ms())
        assert kem is not None, f"{to} has no prekey"
        info = binding.wrap_info(binding.core_hash(header.core), kem.key_id, party_id(to))
        wrapped = wrap(self.open(delivery)[0], kem.raw, info)
        mine = replace(leaf, recipient=party_id(to), kem_key=kem.key_id, wrap_sha256=sha256(wrapped).digest())
        submitted = (SubmittedLeaf(came.leaf_index, encode_leaf(mine), wrapped),)
        return encode_submission(Submission(came.header, submitted, random_bytes(SEED_BYTES), came.body))

    def _basis(self, name: str) -> AgreementRef:
        pair = {self.keys.party, party_id(name)}
        views = self.eyes.core.trust.now.views
        return next(
            AgreementRef(view.agreement_id, view.version, shown)
            for shown, view in views.items()
            if pair <= set(view.parties)
        )

    def shown_label(self, statement: Signed, expires_ms: int) -> RelayLabel:
        """Return what an honest sender would show the relay of a report's label."""
        label = decode_report(statement.payload).label
        return relay_label(decode_label(label), label, sender=self.keys.party, expires_ms=expires_ms)


def finished(prepared: Prepared, key: Ed25519Key) -> bytes:
    """Return the submission of an envelope that this key signs."""
    return seal_all([prepared], key)[0].submission_bytes


def with_header(prepared: Prepared, header: Signed) -> bytes:
    """Return the submission of an envelope under a header that was signed elsewhere, whatever it says."""
    return encode_submission(Submission(header, prepared.leaves, prepared.dummy_seed, prepared.body))


async def collude(node: Node, submission: bytes, **promised: Any) -> None:
    """Deliver a submission to a node as a relay does that checks nothing; Any: `promised` are fields of the promise."""
    sent = decode_submission(submission)
    header = decode_header(sent.header.payload)
    tree = binding.slot_tree({leaf.index: leaf_hash(leaf.leaf) for leaf in sent.leaves}, sent.dummy_seed)
    mine = next(leaf for leaf in sent.leaves if decode_leaf(leaf.leaf).recipient == node.core.me)
    fields: dict[str, Any] = {
        "exchange": EXCHANGE,
        "envelope_hash": binding.envelope_hash(sent.header.payload),
        "log_index": await _next_index(node),
        "received_ms": now_ms(),
        "directory_size": node.core.trust.now.size,
        "decisions_sha256": bytes(32),
        "salt": random_bytes(ID_BYTES),
    }
    promise = Promise(**(fields | promised))
    signed = sign(ed25519("relay/promise"), PROMISE, encode_promise(promise), context=EXCHANGE)
    path = tuple(tree.path(mine.index))
    delivery = Delivery(sent.header, mine.leaf, mine.index, path, mine.wrap, sent.body, signed)
    # Position 0 moves no cursor: what the real relay delivers later is taken as ever.
    waiting = Waiting(decode_core(header.core).lane, 0, encode_delivery(delivery))
    await node.receiver.take(Delivered([waiting], now_ms()))


async def _next_index(node: Node) -> int:
    """Return an index behind all promises that the node knows."""
    highest, _ = await node.core.database.read(sending.highest_promise)
    return highest + 1
