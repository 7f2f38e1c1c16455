"""Approve at the node: what is shown to a releaser is what the approval names, to the byte.

The node says what waits; this side takes the statement's bytes, hashes them itself, reads title and label out of them,
and holds the audience against the hash in the label. So a releaser never signs for something else than was shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from exchange.approvals.issue import make_approval
from exchange.crypto.codec import encode_signed
from exchange.crypto.signing import CompositeKey
from exchange.envelope.codec import decode_report
from exchange.envelope.model import Attachment
from exchange.errors import VerificationFailed
from exchange.policy.codec import decode_label, decode_release, release_sha256
from exchange.policy.label_yaml import label_to_yaml
from exchange.runtime.clock import now_ms
from nodes.session import Session
from nodes.stix import read_report
from nodes.v1 import approval_pb2 as pb


@dataclass(frozen=True, slots=True)
class Seen:
    """A report that waits for approvals, read from its own bytes."""

    item: bytes
    title: str
    label_yaml: str
    content: bytes
    attachments: Sequence[Attachment] = ()


def read_pending(reply: pb.ShowPendingResponse) -> Seen:
    """Return what is to be approved.

    Raises:
        VerificationFailed, BadInput: it is not what the node says it is.
    """
    item = sha256(reply.statement).digest()
    if item.hex() != reply.report.item:
        raise VerificationFailed("the node names one report and shows another")
    report = decode_report(reply.statement)
    label, release = decode_label(report.label), decode_release(reply.release)
    if release_sha256(reply.release, release.salt) != label.release_sha256:
        raise VerificationFailed("the node shows another audience than the label holds")
    title, text = read_report(report.content).title, label_to_yaml(label, release)
    return Seen(item, title, text, report.content, report.attachments)


def approval_of(seen: Seen, key: CompositeKey, session: Session) -> bytes:
    """Return the signed approval of what was seen, for the node at which the operator is logged in."""
    signed = make_approval(key, exchange=session.exchange, party=session.party, item_hash=seen.item, at_ms=now_ms())
    return encode_signed(signed)
