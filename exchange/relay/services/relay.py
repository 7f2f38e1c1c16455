"""RelayService: what partners ask of the relay (protos/exchange/v1/relay_service.proto, docs/spec/relay-api.md)."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import partial

from exchange.directory.state import Status
from exchange.envelope.model import Lane
from exchange.errors import BadInput, MalformedInput, TooLarge, Unavailable
from exchange.limits import FRAME_BYTES, FRAME_ITEMS
from exchange.names import PartyId, hash_bytes
from exchange.relay.agreements import Agreements
from exchange.relay.checkpoints import ASKED_S, Checkpoints
from exchange.relay.communities import Communities
from exchange.relay.counters import Counters
from exchange.relay.deliver import Deliveries, pumping
from exchange.relay.directory import LiveDirectory
from exchange.relay.enrol import FETCH_BUNDLES, Enrolment
from exchange.relay.frames import Waiting
from exchange.relay.intake import Intake
from exchange.relay.logs import READ_ENTRIES, LogReader
from exchange.relay.mailbox import Answered
from exchange.relay.peers import Context, Peer, Peers
from exchange.relay.sequencer import Log
from exchange.relay.turns import Turns
from exchange.relay.witnesses import Witnessing
from exchange.runtime.clock import now_ms
from exchange.runtime.lifecycle import Drain
from exchange.v1 import envelope_pb2
from exchange.v1 import relay_service_pb2 as pb
from exchange.v1.relay_service_pb2_grpc import RelayServiceServicer

FRAMES_UNDER_WAY = 3
"""Of one submit stream: one is judged while one is written and one is answered."""

KNOWN_VIEWS = 4_096
FOLLOW_HEARTBEAT_S = 60.0


@dataclass(frozen=True, slots=True)
class UseCases:
    """What the service calls."""

    intake: Intake
    deliveries: Deliveries
    enrolment: Enrolment
    communities: Communities
    agreements: Agreements
    directory: LiveDirectory
    checkpoints: Checkpoints
    logs: LogReader
    witnessing: Witnessing


@dataclass(frozen=True, slots=True)
class _Frame:
    number: int
    answers: asyncio.Task[tuple[Answered, ...]]


class _Frames:
    """Frames of one stream that are under way, in their order; None ends them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[_Frame | None] = asyncio.Queue()
        self.room = asyncio.Semaphore(FRAMES_UNDER_WAY)
        self._tasks: list[asyncio.Task[tuple[Answered, ...]]] = []

    def add(self, frame: _Frame) -> None:
        """Take one more."""
        self._tasks = [task for task in self._tasks if not task.done()] + [frame.answers]
        self.queue.put_nowait(frame)

    def cancel(self) -> None:
        """Drop those that are not being recorded yet: their sender is gone."""
        for task in self._tasks:
            task.cancel()


class RelayService(RelayServiceServicer):
    """Partners' door."""

    def __init__(self, peers: Peers, use: UseCases, draining: Drain, counters: Counters, memory: Turns) -> None:
        """`draining` ends the streams in good order; `memory` holds the frames that are not answered yet."""
        self._memory = memory
        self._peers = peers
        self._use = use
        self._draining = draining
        self._counters = counters

    async def Submit(  # noqa: N802 - the name in the proto
        self, request_iterator: AsyncIterator[pb.SubmitRequest], context: Context
    ) -> AsyncIterator[pb.SubmitResponse]:
        """Answer each frame when all of it is durable or refused, in their order."""
        with self._peers.stream(context) as peer:
            frames = _Frames()
            reader = asyncio.create_task(self._read_frames(request_iterator, peer, frames))
            try:
                while (frame := await frames.queue.get()) is not None:
                    yield _submit_response(frame.number, await frame.answers)
                    frames.room.release()
                await reader
            finally:
                reader.cancel()
                frames.cancel()

    async def _read_frames(self, requests: AsyncIterator[pb.SubmitRequest], peer: Peer, frames: "_Frames") -> None:
        try:
            async for request in _until(requests, self._draining):
                peer.check()
                await frames.room.acquire()
                # Until it has room in memory nothing more is read of this stream: flow control tells the sender.
                size = request.ByteSize()
                await self._memory.take(peer.party, size)
                answers = asyncio.create_task(self._use.intake.frame(peer.party, _submissions(request)))
                answers.add_done_callback(partial(self._answered, peer.party, size))
                frames.add(_Frame(request.frame, answers))
        finally:
            frames.queue.put_nowait(None)
        if self._draining.begun:
            raise Unavailable("the relay stops")

    def _answered(self, party: PartyId, size: int, task: "asyncio.Task[tuple[Answered, ...]]") -> None:
        """Give a frame's memory back, and look at its outcome, so that nobody complains when its sender is gone."""
        self._memory.give_back(party, size)
        if not task.cancelled():
            task.exception()

    async def Deliver(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.DeliverRequest], context: Context
    ) -> AsyncIterator[pb.DeliverResponse]:
        """Send what waits, flash first, within the window; free what is acknowledged."""
        with self._peers.stream(context) as peer:
            first = await anext(aiter(request_iterator), None)
            if first is None:
                return
            if first.acknowledged:
                raise BadInput("the first request of a delivery stream acknowledges nothing")
            control_only = peer.status is Status.SUSPENDED
            async with (
                self._use.deliveries.open(peer.party, window=first.window_bytes, control_only=control_only) as stream,
                pumping(_acknowledgements(request_iterator), stream),
            ):
                async for frame in stream.frames():
                    peer.check()
                    self._counters.delivered.inc(len(frame))
                    yield _deliver_response(frame)

    async def FollowDirectory(  # noqa: N802
        self, request: pb.FollowDirectoryRequest, context: Context
    ) -> AsyncIterator[pb.FollowDirectoryResponse]:
        """Send the directory log from an index on, then live; a checkpoint ends each burst."""
        with self._peers.stream(context) as peer:
            at, told, vouched = request.start, False, ""
            while True:
                peer.check()
                if self._draining.begun:
                    raise Unavailable("the relay stops")
                size, note = self._use.checkpoints.newest(Log.DIRECTORY)
                if at > size:
                    # Another process on this database may have shown it.
                    size, note = await self._use.checkpoints.take_up(Log.DIRECTORY)
                if at > size:
                    raise BadInput(f"the directory has {size} entries, not {at}")
                if at < size:
                    entries = (await self._use.logs.entries(Log.DIRECTORY, at, READ_ENTRIES))[: size - at]
                    last = at + len(entries) == size
                    yield pb.FollowDirectoryResponse(start=at, entries=entries, checkpoint=note if last else "")
                    at, told = at + len(entries), last
                    continue
                cosigned = self._use.witnessing.shown(Log.DIRECTORY).cosigned
                if not told or cosigned != vouched:
                    new = cosigned if cosigned != vouched else ""
                    yield pb.FollowDirectoryResponse(start=at, checkpoint=note, cosigned=new)
                    vouched = cosigned
                told = await self._grows(at)

    async def _grows(self, size: int) -> bool:
        """Return True when the directory or its cosigned part has grown, False when it is time for a heartbeat."""
        grows = asyncio.create_task(self._use.checkpoints.wait_for_more_than(Log.DIRECTORY, size))
        vouched = asyncio.create_task(self._use.witnessing.vouched(Log.DIRECTORY))
        stops = asyncio.create_task(self._draining.wait())
        wanted = {grows, vouched, stops}
        try:
            done, _ = await asyncio.wait(wanted, timeout=FOLLOW_HEARTBEAT_S, return_when="FIRST_COMPLETED")
        finally:
            for task in wanted:
                task.cancel()
        return bool(done)

    async def PublishStatement(  # noqa: N802
        self, request: pb.PublishStatementRequest, context: Context
    ) -> pb.PublishStatementResponse:
        """Append a statement of the caller or of the council."""
        with self._peers.call(context) as party:
            index = await self._use.enrolment.publish(party, request.statement)
            await self._use.checkpoints.refresh(Log.DIRECTORY)
            return pb.PublishStatementResponse(index=index)

    async def PublishPrekeys(  # noqa: N802
        self, request: pb.PublishPrekeysRequest, context: Context
    ) -> pb.PublishPrekeysResponse:
        """Keep a bundle and append the statement that names it."""
        with self._peers.call(context) as party:
            index = await self._use.enrolment.publish_prekeys(party, request.bundle, request.statement)
            await self._use.checkpoints.refresh(Log.DIRECTORY)
            return pb.PublishPrekeysResponse(index=index)

    async def FetchPrekeys(  # noqa: N802
        self, request: pb.FetchPrekeysRequest, context: Context
    ) -> pb.FetchPrekeysResponse:
        """Return bundles by hash."""
        with self._peers.call(context):
            hashes = _hashes(request.bundle_sha256, FETCH_BUNDLES, "bundle hash")
            return pb.FetchPrekeysResponse(bundles=await self._use.enrolment.bundles(hashes))

    async def PublishAgreement(  # noqa: N802
        self, request: pb.PublishAgreementRequest, context: Context
    ) -> pb.PublishAgreementResponse:
        """Keep a view and append its commitment."""
        with self._peers.call(context) as party:
            index = await self._use.agreements.publish(party, request.view)
            await self._use.checkpoints.refresh(Log.DIRECTORY)
            return pb.PublishAgreementResponse(index=index)

    async def ChangeAgreement(  # noqa: N802
        self, request: pb.ChangeAgreementRequest, context: Context
    ) -> pb.ChangeAgreementResponse:
        """Keep an accession or a notice and append what it makes of the agreement."""
        with self._peers.call(context) as party:
            index = await self._use.agreements.change(party, request.change)
            await self._use.checkpoints.refresh(Log.DIRECTORY)
            return pb.ChangeAgreementResponse(index=index)

    async def FetchAgreements(  # noqa: N802
        self, request: pb.FetchAgreementsRequest, context: Context
    ) -> pb.FetchAgreementsResponse:
        """Return what is new to the caller of its agreements."""
        with self._peers.call(context) as party:
            _hashes((each.commitment for each in request.known), KNOWN_VIEWS, "commitment")
            known = {each.commitment: each.changes for each in request.known}
            return pb.FetchAgreementsResponse(
                parts=[
                    pb.AgreementPart(commitment=each.commitment, view=each.view, first=each.first, changes=each.changes)
                    for each in await self._use.agreements.parts(party, known)
                ]
            )

    async def PublishCommunity(  # noqa: N802
        self, request: pb.PublishCommunityRequest, context: Context
    ) -> pb.PublishCommunityResponse:
        """Append the commitment of a new epoch, or the end of the last one."""
        with self._peers.call(context) as party:
            index = await self._use.communities.publish(party, request.notice)
            await self._use.checkpoints.refresh(Log.DIRECTORY)
            return pb.PublishCommunityResponse(index=index)

    async def GetCheckpoint(  # noqa: N802
        self, request: pb.GetCheckpointRequest, context: Context
    ) -> pb.GetCheckpointResponse:
        """Return the newest checkpoint; the traffic log is signed for whoever asks, at most every second."""
        with self._peers.call(context):
            log = _log(request.log)
            if log is Log.TRAFFIC and self._use.checkpoints.is_due(log, ASKED_S):
                await self._use.checkpoints.refresh(log)
            await self._use.witnessing.advance(log)
            shown = self._use.witnessing.shown(log)
            return pb.GetCheckpointResponse(checkpoint=shown.newest, cosigned=shown.cosigned, asked=shown.asked)

    async def GetInclusionProof(  # noqa: N802
        self, request: pb.GetInclusionProofRequest, context: Context
    ) -> pb.GetInclusionProofResponse:
        """Return an entry and its path."""
        with self._peers.call(context):
            entry, path = await self._use.logs.inclusion(_log(request.log), request.index, request.size)
            return pb.GetInclusionProofResponse(entry=entry, path=path)

    async def GetConsistencyProof(  # noqa: N802
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        """Return the proof that one size continues another."""
        with self._peers.call(context):
            path = await self._use.logs.consistency(_log(request.log), request.old_size, request.new_size)
            return pb.GetConsistencyProofResponse(path=path)

    async def ReadLog(self, request: pb.ReadLogRequest, context: Context) -> pb.ReadLogResponse:  # noqa: N802
        """Return entries in order."""
        with self._peers.call(context):
            entries = await self._use.logs.entries(_log(request.log), request.start, request.count)
            return pb.ReadLogResponse(entries=entries)

    async def Cosign(self, request: pb.CosignRequest, context: Context) -> pb.CosignResponse:  # noqa: N802
        """Take a witness's line."""
        with self._peers.call(context) as party:
            await self._use.witnessing.take(party, _log(request.log), request.size, request.line)
            return pb.CosignResponse()


def _submissions(request: pb.SubmitRequest) -> list[bytes]:
    submissions = list(request.submissions)
    if not 1 <= len(submissions) <= FRAME_ITEMS:
        raise MalformedInput(f"a frame has 1 to {FRAME_ITEMS} submissions, not {len(submissions)}")
    if sum(map(len, submissions)) > FRAME_BYTES:
        raise TooLarge(f"a frame has at most {FRAME_BYTES} bytes of submissions")
    return submissions


def _submit_response(number: int, answers: Iterable[Answered]) -> pb.SubmitResponse:
    response = pb.SubmitResponse(frame=number)
    for each in answers:
        outcome = response.outcomes.add(decision_record=each.decisions)
        # The stored bytes are the canonical ones, so that a repeat is answered with the same.
        outcome.answer.MergeFromString(each.answer)
    return response


def _deliver_response(frame: Iterable[Waiting]) -> pb.DeliverResponse:
    return pb.DeliverResponse(
        waiting=[pb.Waiting(lane=pb_lane(each.lane), position=each.position, delivery=each.delivery) for each in frame],
        now_ms=now_ms(),
    )


def pb_lane(lane: Lane) -> envelope_pb2.Lane.ValueType:
    """Return the lane as its proto has it."""
    return envelope_pb2.Lane.ValueType(lane)


async def _acknowledgements(requests: AsyncIterator[pb.DeliverRequest]) -> AsyncIterator[Iterable[tuple[Lane, int]]]:
    async for request in requests:
        if request.window_bytes:
            raise MalformedInput("only the first request of a delivery stream opens a window")
        yield [(_lane(cursor.lane), cursor.position) for cursor in request.acknowledged]


def _lane(number: int) -> Lane:
    try:
        return Lane(number)
    except ValueError as error:
        raise MalformedInput(f"there is no lane {number}") from error


def _log(number: int) -> Log:
    try:
        return Log(number)
    except ValueError as error:
        raise MalformedInput(f"there is no log {number}") from error


def _hashes(values: Iterable[bytes], most: int, what: str) -> list[bytes]:
    hashes = [hash_bytes(value, f"a {what}") for value in values]
    if len(hashes) > most:
        raise TooLarge(f"at most {most} of {what}, not {len(hashes)}")
    return hashes


async def _until(requests: AsyncIterator[pb.SubmitRequest], stop: Drain) -> AsyncIterator[pb.SubmitRequest]:
    """Yield requests until they end or `stop` begins."""
    stopped = asyncio.create_task(stop.wait())
    coming: asyncio.Future[pb.SubmitRequest | None] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(requests, None))
            await asyncio.wait({coming, stopped}, return_when="FIRST_COMPLETED")
            request = coming.result() if coming.done() else None
            if request is None:
                return
            yield request
    finally:
        # A call that is ended from outside leaves nobody who would read on.
        for task in (stopped, coming):
            if task is not None:
                task.cancel()
