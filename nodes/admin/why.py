"""How the explanation of a decision looks to a person."""

from nodes.admin import output
from nodes.v1.holding_pb2 import WhyDecision, WhyRefusal, WhyReportResponse

_STAGES = {
    "pushed": "when it was pushed",
    "sealed": "when it was sealed",
    "arrived": "when it arrived here",
    "now": "as it would be decided now",
}
_VERDICTS = {
    "holds": "the rules refuse it as well",
    "unexplained": "the rules permit it; a prekey that changed at that moment would explain it",
    "wrong": "the relay is wrong: the rules as of its directory size do not refuse that; keep the evidence: --out FILE",
}


def why_view(reply: WhyReportResponse) -> None:
    """Tell each decision, step by step, then what the relay said."""
    output.fields({"item": reply.item, "partner": reply.partner})
    for decision in reply.decisions:
        output.data("")
        _decision(decision)
    if not reply.decisions:
        output.say("no decision on this partner counts: the report was not for it")
    for refusal in reply.refusals:
        output.data("")
        _refusal(refusal)


def _decision(decision: WhyDecision) -> None:
    by = ", ".join(part for part in (decision.agreement, decision.clause, decision.via) if part)
    output.fields(
        {
            _STAGES[decision.stage]: f"{'permitted' if decision.permit else 'denied'}{f' by {by}' if by else ''}",
            "decided": f"{output.when(decision.at_ms)}, as {decision.role}, directory size {decision.directory_size}",
        }
    )
    rows = [
        (
            str(f.step),
            f.name,
            f.outcome,
            f.text or "nothing against it" if f.outcome == "pass" else f.text or "-",
            f.remedy or "-",
        )
        for f in decision.findings
    ]
    output.table(("step", "about", "result", "what was found", "what to do"), rows)
    for duty in decision.obligations:
        output.fields({"duty": duty})
    if not decision.same:
        output.say("computed again it is something else: this node knew other agreements then, or its files are wrong")


def _refusal(refusal: WhyRefusal) -> None:
    clause = f", clause {refusal.clause}" if refusal.clause else ""
    output.fields(
        {
            "the relay refused": f"{refusal.reason}{clause}",
            "signed": f"{output.when(refusal.at_ms)}, directory size {refusal.directory_size}",
            "by the rules": _VERDICTS[refusal.verdict],
        }
    )
