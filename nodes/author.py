"""The first steps of a report's path: read, check, label. What comes out is what gets signed. Pure.

1. The report is read strictly (nodes/stix.py).
2. Its label is found: the label that was given, else the bundle's own handling, else the sensor's default. What the
   label leaves out, the sources of the report fill in, then the node's label defaults. Without a label it is refused,
   unless it has sources.
3. The label of a report that is made of others says no more than they do (nodes/deriving.py).
4. The label must fit the content: not weaker than any marking in it, and naming every place that it is about.
5. The audience must be partners that the directory knows, and communities in which this node may publish now. The
   node's own rule may raise the approvals that it takes.
6. The audience is taken out of the content: recipients must not learn it. From here on the bytes never change.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from exchange.crypto.random import random_bytes
from exchange.envelope.attachments import check_attachments
from exchange.envelope.model import REPORT_MEDIA_TYPE, Lane
from exchange.errors import BadLabel, BadReport
from exchange.names import ID_BYTES, PartyId
from exchange.policy.combine import Source
from exchange.policy.model import CommunityTarget, Label, Release, Tlp
from exchange.policy.text import ParsedLabel, label_from_mapping, parse_label
from nodes.attached import Attached
from nodes.deriving import Origin, derived
from nodes.handling import label_of_handling
from nodes.stix import LANE_BY_PRECEDENCE, StixReport, read_report, without_audience


@dataclass(frozen=True, slots=True)
class Previous:
    """The version that a correction replaces."""

    item_hash: bytes
    thread_id: bytes
    stix_id: str
    modified_ms: int
    source: Source | None = None
    """Set when it was made of other reports: what bound it then binds the version after it."""


@dataclass(frozen=True, slots=True)
class AuthoredReport:
    """A report that is ready to be signed."""

    kind: str
    title: str
    stix_id: str
    modified_ms: int
    media_type: str
    content: bytes
    label: Label
    release: Release
    lane: Lane
    thread_id: bytes
    supersedes: bytes
    """Item hash of the version before; empty for the first."""
    warnings: tuple[str, ...]
    attached: tuple[Attached, ...] = ()


@dataclass(frozen=True, slots=True)
class Desk:
    """What the author's step knows of its surroundings."""

    me: PartyId
    partners: Collection[PartyId]
    """Every partner that the directory knows, this one included."""
    defaults: Mapping[str, Any]
    """Label fields that are filled in when a label leaves them out: by this node, or by the sources of the report."""
    communities: Mapping[str, CommunityTarget] = field(default_factory=dict)
    """Communities in which this node may publish, by name and by id, each at the epoch in force."""
    approvals: Mapping[Tlp, int] = field(default_factory=dict)
    """Approvals that this node asks for at least."""
    derives: bool = False
    """The report has sources: it needs no label of its own."""


def author(
    content: bytes,
    label_yaml: bytes,
    *,
    desk: Desk,
    now_ms: int,
    sensor_label: bytes = b"",
    previous: Previous | None = None,
    origin: Origin | None = None,
    attached: Sequence[Attached] = (),
) -> AuthoredReport:
    """Return the report that `content` and its label make; `origin` is what it is made of, if of other reports.

    `attached` are its files, sealed already.

    Raises:
        BadInput: of the class that says what is wrong (MalformedInput, TooLarge, BadReport, BadLabel, BadName);
            `place` says where and `hint` what to do. Nothing was stored.
    """
    # 1. Read.
    report = read_report(content)
    # 2. Label.
    parsed = _label(report, label_yaml, sensor_label, _with_sources(desk, origin), now_ms)
    # 3. It says no more than the sources.
    parsed = derived(parsed, origin)
    # 4. The label fits the content.
    _fits(report, parsed.label)
    # 5. The audience is known.
    _known(parsed.release, desk)
    label = _with_approvals(parsed.label, desk)
    check_attachments([each.attachment for each in attached])
    if previous is not None:
        _replaces(report, previous)
    return AuthoredReport(
        kind=report.kind,
        title=report.title,
        stix_id=report.stix_id,
        modified_ms=report.modified_ms,
        media_type=REPORT_MEDIA_TYPE,
        # 6. The audience leaves the content.
        content=without_audience(report, content),
        label=label,
        release=parsed.release,
        lane=_lane(parsed, report),
        thread_id=previous.thread_id if previous else random_bytes(ID_BYTES),
        supersedes=previous.item_hash if previous else b"",
        warnings=_warnings(report, label, parsed.release),
        attached=tuple(attached),
    )


def _with_sources(desk: Desk, origin: Origin | None) -> Desk:
    """Return the desk of a derived report: what a label leaves out, its sources say before the node does."""
    if origin is None:
        return desk
    usual = {name: value for name, value in desk.defaults.items() if name != "pap"}  # `actions` says it
    return replace(desk, defaults={**usual, **origin.defaults}, derives=True)


def _label(report: StixReport, given: bytes, sensor: bytes, desk: Desk, now_ms: int) -> ParsedLabel:
    if given or (report.handling is None and desk.derives):
        return _parsed(given or b"{}", desk, now_ms)
    if report.handling is not None or not sensor:
        return label_from_mapping(
            label_of_handling(report),
            originator=desk.me,
            now_ms=now_ms,
            defaults=desk.defaults,
            communities=desk.communities,
        )
    return _parsed(sensor, desk, now_ms)


def _parsed(text: bytes, desk: Desk, now_ms: int) -> ParsedLabel:
    return parse_label(text, originator=desk.me, now_ms=now_ms, defaults=desk.defaults, communities=desk.communities)


def _fits(report: StixReport, label: Label) -> None:
    if report.least_tlp is not None and label.tlp < report.least_tlp:
        raise BadLabel(
            f"the label says TLP:{label.tlp.word.upper()}, but content is marked TLP:{report.least_tlp.word.upper()}",
            place=report.strictest_place,
            hint="raise the label's tlp, or move the stricter part into a report of its own",
        )
    missing = report.countries - set(label.about)
    if label.about and missing:
        raise BadLabel(
            f"the content is about {', '.join(sorted(missing))}, which the label does not name",
            place="about",
            hint=f"about: [{', '.join(sorted(report.countries | set(label.about)))}]",
        )


def _known(release: Release, desk: Desk) -> None:
    named = {target.partner for target in release.to if target.partner is not None}
    for party in sorted({*named, *release.except_, *release.display_only, *release.pre_authorised}):
        if party not in desk.partners:
            raise BadLabel(f"{party} is not a partner", place="release", hint="concord partner list")
    for community in (target.community for target in release.to if target.community is not None):
        current = desk.communities.get(community.id.hex())
        if current is None or community.epoch > current.epoch:
            raise BadLabel(
                f"{community.id.hex()} at epoch {community.epoch} is no community to publish in now",
                place="release",
                hint="concord community list",
            )


def _replaces(report: StixReport, previous: Previous) -> None:
    if report.stix_id != previous.stix_id:
        raise BadReport(
            f"a correction keeps the report's id {previous.stix_id}",
            place=f"{report.root_place}.id",
            hint="a report with another id is a new report: concord report push",
        )
    if report.modified_ms <= previous.modified_ms:
        raise BadReport(
            "modified is not later than that of the version before",
            place=f"{report.root_place}.modified",
            hint="set modified to the time of the correction",
        )


def _lane(parsed: ParsedLabel, report: StixReport) -> Lane:
    word = parsed.lane or LANE_BY_PRECEDENCE[report.precedence or "routine"]
    return Lane[word.upper()]


def _with_approvals(label: Label, desk: Desk) -> Label:
    least = desk.approvals.get(label.tlp, 0)
    return label if label.approvals >= least else replace(label, approvals=least)


def _warnings(report: StixReport, label: Label, release: Release) -> tuple[str, ...]:
    warnings = []
    if label.approvals:
        warnings.append(f"it waits until {label.approvals} others have approved it: concord report pending")
    if not release.to:
        warnings.append("the audience is empty: this report reaches nobody")
    if release.open_roster:
        warnings.append("its roster is open: whoever gets it sees whom it is for, and whom it excludes")
    if report.unresolved:
        warnings.append(f"{len(report.unresolved)} references of the root are not in the bundle")
    if report.least_tlp is None:
        warnings.append("nothing in the content carries a TLP marking; other tools will not see one")
    return tuple(warnings)
