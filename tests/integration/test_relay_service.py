"""The relay over mutual TLS on loopback, with real certificates, keys and signatures: submit, deliver, refuse."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from typing import Self

import grpc.aio

from exchange.crypto.codec import decode_signed, encode_signed, signed_from_proto
from exchange.crypto.signed import Signed
from exchange.directory import ceremony, issue
from exchange.directory.codec import join_request_to_proto
from exchange.directory.prekeys import day_of
from exchange.directory.statements import JoinRequest
from exchange.envelope.codec import (
    decode_delivery,
    decode_header,
    decode_submission,
    encode_core,
    encode_header,
    encode_submission,
)
from exchange.envelope.model import Lane
from exchange.envelope.open import OpenChecks, PromiseFacts, open_envelope
from exchange.envelope.seal import seal_all
from exchange.errors import BadStatement, Conflict, ExchangeError, NotAllowed, NotAuthenticated, Unavailable
from exchange.merkle import verify_consistency
from exchange.names import party_id
from exchange.policy.agreement import AgreementRef, commitment
from exchange.policy.model import Tlp
from exchange.receipts.codec import REFUSAL_BYTES
from exchange.receipts.model import Promise
from exchange.receipts.verify import check_decisions, check_promise_in_log, open_promise
from exchange.relay.home import KEY_NAMES
from exchange.runtime.clock import now_ms
from exchange.runtime.interceptors import from_rpc_error
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin
from exchange.tlog.entry import EntryKind, decode_entry, directory_head_hash
from exchange.tlog.signing import open_checkpoint
from exchange.v1 import join_service_pb2
from exchange.v1 import relay_service_pb2 as pb
from exchange.v1.join_service_pb2_grpc import JoinServiceStub
from tests.support.directory_builders import (
    EXCHANGE,
    a_join_request,
    an_invitation,
    composite,
    ed25519,
    log_keys,
    party_keys,
)
from tests.support.relay_world import (
    CALL_S,
    DAY_MS,
    Partner,
    World,
    a_prepared,
    a_sealed,
    a_view,
    a_world,
    acknowledgement,
    head_of,
    promise_of,
    refusal_of,
    settings,
    signed_view,
)

TRAFFIC = pb.LOG_TRAFFIC
DIRECTORY = pb.LOG_DIRECTORY


async def reason_of(call: object) -> type[ExchangeError]:
    """Return the class of the error that a call ends with."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call  # type: ignore[misc]  # a unary call
    except grpc.aio.AioRpcError as error:
        return type(from_rpc_error(error))
    raise AssertionError("the call did not fail")


async def a_checkpoint(partner: Partner, log: pb.Log.ValueType, *, least: int) -> Checkpoint:
    """Return the newest checkpoint once it covers `least` entries."""
    origin = traffic_origin(EXCHANGE) if log == TRAFFIC else directory_origin(EXCHANGE)
    async with asyncio.timeout(CALL_S):
        while True:
            answer = await partner.stub.GetCheckpoint(pb.GetCheckpointRequest(log=log), timeout=CALL_S)
            checkpoint = open_checkpoint(answer.checkpoint, origin, log_keys("relay").public)
            if checkpoint.size >= least:
                return checkpoint


async def prove(partner: Partner, promise: Promise) -> None:
    """Check that a promise is kept: its entry is in the log, under a checkpoint."""
    checkpoint = await a_checkpoint(partner, TRAFFIC, least=promise.log_index + 1)
    proof = await partner.stub.GetInclusionProof(
        pb.GetInclusionProofRequest(log=TRAFFIC, index=promise.log_index, size=checkpoint.size), timeout=CALL_S
    )
    check_promise_in_log(promise, proof.entry, proof.path, size=checkpoint.size, root=checkpoint.root)


# -- submit, deliver ---------------------------------------------------------------------------------------------------


async def test_what_is_submitted_is_delivered_to_every_recipient_with_the_same_promise() -> None:
    async with a_world("XA", "XV", "XO") as world:
        basis = await world.agree("XA", "XV", "XO")
        sender = world.partners["XA"]
        sealed = a_sealed(sender.keys, ["XV", "XO"], basis, head_of(world.exchange))
        (outcome,) = await sender.submit(sealed.submission_bytes)
        promise = promise_of(outcome)
        assert promise.envelope_hash == sealed.envelope_hash
        assert promise.directory_size == world.exchange.directory.size
        decisions = check_decisions(promise, outcome.decision_record).decisions
        assert [(each.leaf_index, each.commitment) for each in decisions] == [
            (slot, basis.commitment) for slot, _ in sealed.slots
        ]
        for name in ("XV", "XO"):
            (waiting,) = await world.partners[name].collect(1)
            assert decode_delivery(waiting.delivery).promise == signed_from_proto(outcome.answer)
            assert waiting.position == promise.log_index
        await prove(sender, promise)


def open_as(world: World, name: str, delivery: bytes) -> bytes:
    """Return the payload of a delivery's statement, opened with the recipient's own checks, steps 1 to 7."""
    keys, directory = world.partners[name].keys, world.exchange.directory

    def facts(signed: Signed, envelope_hash: bytes) -> PromiseFacts:
        promise = open_promise(signed, ed25519("relay/promise").public, EXCHANGE)
        assert promise.envelope_hash == envelope_hash
        return PromiseFacts(promise.directory_size, promise.received_ms)

    checks = OpenChecks(
        EXCHANGE,
        keys.party,
        facts,
        directory.envelope_key,
        directory.statement_key,
        lambda signing, facts: (
            lambda key_id: directory.statement_key(
                signing.originator, key_id, at_size=facts.directory_size, at_ms=facts.received_ms
            )
        ),
        lambda key_id: next(
            (
                key
                for day in range(day_of(now_ms()) - 1, day_of(now_ms()) + 2)
                if (key := keys.prekey(day)).public.key_id == key_id
            ),
            None,
        ),
    )
    opened = open_envelope(delivery, context=checks)
    return opened.statement.payload


async def test_the_traffic_log_names_the_directory_then_the_envelope_then_its_decisions_and_its_deletion() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        head = head_of(world.exchange)
        sealed = a_sealed(world.partners["XA"].keys, ["XV"], basis, head)
        (outcome,) = await world.partners["XA"].submit(sealed.submission_bytes)
        promise = promise_of(outcome)
        await world.partners["XV"].collect(1)
        await a_checkpoint(world.partners["XA"], TRAFFIC, least=4)
        log = await world.partners["XA"].stub.ReadLog(pb.ReadLogRequest(log=TRAFFIC, start=0, count=9), timeout=CALL_S)
        entries = [decode_entry(entry) for entry in log.entries]
        assert [(entry.kind, entry.sha256) for entry in entries] == [
            (EntryKind.DIRECTORY_HEAD, directory_head_hash(head.size, head.root)),
            (EntryKind.ENVELOPE, sealed.envelope_hash),
            (EntryKind.DECISIONS, promise.decisions_sha256),
            (EntryKind.DELETION, sealed.envelope_hash),
        ]


async def test_the_same_submission_again_gets_the_same_promise_bytes_and_no_second_delivery() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender = world.partners["XA"]
        data = a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange)).submission_bytes
        first, second = await sender.submit(data, data)
        (third,) = await sender.submit(data)
        assert first == second == third
        other = a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange), seq=2)
        await sender.submit(other.submission_bytes)
        waiting = await world.partners["XV"].collect(2)
        assert len({each.position for each in waiting}) == len(waiting) == 2


async def test_an_id_that_was_used_for_another_envelope_is_refused() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender, head = world.partners["XA"], head_of(world.exchange)
        first, second = (a_prepared(sender.keys, ["XV"], basis, head, seq=seq) for seq in (1, 2))
        core = replace(second.core, envelope_id=first.core.envelope_id)
        header = encode_header(replace(decode_header(second.header_bytes), core=encode_core(core)))
        forged = replace(second, core=core, header_bytes=header)
        one, two = (each.submission_bytes for each in seal_all([first, forged], sender.keys.envelope))
        accepted, refused = await sender.submit(one, two)
        promise_of(accepted)
        assert refusal_of(refused).reason == "ENVELOPE_ID_REUSED"
        (again,) = await sender.submit(two)
        assert again == refused


async def test_flash_overtakes_what_was_there_before() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender, head = world.partners["XA"], head_of(world.exchange)
        for seq, lane in enumerate((Lane.ROUTINE, Lane.ROUTINE, Lane.PRIORITY, Lane.FLASH), start=1):
            await sender.submit(a_sealed(sender.keys, ["XV"], basis, head, seq=seq, lane=lane).submission_bytes)
        lanes = [Lane(each.lane) for each in await world.partners["XV"].collect(4)]
        assert lanes == [Lane.FLASH, Lane.PRIORITY, Lane.ROUTINE, Lane.ROUTINE]


async def test_what_arrives_while_a_stream_is_open_is_sent_at_once() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender = world.partners["XA"]
        waiting = asyncio.create_task(world.partners["XV"].collect(1))
        await asyncio.wait([waiting], timeout=0.2)
        await sender.submit(a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange)).submission_bytes)
        async with asyncio.timeout(2):
            assert len(await waiting) == 1


async def test_what_is_not_acknowledged_is_sent_again_and_what_is_is_not() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender, head = world.partners["XA"], head_of(world.exchange)
        await sender.submit(*(a_sealed(sender.keys, ["XV"], basis, head, seq=n).submission_bytes for n in (1, 2, 3)))
        recipient = world.partners["XV"]
        first = await recipient.collect(3, acknowledge=False)
        assert await recipient.collect(3, acknowledge=False) == first
        async with DeliverStream(recipient) as stream:
            await stream.next(3)
            await stream.acknowledge(first[1])
        assert [each.position for each in await recipient.collect(1)] == [first[2].position]


class DeliverStream:
    """A delivery stream by hand."""

    def __init__(self, partner: Partner, window: int = 1 << 20) -> None:
        self._requests: asyncio.Queue[pb.DeliverRequest | None] = asyncio.Queue()
        self._requests.put_nowait(pb.DeliverRequest(window_bytes=window))
        self.call = partner.stub.Deliver(self._feed(), timeout=CALL_S)
        self.responses = aiter(self.call)

    async def _feed(self) -> AsyncIterator[pb.DeliverRequest]:
        while (request := await self._requests.get()) is not None:
            yield request

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let it end in good order, so that acknowledgements are durable."""
        self._requests.put_nowait(None)
        with suppress(grpc.aio.AioRpcError):
            async for _frame in self.responses:
                pass

    async def next(self, count: int) -> list[pb.Waiting]:
        found: list[pb.Waiting] = []
        while len(found) < count:
            found += (await anext(self.responses)).waiting
        return found

    async def acknowledge(self, *waiting: pb.Waiting) -> None:
        self._requests.put_nowait(acknowledgement(waiting))


async def test_no_more_is_under_way_than_the_window_unless_nothing_else_is() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender, head = world.partners["XA"], head_of(world.exchange)
        large = [
            a_sealed(sender.keys, ["XV"], basis, head, seq=seq, content=b"x" * 100_000).submission_bytes
            for seq in (1, 2, 3)
        ]
        await sender.submit(*large)
        narrow = DeliverStream(world.partners["XV"], window=1)
        (first,) = await narrow.next(1)
        more = asyncio.create_task(narrow.next(1))
        await asyncio.wait([more], timeout=0.3)
        assert not more.done()
        narrow.call.cancel()
        await asyncio.wait([more])
        async with DeliverStream(world.partners["XV"], window=1) as stream:
            (again,) = await stream.next(1)
            assert again == first
            await stream.acknowledge(again)
            (second,) = await stream.next(1)
            assert second.position > first.position


async def test_acknowledging_what_was_never_sent_ends_the_stream_and_frees_nothing() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender = world.partners["XA"]
        await sender.submit(a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange)).submission_bytes)
        stream = DeliverStream(world.partners["XV"])
        (waiting,) = await stream.next(1)
        await stream.acknowledge(pb.Waiting(lane=waiting.lane, position=waiting.position + 1))
        assert issubclass(await reason_of(stream.responses), ExchangeError)
        assert len(await world.partners["XV"].collect(1)) == 1


async def test_a_newer_stream_of_a_partner_ends_the_older_one() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        older = DeliverStream(world.partners["XV"])
        await older.call.wait_for_connection()
        sender = world.partners["XA"]
        await sender.submit(a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange)).submission_bytes)
        await older.next(1)
        async with DeliverStream(world.partners["XV"]) as newer:
            assert len(await newer.next(1)) == 1
            assert (await reason_of(older.responses)).reason == "CONFLICT"


# -- refusals ----------------------------------------------------------------------------------------------------------


async def test_a_refusal_names_clause_and_recipient_only_of_an_agreement_of_the_sender() -> None:
    async with a_world("XA", "XV", "XO", "XM") as world:
        mine = await world.agree("XA", "XV")
        others = await world.agree("XV", "XO")
        sender, head = world.partners["XA"], head_of(world.exchange)
        red = a_sealed(sender.keys, ["XV"], mine, head, tlp=Tlp.RED)
        foreign = a_sealed(sender.keys, ["XO"], others, head)
        unknown_agreement = a_sealed(sender.keys, ["XO"], replace(mine, commitment=b"x" * 32), head)
        unknown_party = a_sealed(sender.keys, ["XX"], mine, head)
        outcomes = await sender.submit(
            *(each.submission_bytes for each in (red, foreign, unknown_agreement, unknown_party))
        )
        told, *untold = [refusal_of(outcome) for outcome in outcomes]
        assert (told.reason, told.clause, told.recipient) == ("TLP_ABOVE_AGREEMENT", "art-4", "XV")
        assert {(each.reason, each.step, each.clause, each.recipient) for each in untold} == {
            ("NOT_DELIVERABLE", 12, "", "")
        }
        assert {len(outcome.answer.payload) for outcome in outcomes} == {REFUSAL_BYTES}


async def test_one_denied_slot_refuses_the_whole_envelope() -> None:
    async with a_world("XA", "XV", "XO") as world:
        basis = await world.agree("XA", "XV")
        sender = world.partners["XA"]
        sealed = a_sealed(sender.keys, ["XV", "XO"], basis, head_of(world.exchange))
        (outcome,) = await sender.submit(sealed.submission_bytes)
        refusal_of(outcome)
        other = a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange))
        (accepted,) = await sender.submit(other.submission_bytes)
        assert [each.position for each in await world.partners["XV"].collect(1)] == [promise_of(accepted).log_index]


async def test_a_refusal_is_final() -> None:
    async with a_world("XA", "XV", "XO") as world:
        sender = world.partners["XA"]
        view = a_view(("XA", "XV"))
        signed = signed_view(view, [world.partners[name].keys for name in ("XA", "XV")])
        basis = AgreementRef(view.agreement_id, 1, commitment(signed.payload, view.salt))
        data = a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange)).submission_bytes
        (before,) = await sender.submit(data)
        assert refusal_of(before).reason == "NOT_DELIVERABLE"
        await sender.stub.PublishAgreement(pb.PublishAgreementRequest(view=encode_signed(signed)), timeout=CALL_S)
        (after,) = await sender.submit(data)
        assert after == before
        anew = a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange)).submission_bytes
        promise_of((await sender.submit(anew))[0])


async def test_a_damaged_submission_is_refused_with_its_step_and_the_rest_of_its_frame_is_not() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender, head = world.partners["XA"], head_of(world.exchange)
        good = a_sealed(sender.keys, ["XV"], basis, head).submission_bytes
        submission = decode_submission(a_sealed(sender.keys, ["XV"], basis, head, seq=2).submission_bytes)
        body = encode_submission(replace(submission, body=b"\x00" + submission.body[1:]))
        seed = encode_submission(replace(submission, dummy_seed=bytes(32)))
        foreign = a_sealed(world.partners["XV"].keys, ["XA"], basis, head).submission_bytes
        outcomes = await sender.submit(b"junk", good, foreign, body, seed)
        steps = [refusal_of(outcome).step for outcome in (outcomes[0], *outcomes[2:4])]
        assert steps == [2, 4, 8]
        assert outcomes[4] == outcomes[3], "the same header: its refusal is final"
        promise_of(outcomes[1])


async def test_an_agreement_judges_as_of_the_directory_in_the_promise() -> None:
    async with a_world("XA", "XV") as world:
        first = await world.agree("XA", "XV")
        second = await world.agree("XA", "XV", agreement_id=first.id, version=2)
        sender, head = world.partners["XA"], head_of(world.exchange)
        old, new = await sender.submit(
            a_sealed(sender.keys, ["XV"], first, head).submission_bytes,
            a_sealed(sender.keys, ["XV"], second, head).submission_bytes,
        )
        assert refusal_of(old).reason == "AGREEMENT_TERMINATED"
        assert promise_of(new).directory_size == world.exchange.directory.size


# -- control traffic, suspension, expulsion ----------------------------------------------------------------------------


async def publish_by_council(world: World, by: str, statement: Signed) -> None:
    partner = world.partners[by]
    await partner.stub.PublishStatement(pb.PublishStatementRequest(statement=encode_signed(statement)), timeout=CALL_S)
    await world.mirror()


def a_suspension(world: World, party: str, *, suspended: bool = True) -> Signed:
    return issue.make_suspension(
        exchange=EXCHANGE,
        place=world.exchange.directory.next_seq_prev("council"),
        party=party_id(party),
        suspended=suspended,
        now_ms=now_ms(),
        council_key=world.exchange.council_key,
    )


async def test_control_traffic_needs_no_agreement() -> None:
    async with a_world("XA", "XV") as world:
        sender = world.partners["XA"]
        sealed = a_sealed(sender.keys, ["XV"], None, head_of(world.exchange))
        (outcome,) = await sender.submit(sealed.submission_bytes)
        record = check_decisions(promise_of(outcome), outcome.decision_record)
        assert [each.commitment for each in record.decisions] == [b""]
        (waiting,) = await world.partners["XV"].collect(1)
        assert open_as(world, "XV", waiting.delivery) == b"a report"


async def test_a_suspended_partner_sends_and_receives_control_traffic_only_and_the_rest_waits() -> None:
    async with a_world("XA", "XV", "XO") as world:
        basis = await world.agree("XA", "XV", "XO")
        sender, suspended = world.partners["XA"], world.partners["XV"]
        await sender.submit(a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange)).submission_bytes)
        await publish_by_council(world, "XO", a_suspension(world, "XV"))
        head = head_of(world.exchange)
        control = a_sealed(sender.keys, ["XV"], None, head).submission_bytes
        report = a_sealed(sender.keys, ["XV"], basis, head, seq=2).submission_bytes
        accepted, refused = await sender.submit(control, report)
        assert refusal_of(refused).reason == "NOT_DELIVERABLE"
        own_report = a_sealed(suspended.keys, ["XA"], basis, head).submission_bytes
        own_control = a_sealed(suspended.keys, ["XA"], None, head).submission_bytes
        denied, sent = await suspended.submit(own_report, own_control)
        assert refusal_of(denied).reason == "SENDER_SUSPENDED"
        promise_of(sent)
        assert [each.position for each in await suspended.collect(1)] == [promise_of(accepted).log_index]
        await publish_by_council(world, "XO", a_suspension(world, "XV", suspended=False))
        (held,) = await suspended.collect(1)
        assert held.position < promise_of(accepted).log_index


async def test_a_stream_ends_when_its_partner_is_suspended() -> None:
    async with a_world("XA", "XV", "XO") as world:
        basis = await world.agree("XA", "XV", "XO")
        sender = world.partners["XA"]
        stream = DeliverStream(world.partners["XV"])
        await sender.submit(a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange)).submission_bytes)
        await stream.next(1)
        control = a_sealed(sender.keys, ["XV"], None, head_of(world.exchange)).submission_bytes
        await publish_by_council(world, "XO", a_suspension(world, "XV"))
        await sender.submit(control)
        assert await reason_of(stream.responses) is Unavailable


async def test_an_expelled_partner_is_nobody() -> None:
    async with a_world("XA", "XV", "XO") as world:
        basis = await world.agree("XA", "XV")
        expulsion = issue.make_expulsion(
            exchange=EXCHANGE,
            place=world.exchange.directory.next_seq_prev("council"),
            party=party_id("XV"),
            now_ms=now_ms(),
            council_key=world.exchange.council_key,
        )
        await publish_by_council(world, "XO", expulsion)
        expelled = world.partners["XV"]
        assert await reason_of(expelled.stub.GetCheckpoint(pb.GetCheckpointRequest(log=TRAFFIC), timeout=CALL_S)) in (
            NotAuthenticated,
            Unavailable,
        )
        sender = world.partners["XA"]
        for sent in (basis, None):
            data = a_sealed(sender.keys, ["XV"], sent, head_of(world.exchange)).submission_bytes
            assert refusal_of((await sender.submit(data))[0]).reason == "NOT_DELIVERABLE"


# -- who is there ------------------------------------------------------------------------------------------------------


async def test_a_party_that_is_not_admitted_gets_no_connection() -> None:
    async with a_world("XA") as world:
        joining = await world.join("XV", admit=False)
        stranger = world.connect(party_keys("XM"))
        for partner in (joining, stranger):
            request = pb.GetCheckpointRequest(log=DIRECTORY)
            assert await reason_of(partner.stub.GetCheckpoint(request, timeout=3)) is Unavailable
            await partner.channel.close()


async def test_a_partner_that_takes_the_name_of_another_is_nobody() -> None:
    async with a_world("XA", "XV") as world:
        posing = world.connect(world.partners["XV"].keys, name="XA")
        request = pb.GetCheckpointRequest(log=DIRECTORY)
        assert await reason_of(posing.stub.GetCheckpoint(request, timeout=CALL_S)) is NotAuthenticated
        await posing.channel.close()


async def test_a_call_without_a_deadline_or_over_the_rate_is_refused() -> None:
    async with a_world("XA", given=settings(calls_per_minute=5)) as world:
        stub = world.partners["XA"].stub
        assert (await reason_of(stub.GetCheckpoint(pb.GetCheckpointRequest(log=TRAFFIC)))).reason == "BAD_INPUT"
        reasons = []
        for _ in range(6):
            with suppress(grpc.aio.AioRpcError):
                await stub.GetCheckpoint(pb.GetCheckpointRequest(log=TRAFFIC), timeout=CALL_S)
                continue
            reasons.append(await reason_of(stub.GetCheckpoint(pb.GetCheckpointRequest(log=TRAFFIC), timeout=CALL_S)))
        assert {reason.reason for reason in reasons} == {"RATE_LIMITED"}


# -- directory ---------------------------------------------------------------------------------------------------------


async def test_a_follower_replays_the_directory_and_its_checkpoint_is_of_what_it_has() -> None:
    async with a_world("XA", "XV") as world:
        partner = world.partners["XA"]
        call = partner.stub.FollowDirectory(pb.FollowDirectoryRequest(start=0), timeout=CALL_S)
        entries: list[bytes] = []
        live = asyncio.Event()

        async def follow() -> None:
            async for response in call:
                assert response.start == len(entries)
                entries.extend(response.entries)
                if response.checkpoint:
                    checkpoint = open_checkpoint(
                        response.checkpoint, directory_origin(EXCHANGE), log_keys("relay").public
                    )
                    assert checkpoint.size == len(entries)
                    live.set()

        following = asyncio.create_task(follow())
        await live.wait()
        assert entries == world.exchange.entries
        live.clear()
        await world.agree("XA", "XV")
        async with asyncio.timeout(CALL_S):
            while len(entries) < world.exchange.directory.size:
                await live.wait()
                live.clear()
        call.cancel()
        with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await following
        assert entries == world.exchange.entries


async def test_a_partner_publishes_its_own_statements_and_those_of_the_council_only() -> None:
    async with a_world("XA", "XV") as world:
        stub = world.partners["XA"].stub
        cert = ceremony.make_node_cert(
            exchange=EXCHANGE,
            party=party_id("XV"),
            place=world.exchange.directory.next_seq_prev("XV"),
            statement_key=composite("XV/next").public,
            envelope_key=ed25519("XV/next/envelope").public,
            now_ms=now_ms(),
            not_after_ms=now_ms() + DAY_MS,
            root=world.partners["XV"].keys.root,
        )
        request = pb.PublishStatementRequest(statement=encode_signed(cert))
        assert await reason_of(stub.PublishStatement(request, timeout=CALL_S)) is NotAllowed
        own = world.partners["XV"].stub
        index = (await own.PublishStatement(request, timeout=CALL_S)).index
        assert index == world.exchange.directory.size
        assert (await own.PublishStatement(request, timeout=CALL_S)).index == index


async def test_prekeys_are_fetched_by_the_hash_that_the_directory_names() -> None:
    async with a_world("XA", "XV") as world:
        hash_ = world.exchange.directory.bundle_hash(party_id("XV"))
        assert hash_ is not None
        answer = await world.partners["XA"].stub.FetchPrekeys(
            pb.FetchPrekeysRequest(bundle_sha256=[bytes(32), hash_]), timeout=CALL_S
        )
        (bundle,) = answer.bundles
        assert sha256(decode_signed(bundle, limit=1 << 20, what="a bundle").payload).digest() == hash_


async def test_an_agreement_needs_the_root_of_every_party_and_shows_itself_to_its_parties_only() -> None:
    async with a_world("XA", "XV", "XO") as world:
        keys = {name: partner.keys for name, partner in world.partners.items()}
        view = a_view(("XA", "XV"))
        lacking = signed_view(view, [keys["XA"]])
        too_many = signed_view(view, [keys["XA"], keys["XV"], keys["XO"]])
        whole = signed_view(view, [keys["XA"], keys["XV"]])
        stub = world.partners["XA"].stub
        for signed in (lacking, too_many):
            request = pb.PublishAgreementRequest(view=encode_signed(signed))
            assert (await reason_of(stub.PublishAgreement(request, timeout=CALL_S))).reason == "BAD_SIGNATURE"
        request = pb.PublishAgreementRequest(view=encode_signed(whole))
        outsider = world.partners["XO"].stub
        assert await reason_of(outsider.PublishAgreement(request, timeout=CALL_S)) is NotAllowed
        index = (await stub.PublishAgreement(request, timeout=CALL_S)).index
        assert (await stub.PublishAgreement(request, timeout=CALL_S)).index == index
        for name, expected in (("XA", [encode_signed(whole)]), ("XV", [encode_signed(whole)]), ("XO", [])):
            answer = await world.partners[name].stub.FetchAgreements(pb.FetchAgreementsRequest(), timeout=CALL_S)
            assert [part.view for part in answer.parts] == expected


async def test_nobody_takes_a_version_under_an_agreement_of_others_but_an_older_one_is_no_way_back() -> None:
    async with a_world("XA", "XV", "XO") as world:
        first = await world.agree("XA", "XV")
        # XV and an accomplice sign a high version under the id that XA and XV use.
        await world.agree("XV", "XO", agreement_id=first.id, version=1_000)
        second = await world.agree("XA", "XV", agreement_id=first.id, version=2)
        assert second.version == 2
        view = a_view(("XA", "XV"), agreement_id=first.id, version=1)
        older = signed_view(view, [world.partners[name].keys for name in ("XA", "XV")])
        request = pb.PublishAgreementRequest(view=encode_signed(older))
        assert await reason_of(world.partners["XA"].stub.PublishAgreement(request, timeout=CALL_S)) is Conflict


async def test_an_invitation_is_spent_by_the_first_request_and_a_repeat_is_safe() -> None:
    async with a_world("XA") as world:
        now = now_ms()
        invitation = an_invitation("XV", world.exchange.council_key, now_ms=now)
        request = a_join_request(party_keys("XV"), invitation, now_ms=now)
        thief = replace(party_keys("XV"), root=party_keys("XM").root, statement=party_keys("XM").statement)
        other = a_join_request(thief, invitation, now_ms=now)
        async with world.join_channel() as channel:
            stub = JoinServiceStub(channel)

            def asked(given: JoinRequest) -> join_service_pb2.JoinServiceJoinRequest:
                return join_service_pb2.JoinServiceJoinRequest(request=join_request_to_proto(given))

            assert not (await stub.Join(asked(request), timeout=CALL_S)).admitted
            assert await reason_of(stub.Join(asked(other), timeout=CALL_S)) is BadStatement
            assert not (await stub.Join(asked(request), timeout=CALL_S)).admitted
        assert {path.name for path in world.home.requests.iterdir()} == {"XA.join", "XV.join"}


async def test_the_join_port_is_limited_by_address() -> None:
    async with a_world(given=settings(joins_per_minute=3)) as world, world.join_channel() as channel:
        stub = JoinServiceStub(channel)
        request = join_service_pb2.JoinServiceAdmitRequest(admission=b"junk")
        reasons = [(await reason_of(stub.Admit(request, timeout=CALL_S))).reason for _ in range(5)]
        assert reasons == ["MALFORMED_INPUT"] * 3 + ["RATE_LIMITED"] * 2


# -- logs --------------------------------------------------------------------------------------------------------------


async def test_the_log_of_later_continues_the_log_of_before() -> None:
    async with a_world("XA", "XV") as world:
        basis = await world.agree("XA", "XV")
        sender = world.partners["XA"]
        checkpoints = [await a_checkpoint(sender, DIRECTORY, least=1)]
        traffic = []
        for seq in range(1, 4):
            data = a_sealed(sender.keys, ["XV"], basis, head_of(world.exchange), seq=seq).submission_bytes
            promise = promise_of((await sender.submit(data))[0])
            traffic.append(await a_checkpoint(sender, TRAFFIC, least=promise.log_index + 1))
        await world.join("XO")
        checkpoints.append(await a_checkpoint(sender, DIRECTORY, least=checkpoints[0].size + 1))
        for log, (old, new) in ((TRAFFIC, (traffic[0], traffic[-1])), (DIRECTORY, tuple(checkpoints))):
            request = pb.GetConsistencyProofRequest(log=log, old_size=old.size, new_size=new.size)
            proof = await sender.stub.GetConsistencyProof(request, timeout=CALL_S)
            verify_consistency(old.size, new.size, old.root, new.root, proof.path)


async def test_no_proof_is_given_about_what_is_not_there() -> None:
    async with a_world("XA") as world:
        stub, size = world.partners["XA"].stub, world.exchange.directory.size
        for request in (
            pb.GetInclusionProofRequest(log=DIRECTORY, index=size, size=size),
            pb.GetInclusionProofRequest(log=DIRECTORY, index=0, size=size + 1),
            pb.GetInclusionProofRequest(index=0, size=1),
        ):
            reason = await reason_of(stub.GetInclusionProof(request, timeout=CALL_S))
            assert reason.reason in ("BAD_INPUT", "NOT_FOUND", "MALFORMED_INPUT")


def test_the_relay_holds_no_key_that_opens_anything() -> None:
    assert {"promise", "log", "log-mldsa", "transport-ca", "transport-ca-key", "join-ca", "join-ca-key"} == KEY_NAMES


async def test_over_the_rate_submissions_wait_and_are_dropped_only_when_their_sender_leaves() -> None:
    async with a_world("XA", "XV", given=settings(reports_per_minute=2)) as world:
        basis = await world.agree("XA", "XV")
        sender, head = world.partners["XA"], head_of(world.exchange)
        await sender.submit(*(a_sealed(sender.keys, ["XV"], basis, head, seq=n).submission_bytes for n in (1, 2)))
        slowed = pb.SubmitRequest(submissions=[a_sealed(sender.keys, ["XV"], basis, head, seq=3).submission_bytes])
        call = sender.stub.Submit(iter([slowed]), timeout=CALL_S)
        answer = asyncio.ensure_future(anext(aiter(call)))
        await asyncio.wait([answer], timeout=0.5)
        assert not answer.done()
        control = a_sealed(sender.keys, ["XV"], None, head).submission_bytes
        promise_of((await sender.submit(control))[0])
        call.cancel()
        await asyncio.wait([answer])
        assert len(await world.partners["XV"].collect(3)) == 3


async def test_a_newcomer_cannot_send_more_than_a_request() -> None:
    async with a_world() as world, world.join_channel() as channel:
        request = join_service_pb2.JoinServiceAdmitRequest(admission=bytes(64 * 1024))
        reason = await reason_of(JoinServiceStub(channel).Admit(request, timeout=CALL_S))
        assert reason.reason == "RATE_LIMITED", "what gRPC answers to a message that is too large"
