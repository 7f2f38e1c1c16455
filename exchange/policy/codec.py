"""Labels, releases, enforcement views and agreements as bytes (protos/exchange/v1/policy.proto).

Decoding accepts the one canonical encoding, known words only, sets that ascend, and fields that agree with each other.
Encoding runs the same checks, so that nobody signs what nobody accepts.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeVar

from google.protobuf.message import Message

from exchange.errors import BadName, MalformedInput
from exchange.limits import AGREEMENT_TERMS, AGREEMENT_TEXT_BYTES, KIB, LABEL_BYTES, RELEASE_BYTES, SIGNATURES, TARGETS
from exchange.names import HASH_BYTES, ID_BYTES, ExchangeName, PartyId, exchange_name
from exchange.policy import shape
from exchange.policy.binding import check_relay_label, relay_label, release_sha256
from exchange.policy.model import (
    APPROVALS_MAX,
    BASIS_KINDS,
    GRADINGS,
    HOPS_MAX,
    LIST_ITEMS,
    RETENTION_DAYS_MAX,
    Actions,
    Category,
    CommunityTarget,
    Duty,
    EquivalentMarking,
    EvidenceUse,
    Grading,
    Handling,
    Label,
    LegalBasis,
    NationalMarking,
    OnExpiry,
    OnwardRule,
    PersonalData,
    Purpose,
    ReaderRule,
    Release,
    ReleaseMode,
    Subject,
    Target,
    Tlp,
)
from exchange.policy.terms import Agreement, EnforcementView, HeldItems, NationalCeiling, PersonalDataRule, Term
from exchange.v1 import policy_pb2 as pb
from exchange.wire import serialise, strict_parse

__all__ = [
    "check_relay_label",
    "decode_agreement",
    "decode_label",
    "decode_readers",
    "decode_release",
    "decode_view",
    "encode_agreement",
    "encode_label",
    "encode_readers",
    "encode_release",
    "encode_view",
    "relay_label",
    "release_sha256",
]

LABEL_VERSION = 1
VIEW_BYTES = 256 * KIB
AGREEMENT_BYTES = AGREEMENT_TEXT_BYTES + 32 * KIB
"""The text, and its parties beside it."""

VERSION_MAX = (1 << 31) - 1
EPOCH_MAX = (1 << 63) - 1
"""What every store can hold."""

REMEMBERED = 128
"""Labels and releases whose bytes are remembered: of each report they are asked for several times on its way."""

M = TypeVar("M", bound=Message)


@lru_cache(maxsize=REMEMBERED)
def encode_label(label: Label) -> bytes:
    """Return the bytes that decode_label accepts, or raise MalformedInput."""
    return _encoded(_label_to_proto(label), _label, LABEL_BYTES, "label")


def decode_label(data: bytes) -> Label:
    """Return the label. A rulebook other than concord/1 decodes, and decide() denies it.

    Raises:
        TooLarge: more than LABEL_BYTES.
        MalformedInput: anything else that is wrong.
    """
    return _label(strict_parse(pb.Label, data, limit=LABEL_BYTES, what="label"))


def encode_readers(rule: ReaderRule) -> bytes:
    """Return the bytes that decode_readers accepts, or raise MalformedInput: a rule apart from its label."""
    return _encoded(_readers_to_proto(rule), _readers, LABEL_BYTES, "reader rule")


def decode_readers(data: bytes) -> ReaderRule:
    """Return what encode_readers wrote; MalformedInput or TooLarge for anything else."""
    return _readers(strict_parse(pb.ReaderRule, data, limit=LABEL_BYTES, what="reader rule"))


@lru_cache(maxsize=REMEMBERED)
def encode_release(release: Release) -> bytes:
    """Return the bytes that decode_release accepts, or raise MalformedInput."""
    return _encoded(_release_to_proto(release), _release, RELEASE_BYTES, "release")


def decode_release(data: bytes) -> Release:
    """Return the release.

    Raises:
        TooLarge: more than RELEASE_BYTES.
        MalformedInput: anything else that is wrong.
    """
    return _release(strict_parse(pb.Release, data, limit=RELEASE_BYTES, what="release"))


def encode_view(view: EnforcementView) -> bytes:
    """Return the bytes that decode_view accepts, or raise MalformedInput."""
    return _encoded(_view_to_proto(view), _view, VIEW_BYTES, "enforcement view")


def decode_view(data: bytes) -> EnforcementView:
    """Return the view.

    Raises:
        TooLarge: more than VIEW_BYTES.
        MalformedInput: anything else that is wrong.
    """
    return _view(strict_parse(pb.EnforcementView, data, limit=VIEW_BYTES, what="enforcement view"))


def encode_agreement(agreement: Agreement) -> bytes:
    """Return the bytes that decode_agreement accepts, or raise MalformedInput."""
    message = pb.Agreement(
        exchange=agreement.exchange,
        agreement_id=agreement.agreement_id,
        version=agreement.version,
        previous_sha256=agreement.previous_sha256,
        parties=agreement.parties,
        text=agreement.text,
        salt=agreement.salt,
        counters_sha256=agreement.counters_sha256,
    )
    return _encoded(message, _agreement, AGREEMENT_BYTES, "agreement")


def decode_agreement(data: bytes) -> Agreement:
    """Return the agreement; its text is not read here (agreement.view_of does).

    Raises:
        TooLarge: more than AGREEMENT_BYTES.
        MalformedInput: anything else that is wrong.
    """
    return _agreement(strict_parse(pb.Agreement, data, limit=AGREEMENT_BYTES, what="agreement"))


def _encoded(message: M, check: Callable[[M], object], limit: int, what: str) -> bytes:
    check(message)
    data = serialise(message)
    if len(data) > limit:
        raise MalformedInput(f"{what} has {len(data)} bytes; the limit is {limit}")
    return data


# -- label -------------------------------------------------------------------------------------------------------------


def _label_to_proto(label: Label) -> pb.Label:
    message = pb.Label(
        label_version=LABEL_VERSION,
        policy=label.policy,
        originators=label.originators,
        tlp=pb.Tlp.ValueType(label.tlp),
        equivalents=[
            pb.EquivalentMarking(policy_id=e.policy_id, classification=e.classification, by=e.by)
            for e in label.equivalents
        ],
        release_sha256=label.release_sha256,
        orcon=label.orcon,
        onward=pb.OnwardRule.ValueType(label.onward),
        max_hops=label.max_hops,
        categories=[pb.Category.ValueType(category) for category in label.categories],
        purposes=[pb.Purpose.ValueType(purpose) for purpose in label.purposes],
        evidence_use=pb.EvidenceUse.ValueType(label.evidence_use),
        actions=pb.Actions.ValueType(label.actions),
        notify_affected=pb.Duty.ValueType(label.notify_affected),
        attribution=pb.Duty.ValueType(label.attribution),
        resale=pb.Duty.ValueType(label.resale),
        personal_data=pb.PersonalData(
            present=label.personal_data.present,
            special=label.personal_data.special,
            subjects=[pb.Subject.ValueType(subject) for subject in label.personal_data.subjects],
            pseudonymous=label.personal_data.pseudonymous,
        ),
        about=label.about,
        use_in=label.use_in,
        not_before_ms=label.not_before_ms,
        embargo_until_ms=label.embargo_until_ms,
        review_on_ms=label.review_on_ms,
        expires_ms=label.expires_ms,
        on_expiry=pb.OnExpiry.ValueType(label.on_expiry or 0),
        retention_days=label.retention_days,
        handling=[pb.Handling(code=handling.code, text=handling.text) for handling in label.handling],
        basis=pb.LegalBasis(kind=label.basis.kind, citation=label.basis.citation),
        root_sources=label.root_sources,
        derived_from=label.derived_from,
        release_mode=pb.ReleaseMode.ValueType(label.release_mode),
        salt=label.salt,
        approvals=label.approvals,
    )
    if label.national is not None:
        national = label.national
        message.national.CopyFrom(
            pb.NationalMarking(
                policy_id=national.policy_id, classification=national.classification, caveats=national.caveats
            )
        )
    if label.grading is not None:
        grading = label.grading
        message.grading.CopyFrom(pb.Grading(scheme=grading.scheme, source=grading.source, info=grading.info))
    if label.readers is not None:
        message.readers.CopyFrom(_readers_to_proto(label.readers))
    return message


def _readers_to_proto(readers: ReaderRule) -> pb.ReaderRule:
    return pb.ReaderRule(
        clearance_scale=readers.clearance_scale,
        clearance_level=readers.clearance_level,
        all_of=readers.all_of,
        any_of=[pb.AnyOf(attributes=group) for group in readers.any_of],
        named=readers.named,
    )


def _label(m: pb.Label) -> Label:
    if m.label_version != LABEL_VERSION:
        raise MalformedInput(f"label: version {m.label_version} is not known")
    label = Label(
        policy=shape.word(m.policy, "label: policy"),
        originators=_parties(m.originators, "label: originators", least=1),
        tlp=shape.member(Tlp, m.tlp, "label: tlp"),
        national=_national(m.national) if m.HasField("national") else None,
        equivalents=shape.as_list([_equivalent(e) for e in m.equivalents], "label: equivalents"),
        release_sha256=shape.octets(m.release_sha256, HASH_BYTES, "label: release_sha256"),
        orcon=m.orcon,
        onward=shape.member(OnwardRule, m.onward, "label: onward"),
        max_hops=shape.number(m.max_hops, "label: max_hops", most=HOPS_MAX),
        categories=shape.members(Category, m.categories, "label: categories", least=1),
        purposes=shape.members(Purpose, m.purposes, "label: purposes", least=1),
        evidence_use=shape.member(EvidenceUse, m.evidence_use, "label: evidence_use"),
        actions=shape.member(Actions, m.actions, "label: actions"),
        notify_affected=shape.member(Duty, m.notify_affected, "label: notify_affected"),
        attribution=shape.member(Duty, m.attribution, "label: attribution"),
        resale=shape.member(Duty, m.resale, "label: resale"),
        personal_data=_personal_data(m),
        about=shape.as_set(shape.each(shape.place, m.about, "label: about"), "label: about"),
        use_in=shape.as_set(shape.each(shape.place, m.use_in, "label: use_in"), "label: use_in"),
        not_before_ms=shape.instant(m.not_before_ms, "label: not_before_ms"),
        embargo_until_ms=shape.instant(m.embargo_until_ms, "label: embargo_until_ms"),
        review_on_ms=shape.instant(m.review_on_ms, "label: review_on_ms"),
        expires_ms=shape.instant(m.expires_ms, "label: expires_ms"),
        on_expiry=shape.member(OnExpiry, m.on_expiry, "label: on_expiry") if m.expires_ms else None,
        retention_days=shape.number(m.retention_days, "label: retention_days", most=RETENTION_DAYS_MAX),
        handling=shape.as_list([_handling(handling) for handling in m.handling], "label: handling"),
        basis=_basis(m),
        grading=_grading(m.grading) if m.HasField("grading") else None,
        root_sources=_hashes(m.root_sources, "label: root_sources"),
        derived_from=_hashes(m.derived_from, "label: derived_from"),
        readers=_readers(m.readers) if m.HasField("readers") else None,
        release_mode=shape.member(ReleaseMode, m.release_mode, "label: release_mode"),
        salt=shape.octets(m.salt, ID_BYTES, "label: salt"),
        approvals=shape.number(m.approvals, "label: approvals", most=APPROVALS_MAX),
    )
    if not m.expires_ms and m.on_expiry:
        raise MalformedInput("label: on_expiry without expires_ms")
    if label.resale is Duty.MUST:
        raise MalformedInput("label: resale is must_not or may")
    if (label.onward is OnwardRule.NONE) != (label.max_hops == 0):
        raise MalformedInput("label: max_hops is 0 exactly when onward is none")
    return label


def _national(m: pb.NationalMarking) -> NationalMarking:
    return NationalMarking(
        shape.word(m.policy_id, "national: policy_id"),
        shape.word(m.classification, "national: classification"),
        shape.as_list(shape.each(shape.word, m.caveats, "national: caveat"), "national: caveats"),
    )


def _equivalent(m: pb.EquivalentMarking) -> EquivalentMarking:
    return EquivalentMarking(
        shape.word(m.policy_id, "equivalent: policy_id"),
        shape.word(m.classification, "equivalent: classification"),
        shape.party(m.by, "equivalent: by"),
    )


def _personal_data(m: pb.Label) -> PersonalData:
    if not m.HasField("personal_data"):
        raise MalformedInput("label: personal_data is missing")
    found = PersonalData(
        m.personal_data.present,
        m.personal_data.special,
        shape.members(Subject, m.personal_data.subjects, "personal_data: subjects"),
        m.personal_data.pseudonymous,
    )
    if not found.present and (found.special or found.subjects or found.pseudonymous):
        raise MalformedInput("label: personal_data is not present, and yet described")
    return found


def _handling(m: pb.Handling) -> Handling:
    return Handling(shape.word(m.code, "handling: code"), shape.text(m.text, "handling: text"))


def _basis(m: pb.Label) -> LegalBasis:
    if m.basis.kind not in BASIS_KINDS:
        raise MalformedInput("label: basis is missing or of no known kind")
    return LegalBasis(m.basis.kind, shape.text(m.basis.citation, "basis: citation"))


def _grading(m: pb.Grading) -> Grading:
    sources, infos = GRADINGS.get(m.scheme, ("", ""))
    if len(m.source) != 1 or len(m.info) != 1 or m.source not in sources or m.info not in infos:
        raise MalformedInput("label: grading is of no known scheme")
    return Grading(m.scheme, m.source, m.info)


def _hashes(values: Iterable[bytes], what: str) -> tuple[bytes, ...]:
    return shape.as_set([shape.octets(value, HASH_BYTES, what) for value in values], what)


def _readers(m: pb.ReaderRule) -> ReaderRule:
    if bool(m.clearance_scale) != bool(m.clearance_level):
        raise MalformedInput("readers: a clearance has a scale and a level")
    groups = [_words(group.attributes, "readers: any_of", least=1) for group in m.any_of]
    rule = ReaderRule(
        clearance_scale=shape.word(m.clearance_scale, "readers: scale") if m.clearance_scale else "",
        clearance_level=shape.word(m.clearance_level, "readers: level") if m.clearance_level else "",
        all_of=_words(m.all_of, "readers: all_of"),
        any_of=shape.as_set(groups, "readers: any_of"),
        named=_words(m.named, "readers: named"),
    )
    if not rule.names_anyone:
        raise MalformedInput("readers: a rule without a condition is no rule")
    return rule


def _words(values: Iterable[str], what: str, *, least: int = 0) -> tuple[str, ...]:
    return shape.as_set(shape.each(shape.word, values, what), what, least=least)


def _parties(values: Iterable[str], what: str, *, least: int = 0, most: int = LIST_ITEMS) -> tuple[PartyId, ...]:
    return shape.as_set(shape.as_list(shape.each(shape.party, values, what), what, least=least, most=most), what)


# -- release -----------------------------------------------------------------------------------------------------------


def _release_to_proto(release: Release) -> pb.Release:
    message = pb.Release(
        to=[_target_to_proto(target) for target in release.to],
        display_only=release.display_only,
        pre_authorised=release.pre_authorised,
        salt=release.salt,
        open_roster=release.open_roster,
    )
    getattr(message, "except").extend(release.except_)  # the field's name is a keyword
    return message


def _target_to_proto(target: Target) -> pb.Target:
    if target.partner is not None:
        return pb.Target(partner=target.partner)
    if target.community is not None:
        return pb.Target(community=pb.CommunityTarget(id=target.community.id, epoch=target.community.epoch))
    if target.agreement is not None:
        return pb.Target(agreement=target.agreement)
    return pb.Target(everyone=True)


def _release(m: pb.Release) -> Release:
    targets = shape.as_list([_target(target) for target in m.to], "release: to", most=TARGETS)
    return Release(
        to=shape.as_set(targets, "release: to", key=lambda target: target.sort_key),
        except_=_parties(getattr(m, "except"), "release: except"),
        display_only=_parties(m.display_only, "release: display_only"),
        pre_authorised=_parties(m.pre_authorised, "release: pre_authorised"),
        salt=shape.octets(m.salt, ID_BYTES, "release: salt"),
        open_roster=m.open_roster,
    )


def _target(m: pb.Target) -> Target:
    kind = m.WhichOneof("of")
    if kind == "partner":
        return Target(partner=shape.party(m.partner, "release: partner"))
    if kind == "community":
        epoch = shape.number(m.community.epoch, "release: epoch", least=1, most=EPOCH_MAX)
        return Target(community=CommunityTarget(shape.octets(m.community.id, ID_BYTES, "release: community"), epoch))
    if kind == "agreement":
        return Target(agreement=shape.octets(m.agreement, ID_BYTES, "release: agreement"))
    if kind == "everyone" and m.everyone:
        return Target(everyone=True)
    raise MalformedInput("release: a target is a partner, a community, an agreement or everyone")


# -- agreements --------------------------------------------------------------------------------------------------------


def _view_to_proto(view: EnforcementView) -> pb.EnforcementView:
    return pb.EnforcementView(
        exchange=view.exchange,
        agreement_id=view.agreement_id,
        version=view.version,
        parties=view.parties,
        terms=[_term_to_proto(term) for term in view.terms],
        valid_from_ms=view.valid_from_ms,
        valid_until_ms=view.valid_until_ms,
        text_sha256=view.text_sha256,
        salt=view.salt,
        may_accede=view.may_accede,
        anyone_may_accede=view.anyone_may_accede,
        held_items=pb.HeldItems.ValueType(view.held_items),
        held_within_days=view.held_within_days,
        suspended=view.suspended,
        left=view.left,
        changes_sha256=view.changes_sha256,
    )


def _term_to_proto(term: Term) -> pb.Term:
    return pb.Term(
        senders=term.senders,
        recipients=term.recipients,
        purposes=[pb.Purpose.ValueType(purpose) for purpose in term.purposes],
        categories=[pb.Category.ValueType(category) for category in term.categories],
        denied_categories=[pb.Category.ValueType(category) for category in term.denied_categories],
        about_any=term.about_any,
        about=term.about,
        use_in=term.use_in,
        ceiling=pb.Tlp.ValueType(term.ceiling),
        national=[
            pb.NationalCeiling(policy_id=ceiling.policy_id, classifications=ceiling.classifications)
            for ceiling in term.national
        ],
        actions_max=pb.Actions.ValueType(term.actions_max),
        personal_data=pb.PersonalDataRule.ValueType(term.personal_data),
        special_categories=term.special_categories,
        evidence_use=pb.EvidenceUse.ValueType(term.evidence_use),
        onward_default=pb.OnwardRule.ValueType(term.onward_default),
        pre_cleared=term.pre_cleared,
        retention_max_days=term.retention_max_days,
        approvals=term.approvals,
        clause=term.clause,
        onward_hops=term.onward_hops,
    )


def _view(m: pb.EnforcementView) -> EnforcementView:
    view = EnforcementView(
        exchange=_exchange(m.exchange),
        agreement_id=shape.octets(m.agreement_id, ID_BYTES, "view: agreement_id"),
        version=shape.number(m.version, "view: version", least=1, most=VERSION_MAX),
        parties=_parties(m.parties, "view: parties", most=SIGNATURES),
        terms=shape.as_list([_term(term) for term in m.terms], "view: terms", least=1, most=AGREEMENT_TERMS),
        valid_from_ms=shape.instant(m.valid_from_ms, "view: valid_from_ms"),
        valid_until_ms=shape.instant(m.valid_until_ms, "view: valid_until_ms"),
        text_sha256=shape.octets(m.text_sha256, HASH_BYTES, "view: text_sha256"),
        salt=shape.octets(m.salt, ID_BYTES, "view: salt"),
        may_accede=_parties(m.may_accede, "view: may_accede", most=SIGNATURES),
        anyone_may_accede=m.anyone_may_accede,
        held_items=shape.member(HeldItems, m.held_items, "view: held_items"),
        held_within_days=shape.number(m.held_within_days, "view: held_within_days", most=RETENTION_DAYS_MAX),
        suspended=_parties(m.suspended, "view: suspended", most=SIGNATURES),
        left=_parties(m.left, "view: left", most=SIGNATURES),
        changes_sha256=m.changes_sha256 and shape.octets(m.changes_sha256, HASH_BYTES, "view: changes_sha256"),
    )
    if 0 < view.valid_until_ms <= view.valid_from_ms:
        raise MalformedInput("view: it ends before it begins")
    if view.held_items is HeldItems.KEEP_UNDER_TERMS and view.held_within_days:
        raise MalformedInput("view: what is kept has no day to go")
    _check_parties(view)
    return view


def _check_parties(view: EnforcementView) -> None:
    """Check who stands where: as signed there are founders alone, and nobody stands in two places."""
    known = (*view.parties, *view.suspended, *view.left)
    if view.changes_sha256:
        if not 1 <= len(set(known)) == len(known) <= SIGNATURES:
            raise MalformedInput("view: a party stands in two places, or there are none or too many")
    elif view.suspended or view.left or set(view.may_accede).intersection(known):
        raise MalformedInput("view: as signed, a founder neither accedes nor suspends nor leaves it")
    elif len(known) < (1 if view.open else 2):
        raise MalformedInput("view: parties has too few entries")
    if view.anyone_may_accede and view.may_accede:
        raise MalformedInput("view: anyone may accede, or those who are named")
    for term in view.terms:
        if not {*term.senders, *term.recipients} <= {*known, *view.may_accede}:
            raise MalformedInput("view: a term names a partner that is no party and may not become one")


def _term(m: pb.Term) -> Term:
    term = Term(
        senders=_parties(m.senders, "term: senders"),
        recipients=_parties(m.recipients, "term: recipients"),
        purposes=shape.members(Purpose, m.purposes, "term: purposes", least=1),
        categories=shape.members(Category, m.categories, "term: categories", least=1),
        denied_categories=shape.members(Category, m.denied_categories, "term: denied_categories"),
        about_any=m.about_any,
        about=shape.as_set(shape.each(shape.place, m.about, "term: about"), "term: about"),
        use_in=shape.as_set(shape.each(shape.place, m.use_in, "term: use_in"), "term: use_in"),
        ceiling=shape.member(Tlp, m.ceiling, "term: ceiling"),
        national=shape.as_set(
            [_national_ceiling(c) for c in m.national], "term: national", key=lambda ceiling: ceiling.policy_id
        ),
        actions_max=shape.member(Actions, m.actions_max, "term: actions_max"),
        personal_data=shape.member(PersonalDataRule, m.personal_data, "term: personal_data"),
        special_categories=m.special_categories,
        evidence_use=shape.member(EvidenceUse, m.evidence_use, "term: evidence_use"),
        onward_default=shape.member(OnwardRule, m.onward_default, "term: onward_default"),
        pre_cleared=_parties(m.pre_cleared, "term: pre_cleared"),
        retention_max_days=shape.number(m.retention_max_days, "term: retention_max_days", most=RETENTION_DAYS_MAX),
        approvals=shape.number(m.approvals, "term: approvals", most=APPROVALS_MAX),
        clause=shape.word(m.clause, "term: clause"),
        onward_hops=shape.number(m.onward_hops, "term: onward_hops", most=HOPS_MAX),
    )
    if term.about_any == bool(term.about):
        raise MalformedInput("term: about is any, or a list of places")
    if term.special_categories and term.personal_data is not PersonalDataRule.ALLOWED:
        raise MalformedInput("term: special categories where personal data is not allowed")
    return term


def _national_ceiling(m: pb.NationalCeiling) -> NationalCeiling:
    return NationalCeiling(
        shape.word(m.policy_id, "national ceiling: policy_id"),
        _words(m.classifications, "national ceiling: classifications", least=1),
    )


def _agreement(m: pb.Agreement) -> Agreement:
    if (m.version == 1) == bool(m.previous_sha256):
        raise MalformedInput("agreement: every version but the first names the one before")
    if not 0 < len(m.text) <= AGREEMENT_TEXT_BYTES:
        raise MalformedInput(f"agreement: a text has 1 to {AGREEMENT_TEXT_BYTES} bytes, not {len(m.text)}")
    return Agreement(
        exchange=_exchange(m.exchange),
        agreement_id=shape.octets(m.agreement_id, ID_BYTES, "agreement: agreement_id"),
        version=shape.number(m.version, "agreement: version", least=1, most=VERSION_MAX),
        previous_sha256=m.previous_sha256 and shape.octets(m.previous_sha256, HASH_BYTES, "agreement: previous_sha256"),
        parties=_parties(m.parties, "agreement: parties", least=1, most=SIGNATURES),
        text=m.text,
        salt=shape.octets(m.salt, ID_BYTES, "agreement: salt"),
        counters_sha256=m.counters_sha256 and shape.octets(m.counters_sha256, HASH_BYTES, "agreement: counters_sha256"),
    )


def _exchange(name: str) -> ExchangeName:
    try:
        return exchange_name(name)
    except BadName as error:
        raise MalformedInput("not an exchange name") from error
