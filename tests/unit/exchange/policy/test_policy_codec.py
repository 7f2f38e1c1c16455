"""Labels, releases, views and agreements as bytes: round trips, and everything that is refused."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from exchange.errors import BadLabel, MalformedInput, TooLarge, VerificationFailed
from exchange.limits import LABEL_BYTES
from exchange.names import PartyId
from exchange.policy.agreement import Agreement
from exchange.policy.codec import (
    check_relay_label,
    decode_agreement,
    decode_label,
    decode_release,
    decode_view,
    encode_agreement,
    encode_label,
    encode_release,
    encode_view,
    relay_label,
    release_sha256,
)
from exchange.policy.model import (
    Category,
    Handling,
    Label,
    OnwardRule,
    Purpose,
    RelayFlag,
    RelayLabel,
    Release,
    Target,
    Tlp,
)
from exchange.v1 import policy_pb2 as pb
from exchange.wire import serialise
from tests.support.policy_builders import (
    CHANGED_VIEW,
    EXCHANGE,
    FULL_LABEL,
    FULL_RELEASE,
    FULL_VIEW,
    NOW,
    XA,
    XB,
    XC,
    a_label,
    a_release,
    a_term,
)

AGREEMENT = Agreement(EXCHANGE, bytes(16), 2, bytes(32), (XA, XB), b"text", bytes(16))


@pytest.mark.parametrize("label", [a_label(), FULL_LABEL])
def test_a_label_survives_its_bytes(label: Label) -> None:
    assert decode_label(encode_label(label)) == label


@pytest.mark.parametrize("release", [a_release(), a_release(to=()), FULL_RELEASE])
def test_a_release_survives_its_bytes(release: Release) -> None:
    assert decode_release(encode_release(release)) == release


def test_a_view_and_an_agreement_survive_their_bytes() -> None:
    for view in (FULL_VIEW, CHANGED_VIEW, replace(FULL_VIEW, may_accede=(), anyone_may_accede=True)):
        assert decode_view(encode_view(view)) == view
    assert decode_agreement(encode_agreement(AGREEMENT)) == AGREEMENT


def changed(message: Any, change: Callable[[Any], object]) -> bytes:
    """The bytes of a message after `change`."""
    change(message)
    return serialise(message)


def label_message() -> pb.Label:
    return pb.Label.FromString(encode_label(FULL_LABEL))


def setting(**values: Any) -> Callable[[Any], object]:
    def change(message: Any) -> None:
        for name, value in values.items():
            setattr(message, name, value)

    return change


def listing(name: str, *values: Any) -> Callable[[Any], object]:
    def change(message: Any) -> None:
        message.ClearField(name)
        getattr(message, name).extend(values)

    return change


@pytest.mark.parametrize(
    "change",
    [
        setting(tlp=0),
        setting(tlp=6),
        setting(onward=0),
        setting(evidence_use=0),
        setting(actions=0),
        setting(actions=9),
        setting(notify_affected=0),
        setting(attribution=0),
        setting(resale=0),
        setting(resale=3),
        setting(on_expiry=0),
        setting(expires_ms=0),
        setting(release_mode=0),
        setting(release_mode=2),
        setting(label_version=0),
        setting(label_version=2),
        setting(policy=""),
        setting(policy="a\x00b"),
        setting(salt=bytes(15)),
        setting(release_sha256=bytes(31)),
        setting(max_hops=0),
        setting(max_hops=256),
        setting(onward=int(OnwardRule.NONE)),
        setting(not_before_ms=1 << 62),
        setting(retention_days=36_501),
        listing("originators"),
        listing("originators", "XB", "XA"),
        listing("originators", "XA", "XA"),
        listing("originators", "xa"),
        listing("categories"),
        listing("categories", 0),
        listing("categories", 14),
        listing("categories", 2, 1),
        listing("categories", 1, 1),
        listing("purposes"),
        listing("purposes", 0),
        listing("purposes", 2, 1),
        listing("about", "PK", "ML"),
        listing("about", "pk"),
        listing("about", "PAK"),
        listing("use_in", "ML", "ML"),
        listing("root_sources", bytes(31)),
        listing("derived_from", bytes([1]) * 32, bytes(32)),
        lambda m: m.ClearField("personal_data"),
        lambda m: m.ClearField("basis"),
        lambda m: setattr(m.basis, "kind", "gossip"),
        lambda m: setattr(m.basis, "citation", ""),
        lambda m: setattr(m.personal_data, "present", False),
        lambda m: m.personal_data.subjects.insert(0, 0),
        lambda m: setattr(m.grading, "scheme", "stars"),
        lambda m: setattr(m.grading, "info", "9"),
        lambda m: setattr(m.national, "classification", ""),
        lambda m: setattr(m.readers, "clearance_level", ""),
        lambda m: m.readers.any_of.add(),
        lambda m: m.readers.CopyFrom(pb.ReaderRule()),
        lambda m: setattr(m.handling[0], "text", "\u202e"),
    ],
)
def test_a_label_that_is_not_what_it_should_be_is_refused(change: Callable[[Any], object]) -> None:
    with pytest.raises(MalformedInput):
        decode_label(changed(label_message(), change))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.to.add(),
        lambda m: m.to.add(everyone=False),
        lambda m: m.to.add(partner="XA"),
        lambda m: m.to.add(everyone=True),
        lambda m: m.to.insert(0, pb.Target(agreement=bytes(15))),
        lambda m: setattr(m.to[2].community, "epoch", 0),
        lambda m: setattr(m.to[2].community, "id", b""),
        lambda m: getattr(m, "except").append("XB"),
        lambda m: getattr(m, "except").append("nobody"),
        listing("display_only", "XC", "XB"),
        listing("pre_authorised", "XC", "XC"),
        setting(salt=b""),
    ],
)
def test_a_release_that_is_not_what_it_should_be_is_refused(change: Callable[[Any], object]) -> None:
    with pytest.raises(MalformedInput):
        decode_release(changed(pb.Release.FromString(encode_release(FULL_RELEASE)), change))


@pytest.mark.parametrize(
    "change",
    [
        setting(exchange="X"),
        setting(agreement_id=b""),
        setting(version=0),
        setting(valid_until_ms=1),
        setting(text_sha256=b""),
        setting(salt=b""),
        listing("parties", "XA"),
        listing("parties", "XC", "XB", "XA"),
        listing("parties", "XA", "XB"),
        listing("may_accede", "XC"),
        listing("may_accede", "XD", "XC"),
        listing("suspended", "XD"),
        listing("left", "XD"),
        setting(anyone_may_accede=True),
        setting(held_items=0),
        setting(held_items=2),
        setting(held_within_days=36_501),
        setting(changes_sha256=b"short"),
        lambda m: m.ClearField("terms"),
        lambda m: setattr(m.terms[0], "ceiling", 0),
        lambda m: setattr(m.terms[0], "actions_max", 0),
        lambda m: setattr(m.terms[0], "personal_data", 0),
        lambda m: setattr(m.terms[0], "personal_data", 1),
        lambda m: setattr(m.terms[0], "evidence_use", 0),
        lambda m: setattr(m.terms[0], "onward_default", 0),
        lambda m: setattr(m.terms[0], "about_any", True),
        lambda m: m.terms[0].ClearField("about"),
        lambda m: setattr(m.terms[0], "clause", ""),
        lambda m: setattr(m.terms[0], "approvals", 17),
        lambda m: m.terms[0].ClearField("purposes"),
        lambda m: m.terms[0].ClearField("categories"),
        lambda m: m.terms[0].denied_categories.append(1),
        lambda m: m.terms[0].senders.append("XA"),
        lambda m: m.terms[0].national[0].ClearField("classifications"),
        lambda m: m.terms[0].national.add(policy_id="asterin/2", classifications=["OPEN"]),
    ],
)
def test_a_view_that_is_not_what_it_should_be_is_refused(change: Callable[[Any], object]) -> None:
    with pytest.raises(MalformedInput):
        decode_view(changed(pb.EnforcementView.FromString(encode_view(FULL_VIEW)), change))


@pytest.mark.parametrize(
    "change",
    [
        listing("parties", "XA", "XB", "XD"),
        listing("suspended", "XA", "XB"),
        listing("left", "XB"),
        lambda m: [m.ClearField(name) for name in ("parties", "suspended", "left")],
        setting(changes_sha256=b""),
    ],
)
def test_in_a_changed_view_nobody_stands_in_two_places(change: Callable[[Any], object]) -> None:
    with pytest.raises(MalformedInput):
        decode_view(changed(pb.EnforcementView.FromString(encode_view(CHANGED_VIEW)), change))


def test_one_founder_is_enough_only_where_others_may_accede() -> None:
    alone = replace(FULL_VIEW, parties=(XA,), terms=(a_term(),))
    assert decode_view(encode_view(alone)) == alone
    with pytest.raises(MalformedInput):
        encode_view(replace(alone, may_accede=()))


@pytest.mark.parametrize(
    "change",
    [
        setting(version=1),
        setting(counters_sha256=bytes(31)),
        setting(previous_sha256=b""),
        setting(previous_sha256=bytes(31)),
        setting(text=b""),
        setting(exchange=""),
        lambda m: m.ClearField("parties"),
    ],
)
def test_an_agreement_that_is_not_what_it_should_be_is_refused(change: Callable[[Any], object]) -> None:
    with pytest.raises(MalformedInput):
        decode_agreement(changed(pb.Agreement.FromString(encode_agreement(AGREEMENT)), change))


def test_unknown_fields_and_other_encodings_are_refused() -> None:
    data = encode_label(FULL_LABEL)
    for wrong in (data + b"\xf8\x06\x01", data + data, data[:-1], b"", data + b"\x08\x01"):
        with pytest.raises(MalformedInput):
            decode_label(wrong)
    with pytest.raises(TooLarge):
        decode_label(bytes(LABEL_BYTES + 1))


def test_nobody_encodes_what_nobody_accepts() -> None:
    with pytest.raises(MalformedInput):
        encode_label(a_label(categories=(Category.TRAVEL, Category.ALERT, Category.ALERT)))
    with pytest.raises(MalformedInput):
        encode_release(a_release(except_=(XC, XA)))
    texts = tuple(Handling(str(number), "x" * 2000) for number in range(20))
    with pytest.raises(MalformedInput):
        encode_label(a_label(handling=texts))


def test_a_target_is_exactly_one_thing() -> None:
    wrong: tuple[dict[str, Any], ...] = ({}, {"partner": XA, "everyone": True}, {"agreement": b"", "partner": XA})
    for kinds in wrong:
        with pytest.raises(BadLabel):
            Target(**kinds)


def test_the_hash_of_a_release_is_salted() -> None:
    assert release_sha256(b"release", b"salt") == hashlib.sha256(b"saltrelease").digest()


# -- the relay's part --------------------------------------------------------------------------------------------------


def test_the_relay_reads_light_words_and_flags_and_a_hash() -> None:
    data = encode_label(FULL_LABEL)
    seen = relay_label(FULL_LABEL, data, sender=XC, expires_ms=NOW + 99)
    assert seen == RelayLabel(
        tlp=Tlp.AMBER,
        policy="concord/1",
        categories=FULL_LABEL.categories,
        purposes=FULL_LABEL.purposes,
        flags=sum(RelayFlag),
        expires_ms=FULL_LABEL.expires_ms,
        label_sha256=hashlib.sha256(data).digest(),
    )
    usual = relay_label(a_label(), b"", sender=XA, expires_ms=NOW + 99)
    assert (usual.flags, usual.expires_ms) == (0, NOW + 99)
    with pytest.raises(BadLabel):
        relay_label(a_label(), b"", sender=XA, expires_ms=0)


@pytest.mark.parametrize(
    "differs",
    [
        {"tlp": Tlp.GREEN},
        {"policy": "other/1"},
        {"categories": (Category.TRAVEL,)},
        {"purposes": (Purpose.PROTECT_LIFE,)},
        {"flags": 0},
        {"flags": RelayFlag.ORCON},
        {"expires_ms": FULL_LABEL.expires_ms + 1},
        {"expires_ms": 0},
        {"label_sha256": bytes(32)},
    ],
)
def test_every_field_of_the_relay_label_must_match_the_label(differs: dict[str, Any]) -> None:
    data = encode_label(FULL_LABEL)
    seen = relay_label(FULL_LABEL, data, sender=XA, expires_ms=NOW + 2)
    check_relay_label(FULL_LABEL, data, seen, sender=XA)
    with pytest.raises(VerificationFailed):
        check_relay_label(FULL_LABEL, data, replace(seen, **differs), sender=XA)


@pytest.mark.parametrize(("originators", "sender"), [((XA,), XC), ((XA, XB), XA), ((XA, XB), XC)])
def test_who_needs_anothers_consent_must_say_so(originators: tuple[PartyId, ...], sender: PartyId) -> None:
    label = a_label(originators=originators)
    data = encode_label(label)
    seen = relay_label(label, data, sender=sender, expires_ms=NOW + 2)
    assert seen.flags == RelayFlag.NOT_ORIGINATOR
    check_relay_label(label, data, seen, sender=sender)
    with pytest.raises(VerificationFailed, match="flags"):
        check_relay_label(label, data, replace(seen, flags=0), sender=sender)


def test_the_only_originator_needs_nobodys_consent() -> None:
    label = a_label(originators=(XA,))
    data = encode_label(label)
    seen = relay_label(label, data, sender=XA, expires_ms=NOW + 2)
    assert seen.flags == 0
    with pytest.raises(VerificationFailed, match="flags"):
        check_relay_label(label, data, replace(seen, flags=RelayFlag.NOT_ORIGINATOR), sender=XA)
