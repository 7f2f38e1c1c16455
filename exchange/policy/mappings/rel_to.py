"""Dissemination controls of Five Eyes and NATO: REL TO, NOFORN, EYES ONLY, ORCON, DISPLAY ONLY, third-party rule. Pure.

They speak of `release`, `orcon` and `onward`, and the banner's other parts of `national`. Codes stand for countries or
alliances (USA, FVEY, NATO); an operator says which partners are meant by them, and a code without partners is refused.
Without any control nobody is released to, and the third-party rule holds: passing on needs the originator's consent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exchange.errors import BadLabel, MarkNotCarried
from exchange.names import PartyId
from exchange.policy.mappings.carry import partners_only
from exchange.policy.mappings.together import Plain
from exchange.policy.model import Label, OnwardRule, Release

CONTROLS = {"NOFORN": "noforn", "NF": "noforn", "ORCON": "orcon", "OC": "orcon", "THIRD PARTY RULE": "third_party_rule"}
LISTS = {"REL TO ": "rel_to", "DISPLAY ONLY ": "display_only"}
EYES_ONLY = " EYES ONLY"


@dataclass(frozen=True, slots=True)
class Dissemination:
    """The controls of one marking; lists hold codes."""

    rel_to: tuple[str, ...] = ()
    eyes_only: tuple[str, ...] = ()
    display_only: tuple[str, ...] = ()
    noforn: bool = False
    orcon: bool = False
    third_party_rule: bool = False

    @property
    def words(self) -> str:
        """The controls as a banner has them."""
        told = [word for word, on in (("ORCON", self.orcon), ("NOFORN", self.noforn)) if on]
        told += [f"REL TO {', '.join(self.rel_to)}"] if self.rel_to else []
        told += [f"{'/'.join(self.eyes_only)}{EYES_ONLY}"] if self.eyes_only else []
        told += [f"DISPLAY ONLY {', '.join(self.display_only)}"] if self.display_only else []
        told += ["THIRD PARTY RULE"] if self.third_party_rule else []
        return "//".join(told)


@dataclass(frozen=True, slots=True)
class Banner:
    """A whole marking line: the classification, what is not a dissemination control (verbatim), and the controls."""

    classification: str
    caveats: tuple[str, ...]
    controls: Dissemination


def parse(banner: str) -> Banner:
    """Return what a line such as `SECRET//SI//ORCON//REL TO USA, GBR` says.

    Raises:
        BadLabel: no classification, or one list twice.
    """
    classification, *parts = [part.strip() for part in banner.split("//")]
    if not classification:
        raise BadLabel("the marking has no classification", place="national", hint="as in SECRET//REL TO USA, GBR")
    found: dict[str, tuple[str, ...] | bool] = {}
    caveats: list[str] = []
    for part in parts:
        if part.endswith(EYES_ONLY):
            _put(found, "eyes_only", _codes(part[: -len(EYES_ONLY)]))
            continue
        for word in (each.strip() for each in part.split("/")):
            name = next((name for start, name in LISTS.items() if word.startswith(start)), "")
            if name:
                _put(found, name, _codes(word.split(maxsplit=2)[2]))
            elif word in CONTROLS:
                found[CONTROLS[word]] = True
            else:
                caveats.append(word)
    return Banner(classification, tuple(caveats), Dissemination(**found))  # type: ignore[arg-type]  # by name


def to_label_fields(
    controls: Dissemination, *, partners: Mapping[str, Sequence[PartyId]], national: Plain | None = None
) -> Plain:
    """Return whom it may go to; `national` is the marking to keep beside it.

    Raises:
        BadLabel: a code that stands for nobody here, or NOFORN beside a list of others.
    """
    listed = (*controls.rel_to, *controls.eyes_only, *controls.display_only)
    if controls.noforn and listed:
        raise BadLabel("NOFORN and a list of others contradict each other", place="release", hint="ask who marked it")
    shown = _partners(controls.display_only, partners)
    full = _partners((*controls.rel_to, *controls.eyes_only), partners)
    fields: Plain = {
        "release": {"to": sorted({*full, *shown}), "display_only": sorted(shown - full)},
        "onward": "none" if controls.noforn or controls.eyes_only else "consent",
    }
    if controls.orcon:
        fields["orcon"] = True
    return {**fields, "national": national} if national else fields


def of_banner(banner: str, *, policy: str, partners: Mapping[str, Sequence[PartyId]]) -> Plain:
    """Return the fields of a whole marking line, the line itself kept verbatim in `national`; BadLabel as above."""
    found = parse(banner)
    kept = {"policy": policy, "classification": found.classification, "caveats": [*found.caveats]}
    if found.controls.words:
        kept["caveats"].append(found.controls.words)  # type: ignore[attr-defined]  # the list just made
    return to_label_fields(found.controls, partners=partners, national=kept)


def from_label(label: Label, release: Release, *, codes: Mapping[PartyId, str]) -> Dissemination:
    """Return the controls that reach no more than the release does.

    Raises:
        MarkNotCarried: a partner without a code, or a code that stands for others too.
    """
    named = set(partners_only(release, scheme="REL TO"))
    found: dict[str, bool] = {}
    for party in sorted(named):
        code = codes.get(PartyId(party), "")
        if not code:
            raise MarkNotCarried(f"no code stands for {party}", place="release.to", hint="add it to the table of codes")
        beyond = sorted(other for other, its in codes.items() if its == code and other not in named)
        if beyond:
            raise MarkNotCarried(
                f"{code} also stands for {', '.join(beyond)}",
                place="release.to",
                hint="name all partners of it, or none",
            )
        # One that may only look makes it so for the whole code.
        found[code] = found.get(code, False) or party in release.display_only
    full = tuple(code for code, shown in found.items() if not shown)
    closed = label.onward is OnwardRule.NONE
    if closed and named and not full:
        raise MarkNotCarried(
            "DISPLAY ONLY alone does not forbid passing it on",
            place="onward",
            hint="send it inside the exchange instead",
        )
    return Dissemination(
        rel_to=() if closed else full,
        eyes_only=full if closed else (),
        display_only=tuple(code for code, shown in found.items() if shown),
        noforn=not named,
        orcon=label.orcon,
        third_party_rule=not closed,
    )


def _codes(text: str) -> tuple[str, ...]:
    return tuple(code for code in text.replace("/", " ").replace(",", " ").split() if code != "AND")


def _put(found: dict[str, tuple[str, ...] | bool], name: str, codes: tuple[str, ...]) -> None:
    if name in found or not codes:
        raise BadLabel(f"{name}: one list is expected", place="release", hint="as in REL TO USA, GBR")
    found[name] = codes


def _partners(codes: Iterable[str], partners: Mapping[str, Sequence[PartyId]]) -> set[PartyId]:
    found: set[PartyId] = set()
    for code in codes:
        if not partners.get(code):
            raise BadLabel(f"no partner is known for {code[:20]}", place="release", hint="add it to the table of codes")
        found.update(partners[code])
    return found
