"""An agreement as people see it before they sign: what it permits, what only people can keep, and what changes.

Everything that a text says is shown: nobody can sign what they did not see.
"""

from collections.abc import Sequence

from exchange.policy.agreement import Term, promises_in
from exchange.policy.agreement_diff import Difference, accession_words
from exchange.policy.agreement_lint import LintWarning
from exchange.policy.agreement_text import AgreementTerms
from exchange.policy.breadth import Effect
from nodes.admin import output
from nodes.v1 import agreements_pb2 as pb


def show_standing(summary: pb.AgreementSummary) -> None:
    """Show how an agreement stands, and what became of it after its signatures."""
    output.fields(
        {
            "agreement": summary.id,
            "status": summary.status,
            "in force for": ", ".join(summary.parties) or "nobody",
            **({"suspended by": ", ".join(summary.suspended)} if summary.suspended else {}),
            **({"left by": ", ".join(summary.left)} if summary.left else {}),
            **({"still to sign": ", ".join(summary.missing)} if summary.missing else {}),
            "commitment": summary.stands,
        }
    )
    if summary.events:
        output.data("")
        columns = ("when", "party", "said", "counts", "acknowledged by", "waiting for", "why")
        output.table(columns, [_event(event) for event in summary.events])
    output.data("")


def _event(event: pb.AgreementEvent) -> tuple[str, ...]:
    return (
        output.when(event.at_ms),
        event.party,
        event.action,
        "yes" if event.counts else "not yet",
        ", ".join(event.acknowledged) or "-",
        "you" if event.acknowledge else ", ".join(event.waiting) or "-",
        event.text or "-",
    )


def show_terms(terms: AgreementTerms) -> None:
    """Show what a text permits, clause by clause, and what only people can keep."""
    output.fields(
        {
            "title": terms.title,
            "version": str(terms.version),
            "parties": ", ".join(terms.parties),
            "may accede": accession_words(terms),
            "rests on": f"{terms.legal_basis.kind}: {terms.legal_basis.citation}",
            "in force": f"{output.when(terms.valid_from_ms)} to {output.when(terms.valid_until_ms)}",
        }
    )
    rows = [_term(term) for term in terms.terms]
    output.table(("clause", "from", "to", "up to", "categories", "purposes", "personal data", "places"), rows)
    output.data("")
    columns = (
        "clause",
        "use in",
        "actions",
        "onward",
        "hops",
        "cleared in advance",
        "as evidence",
        "national",
        "approvals",
        "kept",
    )
    output.table(columns, [_limits(term) for term in terms.terms])
    for promise in promises_in(terms):
        output.data(f"only people can keep: {output.printable(promise)}")


def _limits(term: Term) -> tuple[str, ...]:
    national = (f"{each.policy_id}: {', '.join(each.classifications)}" for each in term.national)
    return (
        term.clause,
        ", ".join(term.use_in) or "any",
        term.actions_max.word,
        term.onward_default.word,
        str(term.onward_hops or "-"),
        ", ".join(term.pre_cleared) or "-",
        term.evidence_use.word,
        "; ".join(national) or "-",
        str(term.approvals),
        f"{term.retention_max_days} days" if term.retention_max_days else "unlimited",
    )


def _term(term: Term) -> tuple[str, ...]:
    return (
        term.clause,
        ", ".join(term.senders) or "any",
        ", ".join(term.recipients) or "any",
        f"TLP:{term.ceiling.word.upper()}",
        ", ".join(c.word for c in term.categories if c not in term.denied_categories) or "none",
        ", ".join(p.word for p in term.purposes),
        term.personal_data.word + (", special categories too" if term.special_categories else ""),
        "any" if term.about_any else ", ".join(term.about),
    )


def show_warnings(warnings: Sequence[LintWarning]) -> None:
    """Tell what deserves a second look; nothing of it is refused."""
    for each in warnings:
        clause = f"clause {each.clause}: " if each.clause else ""
        output.say(f"warning: {f'{each.place}: ' if each.place else ''}{clause}{each.text}")


def show_differences(differences: Sequence[Difference], *, against: str) -> None:
    """Show what changes against another text, and whether it is wider."""
    rows = [
        (each.clause or "-", each.field or "clause", str(each.kind), each.before or "-", each.after or "-", _said(each))
        for each in differences
    ]
    columns = ("clause", "field", "change", "before", "after", "wider or narrower")
    output.table(columns, rows, title=f"against {against}", empty=f"nothing differs from {against}")


def _said(each: Difference) -> str:
    return "" if each.effect is Effect.OTHER else each.effect.value


def warning_json(each: LintWarning) -> dict[str, str]:
    """Return a warning for machines."""
    return {"code": each.code, "place": each.place, "clause": each.clause, "text": each.text}


def difference_json(each: Difference) -> dict[str, str]:
    """Return a difference for machines."""
    return {
        "change": each.kind.value,
        "clause": each.clause,
        "field": each.field,
        "before": each.before,
        "after": each.after,
        "effect": each.effect.value,
    }
