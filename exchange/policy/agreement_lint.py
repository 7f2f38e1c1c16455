"""What is worth a second look in an agreement's text, before anybody signs it. Nothing here is refused.

Pure: the caller passes `now_ms`. A term is shadowed when an earlier one permits everything that it permits: the first
term that permits is the one that counts, so that such a term says nothing. Taking it away changes no decision
(tests/property/test_agreement_properties.py). A term that several earlier ones shadow only together is not found.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from exchange.names import PartyId
from exchange.policy.agreement_text import AgreementTerms
from exchange.policy.breadth import DUTY_FIELDS, PARTY_FIELDS, TERM_FIELDS, allowed
from exchange.policy.terms import PersonalDataRule, Term

DAY_MS = 24 * 60 * 60 * 1000
SOON_DAYS = 60


@dataclass(frozen=True, slots=True)
class LintWarning:
    """One thing to look at. `code` is stable; `place` is a line, `clause` the term's when it is about one."""

    code: str
    place: str
    clause: str
    text: str


def lint(terms: AgreementTerms, *, now_ms: int) -> tuple[LintWarning, ...]:
    """Return what is worth a second look, in the order of the text."""
    found = [*_dates(terms, now_ms), *_parties(terms)]
    seen: set[str] = set()
    for number, term in enumerate(terms.terms):
        place = terms.places.get(f"terms[{number}]", "")
        found += [LintWarning(code, place, term.clause, said) for code, said in _term(terms, number, seen)]
        seen.add(term.clause)
    return tuple(found)


def _dates(terms: AgreementTerms, now_ms: int) -> Iterator[LintWarning]:
    until = terms.valid_until_ms
    place = terms.places.get("valid", "")
    if 0 < until <= now_ms:
        yield LintWarning("LAPSED", place, "", "it has lapsed already: nothing may flow under it")
    elif 0 < until < now_ms + SOON_DAYS * DAY_MS:
        days = (until - now_ms) // DAY_MS
        yield LintWarning("LAPSES_SOON", place, "", f"it lapses in {days} days")
    if 0 < terms.legal_basis.review_on_ms <= now_ms:
        place = terms.places.get("legal_basis", "")
        yield LintWarning("REVIEW_DUE", place, "", "the day has passed on which its legal basis was to be reviewed")


def _parties(terms: AgreementTerms) -> Iterator[LintWarning]:
    if terms.anyone_may_accede:
        said = "every party of the exchange can make itself a party of it, by its own signature alone"
        yield LintWarning("ANYONE_MAY_ACCEDE", terms.places.get("accession", ""), "", said)
    everybody = _universe(terms)
    for field in ("parties", "may_accede"):
        place = terms.places.get("accession" if field == "may_accede" else field, "")
        for name in getattr(terms, field):
            if not any(_names(term, name, everybody) for term in terms.terms):
                said = f"{name} neither sends nor receives under any clause"
                yield LintWarning("PARTY_WITHOUT_TERM", place, "", said)


def _names(term: Term, name: PartyId, everybody: Collection[PartyId] | None) -> bool:
    """Say whether a party sends or receives anything under a term that can match."""
    sends, receives = (not side or name in side for side in (term.senders, term.recipients))
    return (sends and _others(term.recipients, name, everybody)) or (
        receives and _others(term.senders, name, everybody)
    )


def _others(side: Collection[PartyId], name: PartyId, everybody: Collection[PartyId] | None) -> bool:
    found = side or everybody
    return found is None or any(other != name for other in found)


def _universe(terms: AgreementTerms) -> frozenset[PartyId] | None:
    """Return everybody who can be a party; None where anyone can."""
    return None if terms.anyone_may_accede else frozenset({*terms.parties, *terms.may_accede})


def _term(terms: AgreementTerms, number: int, seen: Collection[str]) -> Iterator[tuple[str, str]]:
    term, everybody = terms.terms[number], _universe(terms)
    if term.clause in seen:
        yield "CLAUSE_TWICE", "another term has this clause too: a refusal that names it could mean either"
    if not allowed(term):
        yield "NEVER_MATCHES", "it can never match: every category that it allows is denied"
    elif not _matches_somebody(term, everybody):
        yield "NEVER_MATCHES", "it can never match: nobody sends to anybody else under it"
    else:
        for earlier in terms.terms[:number]:
            if shadows(earlier, term, everybody):
                yield "SHADOWED", _shadowed(earlier, term)
                break
    if named := [name for name in term.pre_cleared if name in (everybody or terms.parties)]:
        yield "PRE_CLEARED_PARTY", f"{', '.join(named)} is a party: clearing it in advance gives it nothing"
    if term.personal_data is PersonalDataRule.ALLOWED and not term.retention_max_days:
        yield "PERSONAL_DATA_UNLIMITED", "personal data may be kept without limit"


def _matches_somebody(term: Term, everybody: Collection[PartyId] | None) -> bool:
    senders, recipients = (side or everybody for side in (term.senders, term.recipients))
    if senders is None or recipients is None:
        return True
    return any(sender != recipient for sender in senders for recipient in recipients)


def shadows(earlier: Term, later: Term, everybody: Collection[PartyId] | None) -> bool:
    """Say whether `earlier` permits everything that `later` permits, between the same partners.

    `everybody` holds all who can be parties; None where anyone can. Bounds on what a recipient may do are left out: the
    first term that permits counts, also where a later one would permit more to be done.
    """
    judged = (field for field in TERM_FIELDS if field.name not in PARTY_FIELDS | DUTY_FIELDS)
    return all(field.within(later, earlier) for field in judged) and _directions(earlier, later, everybody)


def _directions(earlier: Term, later: Term, everybody: Collection[PartyId] | None) -> bool:
    """Say whether every (sender, recipient) of `later` is one of `earlier`; nobody sends to itself."""
    senders, recipients = (side or everybody for side in (later.senders, later.recipients))
    if senders is None or recipients is None:
        return all(
            not wide or (narrow and set(narrow) <= set(wide))
            for narrow, wide in ((later.senders, earlier.senders), (later.recipients, earlier.recipients))
        )
    for sender in senders:
        to = set(recipients) - {sender}
        if to and ((earlier.senders and sender not in earlier.senders) or not to <= set(earlier.recipients or to)):
            return False
    return True


def _shadowed(earlier: Term, later: Term) -> str:
    said = f"it never counts: clause {earlier.clause} comes first and permits everything that it permits"
    stricter = [field.name for field in TERM_FIELDS if field.name in DUTY_FIELDS and not field.within(later, earlier)]
    if not stricter:
        return said
    return f"{said}, with its own {', '.join(stricter)}, which stay stricter than what is written here"
