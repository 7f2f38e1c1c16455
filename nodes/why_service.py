"""The part of NodeService that explains decisions."""

import re
from collections.abc import Mapping
from functools import partial

from exchange.errors import NotFound
from exchange.names import HASH_BYTES, PartyId, party_id
from exchange.policy.decision import Decision, Finding
from exchange.policy.explain import duties, sentence
from exchange.policy.remedies import remedy
from nodes.caller import Caller
from nodes.core import Core
from nodes.decisions import Stage, in_short
from nodes.evidence import write_evidence
from nodes.shelf import Shelf
from nodes.store import decisions as store
from nodes.titles import Titles
from nodes.v1 import holding_pb2 as pb
from nodes.why import RelayRefused, Told, Why, evidence_of, why

NOW = "now"

_ITEM = re.compile(rf"[0-9a-f]{{{2 * HASH_BYTES}}}")


class WhyMethods:
    """Why a report went to a partner, or did not, as NodeService has it."""

    def __init__(self, core: Core, shelf: Shelf, titles: Titles) -> None:
        """Call these use cases."""
        self._core = core
        self._shelf = shelf
        self._titles = titles

    async def why(self, request: pb.WhyReportRequest, *, caller: Caller) -> pb.WhyReportResponse:
        """Explain."""
        partner = party_id(request.partner)
        try:
            found = await why(self._core, self._shelf, await self._shelf.cleared(caller, request.id), partner)
        except NotFound:
            denied = await self._denied(request.id, partner, caller)
            if denied is None:
                raise
            found = denied
        shown = [each.decision for each in found.told] + ([found.now] if found.now is not None else [])
        titles = await self._titles.of(each.basis.id for each in shown if each.basis)
        made = [_told(each, titles) for each in found.told]
        if found.now is not None and _differs(found):
            made.append(_decision(NOW, found.now, titles, at_ms=self._core.clock(), size=self._core.trust.now.size))
        return pb.WhyReportResponse(
            item=found.item.hex(),
            partner=found.partner,
            decisions=made,
            refusals=[_refusal(each) for each in found.refusals],
            evidence=write_evidence(await evidence_of(self._core, found)) if request.evidence else "",
        )

    async def _denied(self, name: str, partner: PartyId, caller: Caller) -> Why | None:
        """Return why a delivery was denied, which is therefore no report here, if the caller could read that report."""
        if not _ITEM.fullmatch(name):
            return None
        item = bytes.fromhex(name)
        if not await self._core.database.read(partial(store.is_denied, item=item)):
            return None
        found = await why(self._core, self._shelf, item, partner)
        labels = [told.question.item.label for told in found.told]
        readable = all(label is not None and self._shelf.reads(caller, label) for label in labels)
        return found if labels and readable else None


def _differs(found: Why) -> bool:
    """Say whether the decision would be another one now than the last that counted."""
    last = [each for each in found.told if each.stage is not Stage.ARRIVED][-1:]
    return not last or found.now is None or in_short(found.now).reasons != last[0].answer.reasons


def _told(told: Told, titles: Mapping[bytes, str]) -> pb.WhyDecision:
    made = _decision(told.stage, told.decision, titles, at_ms=told.question.now_ms, size=told.directory_size)
    made.role, made.same = told.question.role.value, told.same
    return made


def _decision(stage: str, decision: Decision, titles: Mapping[bytes, str], *, at_ms: int, size: int) -> pb.WhyDecision:
    basis = decision.basis
    return pb.WhyDecision(
        stage=stage,
        role="sender",
        at_ms=at_ms,
        directory_size=size,
        permit=decision.permit,
        agreement=titles.get(basis.id, basis.id.hex()[:12]) if basis else "",
        clause=decision.clause,
        via=decision.via,
        findings=[_finding(finding) for finding in decision.findings],
        obligations=duties(decision.obligations) if decision.obligations else [],
        same=True,
    )


def _finding(finding: Finding) -> pb.WhyFinding:
    return pb.WhyFinding(
        step=finding.step.value,
        name=finding.step.name.lower().replace("_", " "),
        outcome=finding.outcome.value,
        code=str(finding.reason or ""),
        text=sentence(finding) if finding.reason is not None else "",
        remedy=remedy(finding.reason) if finding.reason is not None else "",
    )


def _refusal(refused: RelayRefused) -> pb.WhyRefusal:
    refusal = refused.refusal
    return pb.WhyRefusal(
        at_ms=refusal.refused_ms,
        reason=refusal.reason,
        clause=refusal.clause,
        directory_size=refusal.directory_size,
        verdict=refused.verdict,
    )
