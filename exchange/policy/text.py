"""Labels as people write them.

    tlp: amber+strict                       # required: clear | green | amber | amber+strict | red
    categories: [terror_attack, travel]     # required
    purposes: [protect_life]                # required
    about: [PK]                             # countries that it is about
    release:                                # required
      to: [XV, XO]                          # partners; {community: NAME}, now; {community: HEX, epoch: N};
                                            # {agreement: HEX}; "*" = every partner that an agreement permits;
                                            # [] = nobody
      except: []
      display_only: []
      pre_authorised: []
    basis: {kind: mou, citation: "Mutual Security Memorandum 2021, art. 4"}      # required
    personal_data: none                     # required; or {present: true, special: false, subjects: [victim]}
    pap: amber                              # or actions: external_passive
    onward: none                            # default by TLP; wider than the TLP allows is refused
    max_hops: 1
    orcon: false
    evidence_use: no                        # no | with_consent | yes
    notify_affected: may
    attribution: may
    resale: must_not
    use_in: [PK]                            # left out: no limit
    time: {not_before: +15m, embargo_until: 2026-05-01T12:00:00Z, expires_at: +30d, review_on: +7d, on_expiry: purge}
    retention: 90d
    grading: {scheme: admiralty, source: B, info: 3}
    readers: {min_clearance: {scale: x, level: y}, all_of: [a], any_of: [[b, c]], named: [duty-officer]}
    national: {policy: x, classification: y, caveats: [z]}
    equivalents: [{policy: x, classification: y, by: XV}]
    handling: [{code: x, text: "..."}]
    provenance: {root_sources: [HEX], derived_from: [HEX]}
    approvals: 1                            # by operators other than the author, before it is released
    release_mode: delivered
    lane: flash                             # flash | priority | routine; not part of the label

Unknown fields are refused. `defaults` fills top-level fields that are missing, and nothing within them.
Every error is a BadLabel with `place` ("line 7", or the path in plain data) and a hint. The same functions for
agreements are in agreement_text.py and offered here. Specification: docs/spec/policy.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson

from exchange.crypto.random import random_bytes
from exchange.errors import BadLabel, MalformedInput
from exchange.limits import LABEL_BYTES
from exchange.names import HASH_BYTES, ID_BYTES, PartyId
from exchange.policy.agreement_text import AgreementTerms, draft_agreement_text, parse_agreement_text
from exchange.policy.codec import encode_label, encode_release, release_sha256
from exchange.policy.fields import Fields, days, flag, member, members, number, one_of, places
from exchange.policy.label_fields import (
    Communities,
    Provenance,
    Times,
    basis,
    equivalents,
    grading,
    handling,
    lane,
    national,
    personal_data,
    provenance,
    readers,
    release_of,
    resale,
    times,
    use_in,
)
from exchange.policy.label_yaml import label_to_yaml
from exchange.policy.model import (
    APPROVALS_MAX,
    HOPS_MAX,
    Actions,
    Category,
    CommunityTarget,
    Duty,
    EvidenceUse,
    Handling,
    Label,
    OnwardRule,
    Purpose,
    Release,
    ReleaseMode,
    Tlp,
)
from exchange.policy.strict_json import write_json
from exchange.policy.strict_yaml import REMEMBERED_BYTES, Node, node_of, parse_yaml

__all__ = [
    "AgreementTerms",
    "ParsedLabel",
    "draft_agreement_text",
    "label_from_mapping",
    "label_to_yaml",
    "parse_agreement_text",
    "parse_label",
]

REQUIRED = ("tlp", "categories", "purposes", "release", "basis", "personal_data")
FIELDS = (
    *REQUIRED,
    "about",
    "use_in",
    "pap",
    "actions",
    "onward",
    "max_hops",
    "orcon",
    "evidence_use",
    "notify_affected",
    "attribution",
    "resale",
    "time",
    "retention",
    "grading",
    "readers",
    "national",
    "equivalents",
    "handling",
    "provenance",
    "approvals",
    "release_mode",
    "lane",
)

PAP = {
    "red": Actions.INTERNAL_ONLY,
    "amber": Actions.EXTERNAL_PASSIVE,
    "green": Actions.EXTERNAL_ACTIVE,
    "clear": Actions.EXTERNAL_ACTIVE,
}
NO_NETWORK_USE = Handling("PAP:RED", "Do not use it on any network, not even passively.")
"""What PAP:RED says beyond internal_only."""

ONWARD = {
    Tlp.CLEAR: OnwardRule.FREE,
    Tlp.GREEN: OnwardRule.COMMUNITY,
    Tlp.AMBER: OnwardRule.DEPENDANTS,
    Tlp.AMBER_STRICT: OnwardRule.NONE,
    Tlp.RED: OnwardRule.NONE,
}
"""What each light allows by itself. Under every light an originator may be asked for consent (TLP 2.0)."""

HOPS = {OnwardRule.NONE: 0, OnwardRule.FREE: HOPS_MAX}


@dataclass(frozen=True, slots=True)
class ParsedLabel:
    """A label with its release, which it binds by hash, and the word of the lane when one was given."""

    label: Label
    release: Release
    lane: str | None


TEMPLATES = 64
"""Texts whose templates are remembered: a sensor labels a thousand reports with the same few words."""

NO_SALT, NO_HASH = bytes(ID_BYTES), bytes(HASH_BYTES)
"""In the place of what is drawn anew for each label."""


@dataclass(frozen=True, slots=True)
class _Template:
    """What a text says, without what differs from one label to the next: salts, the hash over one, and times."""

    label: Label
    release: Release
    lane: str | None
    time: Node | None


def parse_label(
    text: bytes,
    *,
    originator: PartyId,
    now_ms: int,
    defaults: Mapping[str, Any] | None = None,
    communities: Communities | None = None,
) -> ParsedLabel:
    """Return the label that `text` is, with fresh salts; the originator's own id in `to` is dropped.

    A community without an epoch means one of `communities`, at the epoch that these name.

    Raises:
        BadLabel: with the line, what was expected, and the nearest known word.
    """
    if len(text) > REMEMBERED_BYTES:
        node = parse_yaml(text, limit=LABEL_BYTES, error=BadLabel)
        return _fresh(_template(node, originator, defaults or {}, communities or {}), now_ms)
    named = frozenset(communities.items()) if communities else frozenset()
    return _fresh(_remembered(text, originator, write_json(defaults or {}), named), now_ms)


def label_from_mapping(
    data: Mapping[str, Any],
    *,
    originator: PartyId,
    now_ms: int,
    defaults: Mapping[str, Any] | None = None,
    communities: Communities | None = None,
) -> ParsedLabel:
    """Return the same of plain data, as from a report's handling or a sensor's default.

    Raises:
        BadLabel: with the path, what was expected, and the nearest known word.
    """
    template = _template(node_of(data, error=BadLabel), originator, defaults or {}, communities or {})
    return _fresh(template, now_ms)


@lru_cache(maxsize=TEMPLATES)
def _remembered(
    text: bytes, originator: PartyId, defaults: bytes, communities: frozenset[tuple[str, CommunityTarget]]
) -> _Template:
    node = parse_yaml(text, limit=LABEL_BYTES, error=BadLabel)
    return _template(node, originator, orjson.loads(defaults), dict(communities))


def _fresh(template: _Template, now_ms: int) -> ParsedLabel:
    """Return the label of a template, with salts of its own and its times counted from now."""
    release = replace(template.release, salt=random_bytes(ID_BYTES))
    time = times(now_ms)(template.time) if template.time is not None else Times()
    label = replace(
        template.label,
        release_sha256=release_sha256(encode_release(release), release.salt),
        salt=random_bytes(ID_BYTES),
        not_before_ms=time.not_before_ms,
        embargo_until_ms=time.embargo_until_ms,
        review_on_ms=time.review_on_ms,
        expires_ms=time.expires_ms,
        on_expiry=time.on_expiry,
    )
    _check_size(label)
    return ParsedLabel(label, release, template.lane)


def _template(node: Node, originator: PartyId, defaults: Mapping[str, Any], communities: Communities) -> _Template:
    fields, defaulted = _with_defaults(node, defaults)
    for name in REQUIRED:
        fields.need(name)
    tlp = member(Tlp)(fields.need("tlp"))
    release = release_of(fields.need("release"), originator, NO_SALT, communities)
    onward = _onward(fields, tlp, narrowed="onward" in defaulted)
    actions, instructions = _actions(fields)
    sources = fields.read("provenance", provenance, Provenance())
    label = Label(
        originators=(originator,),
        tlp=tlp,
        categories=members(Category)(fields.need("categories")),
        purposes=members(Purpose)(fields.need("purposes")),
        basis=basis(fields.need("basis")),
        personal_data=personal_data(fields.need("personal_data")),
        onward=onward,
        max_hops=_hops(fields, onward, filled="max_hops" in defaulted),
        release_sha256=NO_HASH,
        salt=NO_SALT,
        national=fields.read("national", national, None),
        equivalents=fields.read("equivalents", equivalents, ()),
        orcon=fields.read("orcon", flag, default=False),
        evidence_use=fields.read("evidence_use", member(EvidenceUse), EvidenceUse.NO),
        actions=actions,
        notify_affected=fields.read("notify_affected", member(Duty), Duty.MAY),
        attribution=fields.read("attribution", member(Duty), Duty.MAY),
        resale=fields.read("resale", resale, Duty.MUST_NOT),
        about=fields.read("about", places, ()),
        use_in=fields.read("use_in", use_in, ()),
        retention_days=fields.read("retention", days, 0),
        handling=(*fields.read("handling", handling, ()), *instructions),
        grading=fields.read("grading", grading, None),
        root_sources=sources.root_sources,
        derived_from=sources.derived_from,
        readers=fields.read("readers", readers, None),
        approvals=fields.read("approvals", number(0, APPROVALS_MAX), 0),
        release_mode=fields.read("release_mode", member(ReleaseMode), ReleaseMode.DELIVERED),
    )
    return _Template(label, release, fields.read("lane", lane, None), fields.get("time"))


def _with_defaults(node: Node, defaults: Mapping[str, Any]) -> tuple[Fields, set[str]]:
    """Return the fields, and the names of those that the defaults filled in."""
    given = Fields(node, FIELDS)
    usual = Fields(node_of(defaults, error=BadLabel, path="label defaults"), FIELDS)
    said = {"pap", "actions"} if {"pap", "actions"} & given.values.keys() else set()
    filled = {name: value for name, value in usual.values.items() if name not in given.values and name not in said}
    return Fields(Node({**given.values, **filled}, node.path, node.place, node.error), FIELDS), set(filled)


def _onward(fields: Fields, tlp: Tlp, *, narrowed: bool) -> OnwardRule:
    """Return the rule; one from the defaults is narrowed to what the light allows, one that was written is refused."""
    usual, found = ONWARD[tlp], fields.read("onward", member(OnwardRule), ONWARD[tlp])
    widest = max(usual, OnwardRule.CONSENT)
    if found <= widest:
        return found
    if narrowed:
        return usual
    allowed = ", ".join(rule.word for rule in OnwardRule if rule <= widest)
    raise fields.need("onward").wrong(
        f"{found.word} is wider than TLP:{tlp.word.upper()} allows", hint=f"one of {allowed}, or another tlp"
    )


def _hops(fields: Fields, onward: OnwardRule, *, filled: bool) -> int:
    """Return how often; hops from the defaults that do not fit the rule that was written give way to the usual ones."""
    found = fields.read("max_hops", number(0, HOPS_MAX), HOPS.get(onward, 1))
    if (found == 0) != (onward is OnwardRule.NONE):
        if filled:
            return HOPS.get(onward, 1)
        raise fields.need("max_hops").wrong(f"{found} does not fit onward: {onward.word}", hint="0 exactly with none")
    return found


def _actions(fields: Fields) -> tuple[Actions, tuple[Handling, ...]]:
    """Return what may be done, and what PAP says beyond it."""
    pap = fields.get("pap")
    if pap is None:
        return fields.read("actions", member(Actions), Actions.INTERNAL_ONLY), ()
    if fields.get("actions") is not None:
        raise pap.wrong("pap and actions say the same thing twice", hint="keep one of them")
    found = one_of(pap, PAP)
    return PAP[found], (NO_NETWORK_USE,) if found == "red" else ()


def _check_size(label: Label) -> None:
    try:
        encode_label(label)
    except MalformedInput as error:
        raise BadLabel(str(error)) from error
