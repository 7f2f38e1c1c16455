"""A partner that lies with its own valid keys is refused, by whom and at which step, or exposed with evidence.

Each lie is told to an honest relay, which refuses what it can see; what it cannot see, or would let through if it
helped the liar, the recipient's own node refuses.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import sign
from exchange.directory import issue
from exchange.directory.statements import RevocationReason
from exchange.envelope.binding import item_hash
from exchange.envelope.codec import encode_report
from exchange.envelope.model import ENVELOPE_TYPE, EnvelopeKind, Lane
from exchange.errors import RateLimited
from exchange.names import exchange_name, party_id
from exchange.receipts.model import Promise, Refusal
from exchange.relay.config import RelaySettings
from exchange.runtime.clock import now_ms
from exchange.runtime.interceptors import from_rpc_error
from exchange.v1 import relay_service_pb2 as pb
from nodes.contradiction import Twice, check_contradiction, read_contradiction, write_contradiction
from nodes.evidence_check import Check
from nodes.parts import Node
from nodes.shown import ShownEnvelope
from nodes.store import receiving
from nodes.store.witnesses import kept_evidence
from tests.support.directory_builders import EXCHANGE
from tests.support.lying_partner import LyingPartner, collude, finished, with_header
from tests.support.node_world import NodeWorld, count_reports, nodes, open_alarms, push, ready, receipted, stored, until
from tests.support.relay_world import CALL_S, DAY_MS, settings
from tests.support.small_exchange import concord

import grpc.aio  # isort: skip - after exchange.runtime has set its environment

EXERCISE = "concord.example/exercise"


@dataclass(frozen=True, slots=True)
class Scene:
    """Honest XA and XV, and XO, who lies; XN takes nothing that is sent to it."""

    world: NodeWorld
    xa: Node
    xv: Node
    liar: LyingPartner


@asynccontextmanager
async def a_scene(given: RelaySettings | None = None) -> AsyncIterator[Scene]:
    """Run the scene; all have one agreement."""
    async with nodes("XA", "XV", also=["XO", "XN"], given=given) as (world, running):
        await ready(running["XA"], ["XV", "XO", "XN"])
        yield Scene(world, running["XA"], running["XV"], LyingPartner(world.relay.partners["XO"], running["XA"]))


async def aside(node: Node) -> list[tuple[int, str]]:
    """Return step and reason of what was set aside."""
    return [(each.step, each.reason) for each in await node.core.database.read(receiving.list_set_aside)]


async def is_aside(node: Node, *wanted: tuple[int, str]) -> None:
    """Wait until this, and nothing else, is set aside."""

    async def holds() -> bool:
        return await aside(node) == list(wanted)

    await until(holds, "it was not set aside")


async def refused(scene: Scene, submission: bytes) -> tuple[int, str]:
    """Submit what an honest relay must refuse; return step and reason."""
    (answer,) = await scene.liar.submit(submission)
    assert isinstance(answer, Refusal), "the relay promised it"
    return answer.step, answer.reason


async def let_through(scene: Scene, submission: bytes) -> None:
    """Submit what a relay cannot see through."""
    (answer,) = await scene.liar.submit(submission)
    assert isinstance(answer, Promise), answer


async def revoke(scene: Scene, key_id: bytes) -> None:
    """Let XO's root revoke a key; on return the honest nodes know."""
    keys = scene.liar.keys
    signed = issue.make_revocation(
        exchange=EXCHANGE,
        issuer=keys.party,
        party=keys.party,
        key_id=key_id,
        reason=RevocationReason.COMPROMISED,
        compromised_since_ms=now_ms() - DAY_MS,
        now_ms=now_ms(),
        key=keys.root,
    )
    size = scene.xv.core.trust.now.size
    request = pb.PublishStatementRequest(statement=encode_signed(signed))
    answer = await scene.liar.partner.stub.PublishStatement(request, timeout=CALL_S)
    assert answer.index >= size
    await scene.xv.core.trust.wait_for(answer.index + 1, CALL_S)


# -- another's report --------------------------------------------------------------------------------------------------


async def test_a_report_in_anothers_name_is_refused_by_the_recipient_at_step_8() -> None:
    async with a_scene() as scene:
        liar = scene.liar
        forged = liar.sign(liar.report("XV", originator=party_id("XA")))
        await let_through(scene, liar.seal(forged, "XV"))
        await is_aside(scene.xv, (8, "BAD_ENVELOPE"))
        assert await count_reports(scene.xv) == 0


async def test_an_envelope_in_anothers_name_is_refused_by_relay_and_recipient() -> None:
    """The relay knows who speaks by the certificate; the recipient by the header's key, whoever delivers it."""
    async with a_scene() as scene:
        liar = scene.liar
        forged = liar.prepare(liar.sign(liar.report("XV")), "XV", sender=party_id("XA"))
        submission = finished(forged, liar.keys.envelope)
        assert await refused(scene, submission) == (4, "BAD_ENVELOPE")
        await collude(scene.xv, submission)
        assert await aside(scene.xv) == [(2, "BAD_ENVELOPE")]


async def test_a_genuine_report_of_another_that_is_sealed_anew_is_refused_by_relay_or_recipient() -> None:
    """By the relay when the header says that its sender is not the originator, by the recipient when it hides that."""
    async with a_scene() as scene:
        sent = await push(scene.xa, "XO")
        (waiting,) = await scene.liar.partner.collect(1)
        _, body = scene.liar.open(waiting.delivery)
        genuine, liar = body.statement, scene.liar
        assert await refused(scene, liar.seal(genuine, "XV")) == (12, "CONSENT_MISSING")
        hidden = replace(liar.shown_label(genuine, now_ms() + DAY_MS), flags=0)
        await let_through(scene, liar.seal(genuine, "XV", label=hidden))
        await is_aside(scene.xv, (8, "BAD_ENVELOPE"))
        assert await stored(scene.xv, sent.item) is None


# -- wrapped again for a third party -----------------------------------------------------------------------------------


async def test_what_was_received_and_wrapped_for_a_third_party_is_refused_by_relay_and_third_party() -> None:
    """XA sealed for XO alone. XO makes a slot for XV with the content key, under XA's own header."""
    async with a_scene() as scene:
        await push(scene.xa, "XO")
        (waiting,) = await scene.liar.partner.collect(1)
        submission = scene.liar.wrap_again(waiting.delivery, "XV")
        assert await refused(scene, submission) == (4, "BAD_ENVELOPE")
        await collude(scene.xv, submission)
        assert await aside(scene.xv) == [(5, "BAD_ENVELOPE")]


# -- two things under one name -----------------------------------------------------------------------------------------


async def test_two_texts_under_one_envelope_id_are_refused_by_the_relay_and_proven_by_the_recipient() -> None:
    """The relay keeps both headers. If it lets the second through, the recipient holds the proof."""
    async with a_scene() as scene:
        liar, xv = scene.liar, scene.xv
        one = liar.prepare(liar.sign(liar.report("XV")), "XV")
        first = finished(one, liar.keys.envelope)
        second = liar.seal_under_id(liar.sign(liar.report("XV")), "XV", one)
        await let_through(scene, first)
        assert await refused(scene, second) == (0, "ENVELOPE_ID_REUSED")
        await held(xv, 1)
        await collude(xv, second)
        assert await rings(xv, "sender")
        assert await count_reports(xv) == 2, "both are kept"
        checks = await verified(xv)
        assert [check.result for check in checks] == ["holds", "holds", "holds", "not checked"]
        assert "two envelopes under one envelope-id" in checks[2].detail


async def test_two_texts_under_one_number_are_both_kept_and_proven_by_the_recipient() -> None:
    """A relay cannot see it: the number stands in the slot, and no two senders may learn of each other's."""
    async with a_scene() as scene:
        liar, xv = scene.liar, scene.xv
        for _ in range(2):
            await let_through(scene, liar.seal(liar.sign(liar.report("XV")), "XV", seq=7))
        await held(xv, 2)
        await until(partial(rings, xv, "sender"), "no alarm")
        checks = await verified(xv)
        assert [check.result for check in checks] == ["holds", "holds", "holds", "not checked"]
        assert "number 7 of stream 1, lane ROUTINE, to XV" in checks[2].detail


async def test_two_texts_in_the_place_of_each_other_are_both_kept_and_an_alarm() -> None:
    """Ids and numbers are each used once; what contradicts is which version follows which."""
    async with a_scene() as scene:
        liar, xv = scene.liar, scene.xv
        one = liar.report("XV")
        two = liar.report("XV", thread_id=one.thread_id, authored_ms=one.authored_ms + 1)
        for report in (one, two):
            await let_through(scene, liar.seal(liar.sign(report), "XV"))
        await held(xv, 2)
        await until(partial(rings, xv, "sender"), "no alarm")


async def test_a_correction_that_follows_its_report_is_no_contradiction() -> None:
    async with a_scene() as scene:
        liar, xv = scene.liar, scene.xv
        one = liar.report("XV")
        item = item_hash(encode_report(one))
        two = liar.report("XV", thread_id=one.thread_id, authored_ms=one.authored_ms + 1, supersedes=item)
        for report in (one, two):
            await let_through(scene, liar.seal(liar.sign(report), "XV"))
        await held(xv, 2)
        assert not await rings(xv, "sender")


async def test_the_proof_against_a_sender_convinces_by_the_command_alone_and_a_changed_one_does_not(
    tmp_path: Path,
) -> None:
    async with a_scene() as scene:
        liar, xv = scene.liar, scene.xv
        for number in (7, 7, 8):
            await let_through(scene, liar.seal(liar.sign(liar.report("XV")), "XV", seq=number))
        await held(xv, 3)
        await until(partial(rings, xv, "sender"), "no alarm")
        file = tmp_path / "sender.evidence"
        file.write_text(await evidence(xv))
        told = concord("verify", file)
        assert told.code == 0
        assert "against" in told.out
        found = read_contradiction(file.read_text())
        wrong = (
            replace(found, second=found.first),
            replace(found, twice=Twice.ID),
            replace(found, sender=party_id("XA")),
            replace(found, key=liar.eyes.core.keys.envelope.public),
            replace(found, exchange=exchange_name(EXERCISE)),
            replace(found, second=ShownEnvelope(found.second.header, found.first.slots)),
            replace(found, second=ShownEnvelope(found.second.header, ())),
        )
        assert [any(check.result == "fails" for check in check_contradiction(each)) for each in wrong] == [True] * 7
        changed = tmp_path / "changed.evidence"
        changed.write_text(write_contradiction(wrong[0]))
        assert concord("verify", changed).code == 4


async def evidence(node: Node) -> str:
    """Return the one file of evidence that a node keeps."""
    (kept,) = await node.core.database.read(partial(kept_evidence, limit=9))
    return kept.file


async def verified(node: Node) -> list[Check]:
    """Return the checks of the one file of evidence that a node keeps."""
    return check_contradiction(read_contradiction(await evidence(node)))


async def held(node: Node, count: int) -> None:
    """Wait until a node holds so many reports."""

    async def holds() -> bool:
        return await count_reports(node) == count

    await until(holds, f"there are not {count} reports")


async def rings(node: Node, kind: str) -> bool:
    """Say whether an alarm of this kind is open."""
    return kind in await open_alarms(node)


# -- the exercise ------------------------------------------------------------------------------------------------------


async def test_what_was_said_in_the_exercise_is_refused_when_it_is_replayed_in_earnest() -> None:
    """Same partners, same keys, another exchange's name: it is in every signature."""
    async with a_scene() as scene:
        liar = scene.liar
        drill = liar.sign(liar.report("XV", exchange=EXERCISE), context=EXERCISE)
        whole = liar.prepare(drill, "XV", exchange=EXERCISE)
        header = sign(liar.keys.envelope, ENVELOPE_TYPE, whole.header_bytes, context=EXERCISE)
        replayed = with_header(whole, header)
        assert await refused(scene, replayed) == (3, "BAD_ENVELOPE")
        await collude(scene.xv, replayed)
        assert await aside(scene.xv) == [(2, "BAD_ENVELOPE")]


async def test_a_report_of_the_exercise_in_an_envelope_of_today_is_refused_by_the_recipient() -> None:
    async with a_scene() as scene:
        liar = scene.liar
        drill = liar.sign(liar.report("XV", exchange=EXERCISE), context=EXERCISE)
        await let_through(scene, liar.seal(drill, "XV"))
        await is_aside(scene.xv, (8, "BAD_ENVELOPE"))
        assert await count_reports(scene.xv) == 0


# -- a revoked key -----------------------------------------------------------------------------------------------------


async def test_an_envelope_back_dated_with_a_revoked_key_is_refused_by_relay_and_recipient() -> None:
    """It says that it was made before the revocation; what counts is when the relay received it."""
    async with a_scene() as scene:
        liar = scene.liar
        made_ms = now_ms() - 60_000
        submission = liar.seal(liar.sign(liar.report("XV", authored_ms=made_ms)), "XV", created_ms=made_ms)
        await revoke(scene, liar.keys.envelope.public.key_id)
        assert await refused(scene, submission) == (5, "BAD_ENVELOPE")
        await collude(scene.xv, submission)
        assert await aside(scene.xv) == [(2, "BAD_ENVELOPE")]


async def test_a_report_back_dated_with_a_revoked_statement_key_is_refused_by_the_recipient() -> None:
    async with a_scene() as scene:
        liar = scene.liar
        made_ms = now_ms() - 60_000
        submission = liar.seal(liar.sign(liar.report("XV", authored_ms=made_ms)), "XV", created_ms=made_ms)
        await revoke(scene, liar.keys.statement.public.key_id)
        await collude(scene.xv, submission)
        assert await aside(scene.xv) == [(8, "BAD_ENVELOPE")]
        assert await count_reports(scene.xv) == 0


# -- floods ------------------------------------------------------------------------------------------------------------


async def test_a_partner_that_fills_the_relay_is_refused_and_holds_up_nobody_else() -> None:
    async with a_scene(settings(held_bytes=1 << 20)) as scene:
        liar = scene.liar
        large = liar.sign(liar.report("XN", content=bytes(300_000)))
        answers: list[Promise | Refusal] = []
        for _ in range(5):
            answers += await liar.submit(liar.seal(large, "XN"))
        assert [isinstance(each, Promise) for each in answers] == [True, True, True, False, False]
        assert {(each.step, each.reason) for each in answers if isinstance(each, Refusal)} == {(0, "TOO_MUCH_HELD")}
        # What it owes the others still passes, and what the others send each other.
        retraction = sign(liar.keys.statement, "retraction", b"a retraction", context=EXCHANGE)
        await let_through(scene, liar.seal(retraction, "XN", kind=EnvelopeKind.CONTROL, lane=Lane.FLASH))
        sent = await push(scene.xa, "XV")
        await receipted(scene.xa, sent.item, "XV")
        # Room is made by whoever it is for.
        await scene.world.relay.partners["XN"].collect(4)
        await until_submitted(scene, liar.seal(large, "XN"))


async def until_submitted(scene: Scene, submission: bytes) -> None:
    """Wait until the relay promises these bytes, which it has refused, but not for good."""

    async def promised() -> bool:
        (answer,) = await scene.liar.submit(submission)
        return isinstance(answer, Promise)

    await until(promised, "the relay makes no room")


async def test_a_partner_that_fills_the_directory_is_refused_and_can_still_revoke_its_keys() -> None:
    async with a_scene(settings(statements_per_day=12)) as scene:
        with pytest.raises(RateLimited) as stopped:
            for _ in range(20):
                await publish(scene)
        assert stopped.value.retryable
        await revoke(scene, scene.liar.keys.statement.public.key_id)
        sent = await push(scene.xa, "XV")
        await receipted(scene.xa, sent.item, "XV")


async def publish(scene: Scene) -> None:
    """Let XO publish prekeys once more."""
    try:
        await scene.world.relay.publish_prekeys(scene.liar.partner)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
