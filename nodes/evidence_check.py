"""Check an evidence file without any node: compute every decision again, verify every signature that is in it. Pure.

What it says of keys it says of the keys in the file: that they are whose they are said to be is for people to compare,
and that standings and statuses are those of the directory, for whoever has a replay of it. Both are said each time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from exchange.crypto.keys import PublicKey, fingerprint
from exchange.crypto.signed import Signed, only, verified_signers, verify_signed
from exchange.envelope.codec import decode_core, decode_header
from exchange.envelope.model import ENVELOPE_TYPE
from exchange.errors import BadInput, BadSignature, VerificationFailed
from exchange.policy.agreement import commitment
from exchange.policy.binding import check_relay_label, release_sha256
from exchange.policy.codec import decode_view, encode_label, encode_release
from exchange.policy.decision import Role
from exchange.receipts.verify import open_refusal
from nodes.decisions import in_short
from nodes.evidence import Evidence, WrittenDecision, WrittenRefusal
from nodes.refusals import Verdict, judge

VIEW_TYPE = "enforcement-view"


class Result(StrEnum):
    """What a check came to; stable words."""

    HOLDS = "holds"
    FAILS = "fails"
    WRONG = "relay was wrong"
    """The file holds, and proves it: the relay refused what the rules permit, or its logs are not what it signed."""
    LIED = "witness was wrong"
    """The file holds, and proves it: a witness has vouched for two histories with its own key."""
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    result: Result
    detail: str


def check_evidence(evidence: Evidence) -> list[Check]:
    """Return every check, in order; never raises on what the file says."""
    checks = [
        *(_decision(each, place) for place, each in enumerate(evidence.decisions, 1)),
        *_label(evidence),
        *_release(evidence),
        *_views(evidence),
        *(_refusal(evidence, each, place) for place, each in enumerate(evidence.refusals, 1)),
    ]
    return [*checks, *_not_checked(evidence)]


def _decision(written: WrittenDecision, place: int) -> Check:
    question = written.question
    what = f"decision {place}: {question.role.value}, {written.stage}, {question.sender} to {question.recipient}"
    found, said = in_short(question.answer()), written.answer
    word = "permit" if found.permit else f"deny: {', '.join(found.reasons)}"
    if found == said:
        return Check(what, Result.HOLDS, f"computed again it is the same: {word}")
    was = "permit" if said.permit else f"deny: {', '.join(said.reasons)}"
    return Check(what, Result.FAILS, f"computed again it is {word}; the file says {was}")


def _label(evidence: Evidence) -> Iterator[Check]:
    label = next((each.question.item.label for each in evidence.decisions if each.question.item.label), None)
    if label is None:
        return
    what = "label"
    if evidence.header is None or evidence.envelope_key is None:
        yield Check(what, Result.NOT_CHECKED, "the file holds no signed header that binds it")
        return
    key = evidence.envelope_key
    try:
        _verify(evidence.header, key, ENVELOPE_TYPE, evidence.exchange)
        core = decode_core(decode_header(evidence.header.payload).core)
        check_relay_label(label, encode_label(label), core.label, sender=core.sender)
    except (BadInput, VerificationFailed) as error:
        yield Check(what, Result.FAILS, f"the header does not bind it: {error}")
        return
    yield Check(what, Result.HOLDS, f"bound by a header that {core.sender} signed with key {key.key_id.hex()[:16]}")


def _verify(signed: Signed, key: PublicKey, kind: str, exchange: str) -> bytes:
    return verify_signed(signed, only(key), expected_type=kind, context=exchange)


def _release(evidence: Evidence) -> Iterator[Check]:
    for each in evidence.decisions:
        item = each.question.item
        if item.release is None or item.label is None or each.question.sender not in item.label.originators:
            continue  # who passes a report on says itself to whom
        same = release_sha256(encode_release(item.release), item.release.salt) == item.label.release_sha256
        result, detail = (Result.HOLDS, "the label holds its hash") if same else (Result.FAILS, "not the label's")
        yield Check("release", result, detail)
        return


def _views(evidence: Evidence) -> Iterator[Check]:
    wanted = {
        found.ref.commitment: found
        for rules in (
            *(each.question.rules for each in evidence.decisions),
            *(each.rules for each in evidence.refusals),
        )
        for found in rules.agreements.values()
    }
    signed = {}
    for view in evidence.views:
        try:
            signed[commitment(view.payload, decode_view(view.payload).salt)] = view
        except BadInput as error:
            yield Check("agreement", Result.FAILS, f"a view that cannot be read: {error}")
    for digest, found in wanted.items():
        what = f"agreement {found.ref.id.hex()[:12]} version {found.ref.version}"
        held = signed.get(digest)
        if held is None:
            yield Check(what, Result.NOT_CHECKED, "the file does not hold it as its parties signed it")
            continue
        yield _view(evidence, what, held)


def _view(evidence: Evidence, what: str, view: Signed) -> Check:
    by_id = {key.key_id: party for party, key in evidence.roots.items()}
    try:
        signers = verified_signers(
            view,
            lambda key_id: evidence.roots[by_id[key_id]] if key_id in by_id else None,
            expected_type=VIEW_TYPE,
            context=evidence.exchange,
        )
        parties = decode_view(view.payload).parties
    except (BadInput, VerificationFailed) as error:
        return Check(what, Result.FAILS, f"its signatures do not hold: {error}")
    missing = sorted(set(parties) - {by_id[key_id] for key_id in signers})
    if missing:
        return Check(what, Result.FAILS, f"not signed by {', '.join(missing)}")
    return Check(what, Result.HOLDS, f"signed by the root of each party: {', '.join(parties)}")


def _refusal(evidence: Evidence, written: WrittenRefusal, place: int) -> Check:
    what = f"refusal {place}"
    try:
        refusal = open_refusal(written.statement, _relay_key(evidence, written.statement), evidence.exchange)
        judged = judge(refusal, written.refused, written.rules)
    except (BadInput, VerificationFailed) as error:
        return Check(what, Result.FAILS, str(error))
    said = f"the relay signed {refusal.reason} as of directory size {refusal.directory_size}"
    match judged.verdict:
        case Verdict.WRONG:
            return Check(what, Result.WRONG, f"{said}; the rules in this file do not refuse that")
        case Verdict.UNEXPLAINED:
            return Check(
                what, Result.HOLDS, f"{said}; the rules permit every slot: a prekey that changed would explain it"
            )
        case _:
            return Check(what, Result.HOLDS, f"{said}; the rules in this file refuse it as well")


def _not_checked(evidence: Evidence) -> Iterator[Check]:
    sizes = sorted({each.directory_size for each in evidence.decisions})
    if sizes or evidence.refusals:
        detail = f"that standings and statuses are those of the directory (as of size {', '.join(map(str, sizes))})"
        yield Check("directory", Result.NOT_CHECKED, f"{detail}: compare with a node that replays it")
    if any(each.question.item.consents for each in evidence.decisions):
        yield Check("consents", Result.NOT_CHECKED, "their signatures: the grants are not in the file")
    roles = {each.question.role for each in evidence.decisions}
    if Role.RECIPIENT in roles:
        yield Check(
            "report", Result.NOT_CHECKED, "its content, and its originator's signature: they are not in the file"
        )
    for party, key in sorted(evidence.roots.items()):
        yield Check(f"root of {party}", Result.NOT_CHECKED, f"compare: {fingerprint(party, key.raw)}")
    for key in evidence.relay_keys:
        yield Check("relay's key", Result.NOT_CHECKED, f"compare: {key.key_id.hex()}")


def _relay_key(evidence: Evidence, statement: Signed) -> PublicKey:
    claimed = {signature.key_id for signature in statement.signatures}
    for key in evidence.relay_keys:
        if key.key_id in claimed:
            return key
    raise BadSignature("not signed with a key of the relay that the file holds")
