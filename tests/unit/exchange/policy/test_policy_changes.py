"""What accessions and notices make of an agreement, whoever signs them, in whatever order they come."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import sign
from exchange.errors import (
    BadAgreement,
    BadSignature,
    Conflict,
    ExchangeError,
    MalformedInput,
    NotAllowed,
    TooLarge,
    VerificationFailed,
)
from exchange.names import ExchangeName, PartyId
from exchange.policy.agreement import AgreementStatus, EnforcementView
from exchange.policy.changes.codec import (
    ACCESSION_BYTES,
    NOTICE,
    NOTICE_BYTES,
    decode_accession,
    decode_notice,
    encode_change,
)
from exchange.policy.changes.course import RETURNS_MAX, Course, after, begin
from exchange.policy.changes.model import AgreementNotice, Change, NoticeAction
from exchange.policy.changes.verify import open_change
from exchange.policy.codec import decode_view, encode_view
from exchange.v1 import agreement_change_pb2 as pb
from exchange.wire import serialise
from tests.support.agreement_changes import a_notice, an_accession, signed_change
from tests.support.directory_builders import EXCHANGE, composite, party_keys
from tests.support.policy_builders import NOW, a_term, an_agreement

XA, XB, XC, XD = (PartyId(name) for name in ("XA", "XB", "XC", "XD"))
OTHER = ExchangeName("other.example")
SUSPEND, RESUME, TERMINATE = NoticeAction.SUSPEND, NoticeAction.RESUME, NoticeAction.TERMINATE
ACTIVE, SUSPENDED, TERMINATED = AgreementStatus.ACTIVE, AgreementStatus.SUSPENDED, AgreementStatus.TERMINATED


def a_view(*parties: PartyId, **differs: Any) -> EnforcementView:
    """A view as its founders sign it; XA and XB when none are given."""
    return an_agreement(a_term(), parties=parties or (XA, XB), exchange=EXCHANGE, **differs).view


def a_course(*parties: PartyId, **differs: Any) -> Course:
    return begin(a_view(*parties, **differs))


def played(course: Course, *changes: tuple[str, NoticeAction | None]) -> Course:
    """Return the course after changes one after the other: a party, and its notice or None for an accession."""
    for step, (name, action) in enumerate(changes, course.count + 1):
        at_ms = NOW + step
        change: Change = (
            an_accession(course.ref, name, at_ms=at_ms)
            if action is None
            else a_notice(course.ref, name, action, at_ms=at_ms)
        )
        course = after(course, change, encode_change(change))
    return course


def places(course: Course) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], AgreementStatus]:
    return course.now.parties, course.now.suspended, course.now.left, course.status


@pytest.mark.parametrize(
    "changes, expected",
    [
        ([], ((XA, XB), (), (), ACTIVE)),
        ([("XC", None)], ((XA, XB, XC), (), (), ACTIVE)),
        ([("XC", None), ("XD", None)], ((XA, XB, XC, XD), (), (), ACTIVE)),
        ([("XA", SUSPEND)], ((XB,), (XA,), (), SUSPENDED)),
        ([("XC", None), ("XA", SUSPEND)], ((XB, XC), (XA,), (), ACTIVE)),
        ([("XA", SUSPEND), ("XA", RESUME)], ((XA, XB), (), (), ACTIVE)),
        ([("XA", SUSPEND), ("XB", SUSPEND)], ((), (XA, XB), (), SUSPENDED)),
        ([("XA", TERMINATE)], ((XB,), (), (XA,), SUSPENDED)),
        ([("XA", SUSPEND), ("XA", TERMINATE)], ((XB,), (), (XA,), SUSPENDED)),
        ([("XA", TERMINATE), ("XA", None)], ((XA, XB), (), (), ACTIVE)),
        ([("XA", TERMINATE), ("XB", TERMINATE)], ((), (), (XA, XB), TERMINATED)),
        ([("XC", None), ("XC", SUSPEND), ("XC", RESUME)], ((XA, XB, XC), (), (), ACTIVE)),
    ],
)
def test_parties_come_pause_and_go(changes: list[tuple[str, NoticeAction | None]], expected: object) -> None:
    course = played(a_course(anyone_may_accede=True), *changes)
    assert places(course) == expected
    assert course.count == len(changes)
    assert decode_view(encode_view(course.now)) == course.now
    assert course.now.terms == course.signed.terms


@pytest.mark.parametrize("changes", [[("XA", TERMINATE)], [("XA", SUSPEND), ("XB", TERMINATE)]])
def test_a_closed_agreement_of_two_ends_when_one_leaves(changes: list[tuple[str, NoticeAction | None]]) -> None:
    course = played(a_course(), *changes)
    assert course.status is TERMINATED
    with pytest.raises(Conflict, match="has ended"):
        played(course, ("XB", SUSPEND))


def test_one_founder_waits_for_others() -> None:
    course = a_course(XA, may_accede=(XC,))
    assert course.status is SUSPENDED
    assert played(course, ("XC", None)).status is ACTIVE


@pytest.mark.parametrize(
    "course, change, error",
    [
        (a_course(), ("XC", None), NotAllowed),
        (a_course(may_accede=(XC,)), ("XD", None), NotAllowed),
        (a_course(anyone_may_accede=True), ("XA", None), Conflict),
        (played(a_course(anyone_may_accede=True), ("XA", SUSPEND)), ("XA", None), Conflict),
        (a_course(), ("XC", SUSPEND), NotAllowed),
        (a_course(), ("XA", RESUME), Conflict),
        (played(a_course(XA, XB, XC), ("XA", SUSPEND)), ("XA", SUSPEND), Conflict),
        (played(a_course(XA, XB, XC), ("XA", SUSPEND)), ("XB", RESUME), Conflict),
        (played(a_course(XA, XB, XC), ("XA", TERMINATE)), ("XA", RESUME), Conflict),
        (played(a_course(XA, XB, XC), ("XA", TERMINATE)), ("XA", SUSPEND), Conflict),
        (played(a_course(XA, XB, XC), ("XA", TERMINATE)), ("XA", None), NotAllowed),
    ],
)
def test_what_a_party_may_not_do_changes_nothing(
    course: Course, change: tuple[str, NoticeAction | None], error: type[ExchangeError]
) -> None:
    with pytest.raises(error):
        played(course, change)


def test_an_old_resumption_does_not_lift_a_newer_suspension() -> None:
    course = a_course(XA, XB, XC)
    resume = a_notice(course.ref, "XA", RESUME, at_ms=NOW + 5)
    course = played(course, ("XA", SUSPEND))
    course = after(course, resume, encode_change(resume))
    suspend = a_notice(course.ref, "XA", SUSPEND, at_ms=NOW + 6)
    course = after(course, suspend, encode_change(suspend))
    with pytest.raises(Conflict, match="later statement"):
        after(course, resume, encode_change(resume))
    same = a_notice(course.ref, "XA", RESUME, at_ms=NOW + 6)
    with pytest.raises(Conflict, match="later statement"):
        after(course, same, encode_change(same))


def test_what_is_said_of_another_agreement_does_not_count_here() -> None:
    course, other = a_course(), begin(a_view(number=2))
    for ref in (other.ref, replace(course.ref, version=2), replace(course.ref, commitment=bytes(32))):
        notice = a_notice(ref, "XA", SUSPEND, at_ms=NOW)
        with pytest.raises(BadAgreement):
            after(course, notice, encode_change(notice))
    elsewhere = replace(a_notice(course.ref, "XA", SUSPEND, at_ms=NOW), exchange=OTHER)
    with pytest.raises(BadAgreement):
        after(course, elsewhere, encode_change(elsewhere))


def test_every_step_has_a_commitment_of_its_own_and_order_counts() -> None:
    course = a_course(anyone_may_accede=True)
    steps = [course, *(played(course, *[("XC", None), ("XD", None), ("XD", SUSPEND)][:n]) for n in (1, 2, 3))]
    assert len({step.now_ref.commitment for step in steps}) == 4
    again = played(course, ("XC", None), ("XC", SUSPEND), ("XC", RESUME))
    assert again.now.parties == played(course, ("XC", None)).now.parties
    assert again.now_ref.commitment != played(course, ("XC", None)).now_ref.commitment
    turned = played(course, ("XD", None), ("XC", None))
    assert turned.now.parties == played(course, ("XC", None), ("XD", None)).now.parties
    assert turned.now_ref.commitment != played(course, ("XC", None), ("XD", None)).now_ref.commitment


def test_coming_back_is_bounded_and_pausing_is_not_refused() -> None:
    course = a_course(XA, XB, XC)
    for _ in range(RETURNS_MAX):
        course = played(course, ("XA", SUSPEND), ("XA", RESUME))
    course = played(course, ("XA", SUSPEND))
    with pytest.raises(Conflict, match="come back 32 times"):
        played(course, ("XA", RESUME))
    assert places(played(course, ("XA", TERMINATE)))[2] == (XA,)


def test_who_left_is_told_no_more() -> None:
    course = played(a_course(XA, XB, XC, may_accede=(XD,)), ("XA", TERMINATE), ("XD", None))
    assert [course.told_to(party) for party in (XA, XB, XD, PartyId("XE"))] == [1, 2, 2, None]
    assert [course.concerns(PartyId(name)) for name in ("XA", "XD", "XE")] == [True, True, False]


def test_changes_are_derived_and_never_signed() -> None:
    course = played(a_course(XA, XB, XC), ("XA", SUSPEND))
    with pytest.raises(BadAgreement, match="derived, not signed"):
        begin(course.now)


# -- bytes -------------------------------------------------------------------------------------------------------------

REF = a_course().ref
ACCESSION = an_accession(REF, "XC", at_ms=NOW)
NOTICE_VALUE = a_notice(REF, "XA", SUSPEND, at_ms=NOW, text="Zwei Zeilen.\nمحتاط")


def test_changes_survive_their_bytes() -> None:
    assert decode_accession(encode_change(ACCESSION)) == ACCESSION
    assert decode_notice(encode_change(NOTICE_VALUE)) == NOTICE_VALUE


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "exchange", "X"),
        lambda m: setattr(m, "party", "xa"),
        lambda m: setattr(m, "at_ms", 0),
        lambda m: setattr(m, "salt", b"short"),
        lambda m: m.ClearField("agreement"),
        lambda m: setattr(m.agreement, "version", 0),
        lambda m: setattr(m.agreement, "id", b"short"),
        lambda m: setattr(m.agreement, "commitment", b""),
    ],
)
def test_a_change_that_is_not_what_it_should_be_is_refused(change: Callable[[Any], object]) -> None:
    for kind, value, decode in (
        (pb.Accession, ACCESSION, decode_accession),
        (pb.AgreementNotice, NOTICE_VALUE, decode_notice),
    ):
        message = kind.FromString(encode_change(value))
        change(message)
        with pytest.raises(MalformedInput):
            decode(serialise(message))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "action", 0),
        lambda m: setattr(m, "action", 9),
        lambda m: setattr(m, "text", ""),
        lambda m: setattr(m, "text", "x" * 2_001),
        lambda m: setattr(m, "text", "turn \u202e round"),
    ],
)
def test_a_notice_says_what_it_does_and_why(change: Callable[[Any], object]) -> None:
    message = pb.AgreementNotice.FromString(encode_change(NOTICE_VALUE))
    change(message)
    with pytest.raises(MalformedInput):
        decode_notice(serialise(message))


def test_changes_have_limits() -> None:
    with pytest.raises(TooLarge):
        decode_accession(bytes(ACCESSION_BYTES + 1))
    with pytest.raises(TooLarge):
        decode_notice(bytes(NOTICE_BYTES + 1))
    longest = replace(NOTICE_VALUE, text="🛰" * 2_000)
    assert len(encode_change(longest)) <= NOTICE_BYTES
    with pytest.raises(MalformedInput):
        replace(NOTICE_VALUE, text="")


# -- signatures --------------------------------------------------------------------------------------------------------


def roots(key_id: bytes) -> tuple[PartyId, PublicKey] | None:
    """The roots of XA and XC."""
    for name in (XA, XC):
        if party_keys(name).root.public.key_id == key_id:
            return name, party_keys(name).root.public
    return None


def test_a_change_is_signed_by_the_root_of_its_party() -> None:
    for change in (ACCESSION, NOTICE_VALUE):
        assert open_change(signed_change(change), roots, exchange=EXCHANGE) == change


def test_nobody_speaks_for_another_party() -> None:
    notice: AgreementNotice = NOTICE_VALUE
    with pytest.raises(VerificationFailed, match="whose root did not sign it"):
        open_change(signed_change(notice, party_keys("XC").root), roots, exchange=EXCHANGE)
    for stranger in (composite("nobody/root"), party_keys("XV").root, party_keys("XA").statement):
        with pytest.raises(BadSignature):
            open_change(signed_change(notice, stranger), roots, exchange=EXCHANGE)


def test_a_change_of_another_kind_or_exchange_or_with_another_payload_is_refused() -> None:
    payload = encode_change(NOTICE_VALUE)
    root = party_keys("XA").root
    with pytest.raises(BadSignature, match="neither"):
        open_change(sign(root, "agreement", payload, context=EXCHANGE), roots, exchange=EXCHANGE)
    with pytest.raises(BadSignature):
        open_change(sign(root, NOTICE, payload, context=OTHER), roots, exchange=EXCHANGE)
    with pytest.raises(BadSignature):
        open_change(replace(signed_change(NOTICE_VALUE), payload=payload + b"\x00"), roots, exchange=EXCHANGE)
    elsewhere = sign(root, NOTICE, encode_change(replace(NOTICE_VALUE, exchange=OTHER)), context=EXCHANGE)
    with pytest.raises(VerificationFailed):
        open_change(elsewhere, roots, exchange=EXCHANGE)
