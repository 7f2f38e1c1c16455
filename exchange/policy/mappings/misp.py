"""Distribution, sharing group and tags of a MISP event, as parsed values. It answers for a whole report as MISP. Pure.

    0 your organisation only     nobody but ourselves
    1 this community, 2 connected communities, 3 all: held until an operator says whom it means here
    4 sharing group              the target that an operator mapped to its uuid, else held
MISP never passes on a deletion and knows no expiry: what needs either is refused. Written is 4 with a group of exactly
the audience for AMBER and above, 1 for GREEN, 3 for CLEAR only. Sources: MISP core format; the MISP taxonomies.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from exchange.errors import BadLabel, MarkNotCarried
from exchange.names import PartyId
from exchange.policy.mappings import grading, pap, tlp
from exchange.policy.mappings.carry import in_words, partners_only, refuse_excluded, refuse_lost
from exchange.policy.mappings.together import Hold, Plain, PlainTarget, together
from exchange.policy.model import Label, Release, Tlp

OWN, COMMUNITY, CONNECTED, ALL, GROUP = range(5)
MEANING = {COMMUNITY: "this community only", CONNECTED: "connected communities", ALL: "all communities"}

OTHER_MARKINGS = ("acs-marking", "nato", "euci", "fr-classif", "data-classification", "iep", "iep2-policy")
"""Namespaces of markings that need more than their tags to be understood: whom they mean, how strict they are."""


@dataclass(frozen=True, slots=True)
class SharingGroup:
    """A sharing group with its body; a number alone means nothing elsewhere."""

    uuid: str
    organisations: tuple[str, ...]
    """Uuids."""


@dataclass(frozen=True, slots=True)
class MispHandling:
    """What an event says of who may have it; `words` go into a comment for people."""

    distribution: int
    group: SharingGroup | None = None
    tags: tuple[str, ...] = ()
    words: str = ""


def to_label_fields(event: MispHandling, *, groups: Mapping[str, PlainTarget]) -> Plain | Hold:
    """Return whom the event is for; `groups` are the targets that an operator mapped to the uuids of sharing groups.

    Raises:
        BadLabel: a tag or distribution that is not understood, or a sharing group without its body.
    """
    fields = of_tags(event.tags)
    match event.distribution:
        case 0:
            return {**fields, "release": {"to": []}}
        case 1 | 2 | 3:
            return Hold(f"distribution {event.distribution}: {MEANING[event.distribution]}", fields)
        case 4:
            return _of_group(event.group, fields, groups)
    raise BadLabel(f"MISP has no distribution {event.distribution}", place="distribution", hint="0 to 4")


def _of_group(group: SharingGroup | None, fields: Plain, groups: Mapping[str, PlainTarget]) -> Plain | Hold:
    if group is None:
        raise BadLabel("a sharing group without its body", place="distribution", hint="export it with its group")
    if group.uuid not in groups:
        return Hold(f"the sharing group {group.uuid} stands for nobody here", fields)
    return {**fields, "release": {"to": [groups[group.uuid]]}}


def of_tags(tags: Iterable[str]) -> Plain:
    """Return what the tags of an event say; an attribute's tags go with its event's, the stricter winning.

    Raises:
        BadLabel: a marking that is not understood.
    """
    given = list(tags)
    for tag in given:
        namespace = tag.partition(":")[0].lower()
        if namespace in OTHER_MARKINGS:
            raise BadLabel(f"the marking {tag[:80]!r} needs an operator", place="tags", hint="label it by hand")
    marks = {name: [tag for tag in given if tag.lower().startswith(f"{name}:")] for name in ("tlp", "pap")}
    return together(tlp.to_label_fields(marks["tlp"]), pap.to_label_fields(marks["pap"]), grading.of_misp_tags(given))


def from_label(
    label: Label, release: Release, *, now_ms: int, organisations: Mapping[PartyId, str], group_uuid: str
) -> MispHandling:
    """Return the distribution and tags under which a report may leave as MISP.

    `group_uuid` names the group to make of exactly its recipients, by the uuids of their `organisations`.

    Raises:
        MarkNotCarried: the label asks for what MISP does not keep, or a recipient is no organisation there.
    """
    refuse_lost(label, release, scheme="MISP", now_ms=now_ms, carried=("release.to",))
    level = tlp.level_for(label)
    tags = [f"tlp:{level.word}", pap.from_label(label)]
    rated = grading.from_label(label, "admiralty") if label.grading else None
    if rated is not None:
        tags.append(f'admiralty-scale:source-reliability="{rated.source.lower()}"')
        tags.append(f'admiralty-scale:information-credibility="{rated.info}"')
    words = " ".join(in_words(label, carried=("actions",)))
    if not release.to:
        return MispHandling(OWN, None, tuple(tags), words)
    if level <= Tlp.GREEN:
        refuse_excluded(release, scheme="MISP")
        distribution = ALL if level is Tlp.CLEAR else COMMUNITY
        return MispHandling(distribution, None, tuple(tags), words)
    named = partners_only(release, scheme="MISP")
    unknown = [party for party in named if PartyId(party) not in organisations]
    if unknown:
        raise MarkNotCarried(f"{unknown[0]} is no organisation there", place="release.to", hint="add it to the table")
    if not named:
        return MispHandling(OWN, None, tuple(tags), words)
    group = SharingGroup(group_uuid, tuple(sorted(organisations[PartyId(party)] for party in named)))
    return MispHandling(GROUP, group, tuple(tags), words)
