"""Labels written out as people write them: what parse_label reads back, but for the salts."""

from typing import Any

import yaml

from exchange.policy.fields import instant_text
from exchange.policy.label_fields import OPEN
from exchange.policy.model import Label, PersonalData, ReaderRule, Release, Target, Vocabulary


def label_to_yaml(label: Label, release: Release | None) -> str:
    """Return the label as YAML; without its release it cannot be read back, and says so."""
    header = f"# originators: {', '.join(label.originators)}\n"
    if release is None:
        header += "# The audience stays with the originator.\n"
    data = label_to_mapping(label, release)
    return header + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)


def label_to_mapping(label: Label, release: Release | None) -> dict[str, Any]:
    """Return the label in plain form, without what is empty: what label_from_mapping reads back, but for the salts."""
    return {name: value for name, value in _fields(label, release).items() if value not in (None, [], {})}


def _fields(label: Label, release: Release | None) -> dict[str, Any]:
    """Values are the plain data that YAML knows."""
    return {
        "tlp": label.tlp.word,
        "categories": _words(label.categories),
        "purposes": _words(label.purposes),
        "about": list(label.about),
        "use_in": list(label.use_in),
        "release": _release(release) if release is not None else None,
        "basis": {"kind": label.basis.kind, "citation": label.basis.citation},
        "personal_data": _personal_data(label.personal_data),
        "actions": label.actions.word,
        "onward": label.onward.word,
        "max_hops": label.max_hops,
        "orcon": label.orcon,
        "evidence_use": label.evidence_use.word,
        "notify_affected": label.notify_affected.word,
        "attribution": label.attribution.word,
        "resale": label.resale.word,
        "time": _times(label),
        "retention": f"{label.retention_days}d" if label.retention_days else None,
        "grading": {"scheme": label.grading.scheme, "source": label.grading.source, "info": label.grading.info}
        if label.grading
        else None,
        "readers": _readers(label.readers) if label.readers else None,
        "approvals": label.approvals or None,
        "national": {
            "policy": label.national.policy_id,
            "classification": label.national.classification,
            "caveats": list(label.national.caveats),
        }
        if label.national
        else None,
        "equivalents": [
            {"policy": e.policy_id, "classification": e.classification, "by": str(e.by)} for e in label.equivalents
        ],
        "handling": [{"code": handling.code, "text": handling.text} for handling in label.handling],
        "provenance": _set(
            root_sources=[value.hex() for value in label.root_sources],
            derived_from=[value.hex() for value in label.derived_from],
        ),
    }


def _personal_data(data: PersonalData) -> str | dict[str, Any]:
    if not data.present:
        return "none"
    pseudonymous = _set(pseudonymous=data.pseudonymous)
    return {"present": True, "special": data.special, **pseudonymous, "subjects": _words(data.subjects)}


def _release(release: Release) -> dict[str, Any]:
    others = _set(
        display_only=[str(party) for party in release.display_only],
        pre_authorised=[str(party) for party in release.pre_authorised],
    )
    roster = {"roster": OPEN} if release.open_roster else {}
    to = [_target(target) for target in release.to]
    return {"to": to, **_set(**{"except": list(release.except_)}), **others, **roster}


def _target(target: Target) -> str | dict[str, Any]:
    if target.community is not None:
        return {"community": target.community.id.hex(), "epoch": target.community.epoch}
    if target.agreement is not None:
        return {"agreement": target.agreement.hex()}
    return "*" if target.partner is None else str(target.partner)


def _times(label: Label) -> dict[str, str]:
    found = {
        "not_before": label.not_before_ms,
        "embargo_until": label.embargo_until_ms,
        "review_on": label.review_on_ms,
        "expires_at": label.expires_ms,
    }
    written = {name: instant_text(value) for name, value in found.items() if value}
    return {**written, "on_expiry": label.on_expiry.word} if label.on_expiry is not None else written


def _readers(readers: ReaderRule) -> dict[str, Any]:
    clearance = {"scale": readers.clearance_scale, "level": readers.clearance_level}
    return _set(
        min_clearance=clearance if readers.clearance_scale else None,
        all_of=list(readers.all_of),
        any_of=[list(group) for group in readers.any_of],
        named=list(readers.named),
    )


def _set(**values: Any) -> dict[str, Any]:  # any plain data
    return {name: value for name, value in values.items() if value}


def _words(values: tuple[Vocabulary, ...]) -> list[str]:
    return [value.word for value in values]
