"""Why a report went to a partner, or did not: told step by step, and computed again by anyone from an evidence file."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from exchange.crypto.signed import sign
from exchange.errors import BadName, NotFound
from exchange.names import party_id
from exchange.policy.decision import Reason, Role
from exchange.policy.model import Purpose
from exchange.receipts.codec import decode_promise, encode_refusal
from exchange.receipts.model import Refusal
from nodes.caller import the_owner
from nodes.consenting import Wish
from nodes.decisions import Stage
from nodes.evidence import Evidence, read_evidence, write_evidence
from nodes.evidence_check import Result, check_evidence
from nodes.keeping import purge
from nodes.obligations import ASIDE_KEPT_MS
from nodes.parts import Node
from nodes.refusals import Verdict
from nodes.relay_port import Answered, Outcome
from nodes.store import decisions as store
from nodes.store import receiving
from nodes.store.rows import ItemState, Reach
from nodes.v1 import holding_pb2 as pb
from nodes.why import Why, evidence_of, why
from nodes.why_service import WhyMethods
from tests.support.consent_world import arrived, ask, push_onward
from tests.support.directory_builders import EXCHANGE, ed25519
from tests.support.node_world import (
    nodes,
    open_alarms,
    push,
    reached,
    receipted,
    stored,
    until,
)

PROMISE = ed25519("relay/promise")


async def asked(node: Node, item: bytes, partner: str) -> Why:
    return await why(node.core, node.shelf, item, party_id(partner))


async def written(node: Node, found: Why) -> Evidence:
    """Return the evidence as somebody else reads it from the file."""
    return read_evidence(write_evidence(await evidence_of(node.core, found)))


def results(evidence: Evidence) -> dict[str, Result]:
    return {check.what.split(":")[0]: check.result for check in check_evidence(evidence)}


async def test_the_sender_tells_each_decision_that_counted_and_an_auditor_computes_it_again() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        got = await asked(node, sent.item, "XV")
        assert [(each.stage, each.decision.permit, each.same) for each in got.told] == [
            (Stage.PUSHED, True, True),
            (Stage.SEALED, True, True),
        ]
        assert got.now is not None and got.now.permit
        denied = await asked(node, sent.item, "XO")
        (told,) = denied.told
        assert (told.stage, told.decision.reasons) == (Stage.PUSHED, [Reason.NOT_IN_AUDIENCE])
        for found in (got, denied):
            evidence = await written(node, found)
            checks = results(evidence)
            assert checks["decision 1"] is Result.HOLDS and Result.FAILS not in checks.values()
            assert checks["label"] is Result.HOLDS and checks["release"] is Result.HOLDS
            assert [result for what, result in checks.items() if what.startswith("agreement")] == [Result.HOLDS]
            assert checks["directory"] is Result.NOT_CHECKED


async def test_the_recipient_tells_why_it_took_a_report_and_its_evidence_shows_no_audience() -> None:
    async with nodes("XA", "XV") as (_, running):
        sent = await push(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        for partner in ("XA", "XV"):
            found = await asked(running["XV"], sent.item, partner)
            (told,) = found.told
            assert (told.stage, told.question.role, told.same) == (Stage.ARRIVED, Role.RECIPIENT, True)
            assert told.question.item.release is None
        evidence = await written(running["XV"], found)
        assert results(evidence)["decision 1"] is Result.HOLDS
        onward = await asked(running["XV"], sent.item, "XO")
        assert onward.told == [] and onward.now is not None
        assert {Reason.ONWARD_FORBIDDEN, Reason.CONSENT_MISSING} & set(onward.now.reasons)


async def test_what_is_passed_on_is_explained_with_the_grants_that_it_rests_on() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        originator, holder = running["XA"], running["XV"]
        sent = await push_onward(originator, "XV")
        await receipted(originator, sent.item, "XV")
        request = await ask(holder, sent.item, "XT")
        await arrived(originator, request.hash)
        await originator.consenting.grant(request.hash, Wish(purposes=(Purpose.PROTECT_LIFE,)), caller=the_owner())
        await receipted(holder, sent.item, "XT")
        found = await asked(holder, sent.item, "XT")
        (told,) = found.told
        assert (told.stage, told.question.role, told.decision.permit, told.same) == (
            Stage.SEALED,
            Role.SENDER,
            True,
            True,
        )
        assert told.decision.grants and found.now is not None and found.now.permit
        checks = results(await written(holder, found))
        assert checks["decision 1"] is Result.HOLDS and Result.FAILS not in checks.values()
        (arrival,) = (await asked(running["XT"], sent.item, "XV")).told
        assert arrival.same and arrival.decision.grants == told.decision.grants


async def test_an_evidence_file_that_says_something_else_is_found_out() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        evidence = await written(node, await asked(node, sent.item, "XO"))
        (decision,) = evidence.decisions
        lie = replace(decision, answer=decision.answer._replace(permit=True, reasons=()))
        assert results(replace(evidence, decisions=(lie,)))["decision 1"] is Result.FAILS
        label = decision.question.item.label
        assert label is not None
        wider = replace(
            decision.question, item=replace(decision.question.item, label=replace(label, orcon=not label.orcon))
        )
        assert results(replace(evidence, decisions=(replace(decision, question=wider),)))["label"] is Result.FAILS
        roots = {party: evidence.roots[party_id("XA")] for party in evidence.roots}
        assert Result.FAILS in results(replace(evidence, roots=roots)).values()
        assert Result.FAILS not in results(replace(evidence, views=())).values()


async def test_a_partner_that_does_not_exist_is_answered_like_any_other_and_an_item_that_does_not_like_one_denied() -> (
    None
):
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        methods = WhyMethods(node.core, node.shelf, node.titles)
        nobody = await methods.why(pb.WhyReportRequest(id=sent.item.hex(), partner="ZZ"), caller=the_owner())
        assert [each.stage for each in nobody.decisions] == ["now"] and not nobody.decisions[0].permit
        codes = [each.code for each in nobody.decisions[0].findings if each.outcome == "fail"]
        assert str(Reason.RECIPIENT_UNKNOWN) in codes
        with pytest.raises(BadName):
            await methods.why(pb.WhyReportRequest(id=sent.item.hex(), partner="nobody"), caller=the_owner())
        with pytest.raises(NotFound):
            await methods.why(pb.WhyReportRequest(id=bytes(32).hex(), partner="XV"), caller=the_owner())
        told = await methods.why(
            pb.WhyReportRequest(id=sent.item.hex(), partner="XV", evidence=True), caller=the_owner()
        )
        assert [each.stage for each in told.decisions] == ["pushed", "sealed"]
        assert len({finding.step for finding in told.decisions[0].findings}) == 10
        assert read_evidence(told.evidence).item == sent.item


async def test_what_the_decision_would_be_now_is_told_when_it_is_another() -> None:
    async with nodes("XA", "XV") as (world, running):
        node = running["XA"]
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        await world.suspend("XV")
        methods = WhyMethods(node.core, node.shelf, node.titles)

        async def changed() -> bool:
            reply = await methods.why(pb.WhyReportRequest(id=sent.item.hex(), partner="XV"), caller=the_owner())
            last = reply.decisions[-1]
            return last.stage == "now" and not last.permit

        await until(changed, "the suspension is not told")


async def test_a_delivery_that_was_denied_is_explained_by_its_item_until_it_is_dropped() -> None:
    async with nodes("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        take = recipient.receiver.take

        async def late(frame: Any) -> object:
            """Take what the relay accepted in time after it has expired."""
            await until(lambda: recipient.core.clock() > expires_ms, "time stands still")
            return await take(frame)

        recipient.receiver.take = late  # type: ignore[method-assign,assignment]
        expires_ms = sender.core.clock() + 2_000
        sent = await push(sender, "XV", more="time: {expires_at: +2s}")
        await reached(sender, sent.item, "XV", Reach.REFUSED)
        assert await stored(recipient, sent.item) is None
        reply = await WhyMethods(recipient.core, recipient.shelf, recipient.titles).why(
            pb.WhyReportRequest(id=sent.item.hex(), partner="XA", evidence=True), caller=the_owner()
        )
        (decision,) = reply.decisions
        assert (decision.stage, decision.role, decision.permit, decision.same) == ("arrived", "recipient", False, True)
        assert Reason.EXPIRED in [each.code for each in decision.findings]
        assert results(read_evidence(reply.evidence))["decision 1"] is Result.HOLDS
        assert await recipient.core.keybox.keys([sent.item])
        await recipient.obligations._drop_denied(recipient.core.clock() + ASIDE_KEPT_MS)
        assert await recipient.core.keybox.keys([sent.item]) == {}
        assert await recipient.core.database.read(partial(store.decisions_of, item=sent.item)) == []
        assert await recipient.core.database.read(receiving.list_set_aside)


async def test_decisions_are_destroyed_with_their_report() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        await purge(node.core, sent.item, who="desk", hurry=node.obligations.hurry)

        async def gone() -> bool:
            report = await stored(node, sent.item)
            return report is not None and report.state is ItemState.PURGED

        await until(gone, "it is not destroyed")
        assert await node.core.database.read(partial(store.decisions_of, item=sent.item)) == []
        with pytest.raises(NotFound, match="destroyed"):
            await asked(node, sent.item, "XV")


# -- a relay that refuses wrongly --------------------------------------------------------------------------------------


def refusing(node: Node, **says: Any) -> None:
    """Let the relay refuse the first envelope with a report that this node sends, in words that it signs."""
    submit = node.relay.submit
    refused: list[Outcome] = []

    async def lying(frames: Any) -> Any:
        async for answered in submit(frames):
            outcomes = []
            for outcome in answered.outcomes:
                promised = outcome.answer.payload_type.endswith("promise.v1+protobuf")
                if promised and not refused and node.sender.unanswered:
                    refused.append(outcome)
                    outcomes.append(_refusal(outcome, says))
                else:
                    outcomes.append(outcome)
            yield Answered(answered.number, outcomes)

    node.relay.submit = lying  # type: ignore[method-assign]


def _refusal(outcome: Outcome, says: dict[str, Any]) -> Outcome:
    promise = decode_promise(outcome.answer.payload)
    usual = Refusal(
        exchange=EXCHANGE,
        envelope_hash=promise.envelope_hash,
        reason=Reason.TLP_ABOVE_AGREEMENT,
        step=12,
        clause="1",
        recipient="XV",
        directory_size=promise.directory_size,
        refused_ms=promise.received_ms,
        salt=bytes(16),
    )
    signed = sign(PROMISE, "refusal", encode_refusal(replace(usual, **says)), context=EXCHANGE)
    return Outcome(signed, b"")


async def test_a_relay_that_refuses_what_the_rules_permit_has_signed_the_proof() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        refusing(node)
        sent = await push(node, "XV")
        await reached(node, sent.item, "XV", Reach.REFUSED)

        async def rings() -> bool:
            return "relay" in await open_alarms(node)

        await until(rings, "no alarm")
        found = await asked(node, sent.item, "XV")
        (refused,) = found.refusals
        assert (refused.refusal.reason, refused.verdict) == (Reason.TLP_ABOVE_AGREEMENT, Verdict.WRONG)
        evidence = await written(node, found)
        assert results(evidence)["refusal 1"] is Result.WRONG
        assert results(evidence)["label"] is Result.HOLDS
        # Nobody can put such words into the relay's mouth.
        (kept,) = evidence.refusals
        forged = sign(ed25519("XA/envelope"), "refusal", kept.statement.payload, context=EXCHANGE)
        assert results(replace(evidence, refusals=(replace(kept, statement=forged),)))["refusal 1"] is Result.FAILS
        reply = await WhyMethods(node.core, node.shelf, node.titles).why(
            pb.WhyReportRequest(id=sent.item.hex(), partner="XV"), caller=the_owner()
        )
        assert [each.verdict for each in reply.refusals] == ["wrong"]


async def test_a_relay_that_says_only_not_deliverable_is_not_called_a_liar() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        refusing(node, reason="NOT_DELIVERABLE", recipient="", clause="")
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")  # the node tries again

        async def judged() -> bool:
            found = await asked(node, sent.item, "XV")
            return [each.verdict for each in found.refusals] == [Verdict.UNEXPLAINED]

        await until(judged, "the refusal is not judged")
        await node.auditor._judge_refusals()
        assert "relay" not in await open_alarms(node)
