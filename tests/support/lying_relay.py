"""A relay that lies, with its true keys, built on the real one: between its real services and the partner that calls.

The service of the real relay is subclassed; each answer passes the *lie* that a test has told it, with the partner to
whom it goes. What no lie changes is the real relay's own word, over the real channel. `Honest` changes nothing.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest.mock import patch

from exchange.crypto.signed import Signed, sign
from exchange.envelope.binding import envelope_hash
from exchange.envelope.codec import (
    decode_core,
    decode_delivery,
    decode_header,
    encode_core,
    encode_delivery,
    encode_header,
)
from exchange.envelope.model import Delivery, EnvelopeCore, EnvelopeKind
from exchange.merkle import inclusion_path, leaf_hash, root_of
from exchange.names import PartyId
from exchange.policy.model import Tlp
from exchange.receipts.codec import decode_promise, encode_promise
from exchange.relay import app
from exchange.relay.peers import Context
from exchange.relay.services.relay import RelayService
from exchange.runtime.armour import read_armour
from exchange.tlog.checkpoint import Checkpoint, directory_origin, traffic_origin
from exchange.tlog.signing import sign_checkpoint
from exchange.tlog.tiles import consistency_proof, tiles_of
from exchange.v1 import relay_service_pb2 as pb
from nodes.admin.verify import _KINDS
from nodes.config import Timing
from nodes.evidence_check import Result
from nodes.parts import Node
from nodes.relay_port import Delivered, Log, Waiting
from nodes.store import receiving
from nodes.store.witnesses import kept_evidence
from tests.support.directory_builders import EXCHANGE, ed25519, log_keys
from tests.support.node_world import QUICK, NodeWorld, a_node_world, at, open_alarms, ready, until

PROMISE, LOG = ed25519("relay/promise"), log_keys("relay")

HASTY = QUICK.model_copy(
    update={
        "streams_s": 0.1,
        "stream_head_quiet_s": 0.3,
        "gap_ask_s": 0.2,
        "gap_again_s": 0.5,
        "gap_alarm_s": 1.5,
        "resend_least_s": 0.2,
        "directory_wait_s": 0.5,
        "directory_most_s": 2.0,
    }
)
"""Timing of nodes that notice within seconds what others notice within minutes."""


class Honest:
    """Tells no lie. Each method gets the partner to whom an answer goes, and the true answer."""

    def deliver(self, to: PartyId, waiting: Sequence[pb.Waiting]) -> Sequence[pb.Waiting]:
        """Return what is delivered in the place of one frame."""
        return [lied for each in waiting for lied in self.one(to, each)]

    def one(self, to: PartyId, waiting: pb.Waiting) -> Iterable[pb.Waiting]:
        """Return what is delivered in the place of one envelope."""
        del to
        return [waiting]

    def answer(self, to: PartyId, outcome: pb.Outcome) -> pb.Outcome:
        """Return the answer to a submission."""
        del to
        return outcome

    def directory(self, to: PartyId, frame: pb.FollowDirectoryResponse) -> pb.FollowDirectoryResponse | None:
        """Return what is shown of the directory; None shows nothing."""
        del to
        return frame

    def bundles(self, to: PartyId, bundles: Sequence[bytes]) -> Sequence[bytes]:
        """Return prekeys that were asked for."""
        del to
        return bundles

    def agreements(self, to: PartyId, parts: Sequence[pb.AgreementPart]) -> Sequence[pb.AgreementPart]:
        """Return views and changes of agreements that were asked for."""
        del to
        return parts

    def checkpoint(self, to: PartyId, log: Log, note: str) -> str:
        """Return the newest checkpoint."""
        del to, log
        return note

    def inclusion(self, to: PartyId, asked: pb.GetInclusionProofRequest) -> tuple[bytes, Sequence[bytes]] | None:
        """Return another proof than the true one, or None."""
        del to, asked
        return None

    def consistency(self, to: PartyId, asked: pb.GetConsistencyProofRequest) -> Sequence[bytes] | None:
        """Return another proof than the true one, or None."""
        del to, asked
        return None


@dataclass(slots=True)
class Told:
    """What the relay tells now."""

    lie: Honest = field(default_factory=Honest)


class LyingService(RelayService):
    """The real service, whose answers pass a lie."""

    def __init__(self, told: Told, *arguments: Any) -> None:
        """Any: as RelayService."""
        super().__init__(*arguments)
        self._told = told

    async def Submit(self, request_iterator: Any, context: Context) -> AsyncIterator[pb.SubmitResponse]:  # noqa: N802
        """Answer what the lie says; Any: as RelayService."""
        to = self._to(context)
        async for response in super().Submit(request_iterator, context):
            outcomes = [self._told.lie.answer(to, each) for each in response.outcomes]
            yield pb.SubmitResponse(frame=response.frame, outcomes=outcomes)

    async def Deliver(self, request_iterator: Any, context: Context) -> AsyncIterator[pb.DeliverResponse]:  # noqa: N802
        """Deliver what the lie says; Any: as RelayService."""
        to = self._to(context)
        async for response in super().Deliver(request_iterator, context):
            lied = self._told.lie.deliver(to, list(response.waiting))
            if lied or not response.waiting:
                yield pb.DeliverResponse(waiting=lied, now_ms=response.now_ms)

    async def FollowDirectory(  # noqa: N802
        self, request: pb.FollowDirectoryRequest, context: Context
    ) -> AsyncIterator[pb.FollowDirectoryResponse]:
        """Show what the lie says."""
        to = self._to(context)
        async for response in super().FollowDirectory(request, context):
            lied = self._told.lie.directory(to, response)
            if lied is not None:
                yield lied

    async def FetchPrekeys(self, request: pb.FetchPrekeysRequest, context: Context) -> pb.FetchPrekeysResponse:  # noqa: N802
        """Hand out what the lie says."""
        found = await super().FetchPrekeys(request, context)
        return pb.FetchPrekeysResponse(bundles=self._told.lie.bundles(self._to(context), list(found.bundles)))

    async def FetchAgreements(  # noqa: N802
        self, request: pb.FetchAgreementsRequest, context: Context
    ) -> pb.FetchAgreementsResponse:
        """Hand out what the lie says."""
        found = await super().FetchAgreements(request, context)
        return pb.FetchAgreementsResponse(parts=self._told.lie.agreements(self._to(context), list(found.parts)))

    async def GetCheckpoint(self, request: pb.GetCheckpointRequest, context: Context) -> pb.GetCheckpointResponse:  # noqa: N802
        """Sign what the lie says."""
        found = await super().GetCheckpoint(request, context)
        note = self._told.lie.checkpoint(self._to(context), Log(request.log), found.checkpoint)
        return pb.GetCheckpointResponse(checkpoint=note)

    async def GetInclusionProof(  # noqa: N802
        self, request: pb.GetInclusionProofRequest, context: Context
    ) -> pb.GetInclusionProofResponse:
        """Prove what the lie says."""
        lied = self._told.lie.inclusion(self._to(context), request)
        if lied is None:
            return await super().GetInclusionProof(request, context)
        return pb.GetInclusionProofResponse(entry=lied[0], path=lied[1])

    async def GetConsistencyProof(  # noqa: N802
        self, request: pb.GetConsistencyProofRequest, context: Context
    ) -> pb.GetConsistencyProofResponse:
        """Prove what the lie says."""
        lied = self._told.lie.consistency(self._to(context), request)
        if lied is None:
            return await super().GetConsistencyProof(request, context)
        return pb.GetConsistencyProofResponse(path=lied)

    def _to(self, context: Context) -> PartyId:
        return self._peers._identify(context)


@dataclass(frozen=True, slots=True)
class Deceived:
    """Honest nodes at a relay that lies."""

    world: NodeWorld
    nodes: dict[str, Node]
    told: Told

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def tell(self, lie: Honest) -> None:
        """Tell this lie from now on."""
        self.told.lie = lie

    def relent(self) -> None:
        """Tell the truth from now on."""
        self.told.lie = Honest()


@asynccontextmanager
async def deceived(*names: str, agree: bool = True, timing: Timing = HASTY) -> AsyncIterator[Deceived]:
    """Run a lying relay, honest at first, and a node for each of these parties."""
    told = Told()
    with patch.object(app, "RelayService", partial(LyingService, told)):
        async with a_node_world() as world, AsyncExitStack() as stack:
            for name in names:
                await world.place(name, timing=timing)
            if agree:
                await world.relay.agree(*names)
            running = {name: await stack.enter_async_context(at(world.places[name])) for name in names}
            for node in running.values():
                await ready(node, [name for name in names if name != node.core.me], agree=agree)
            yield Deceived(world, running, told)


# -- what is delivered -------------------------------------------------------------------------------------------------


def core_of(waiting: pb.Waiting) -> EnvelopeCore:
    """Return what the relay can read of an envelope."""
    return decode_core(decode_header(decode_delivery(waiting.delivery).header.payload).core)


def is_report(waiting: pb.Waiting) -> bool:
    """Say whether an envelope carries a report."""
    return core_of(waiting).kind is EnvelopeKind.REPORT


@dataclass(slots=True)
class OnReports(Honest):
    """Changes the reports that one partner gets, as often as it is told; receipts and heads pass."""

    victim: str
    change: Callable[[pb.Waiting], Sequence[pb.Waiting]]
    times: int = 1_000_000

    def one(self, to: PartyId, waiting: pb.Waiting) -> Iterable[pb.Waiting]:
        """Change it if it is one."""
        if to != self.victim or not self.times or not is_report(waiting):
            return [waiting]
        self.times -= 1
        return self.change(waiting)


def changed(waiting: pb.Waiting, **parts: Any) -> pb.Waiting:
    """Return a delivery with these parts of it changed; Any: fields of Delivery."""
    delivery: Delivery = replace(decode_delivery(waiting.delivery), **parts)
    return pb.Waiting(lane=waiting.lane, position=waiting.position, delivery=encode_delivery(delivery))


def signed_promise(signed: Signed, **changes: Any) -> Signed:
    """Return another promise for the same envelope, signed by the relay; Any: fields of Promise."""
    promise = replace(decode_promise(signed.payload), **changes)
    return sign(PROMISE, "promise", encode_promise(promise), context=EXCHANGE)


def promised(waiting: pb.Waiting, **changes: Any) -> pb.Waiting:
    """Return a delivery under another promise; Any: fields of Promise."""
    return changed(waiting, promise=signed_promise(decode_delivery(waiting.delivery).promise, **changes))


def with_lower_marking(waiting: pb.Waiting) -> pb.Waiting:
    """Return a delivery whose header says CLEAR, promised as if it had always been so."""
    delivery = decode_delivery(waiting.delivery)
    core = core_of(waiting)
    edited = encode_core(replace(core, label=replace(core.label, tlp=Tlp.CLEAR)))
    header = encode_header(replace(decode_header(delivery.header.payload), core=edited))
    promise = signed_promise(delivery.promise, envelope_hash=envelope_hash(header))
    return changed(waiting, header=replace(delivery.header, payload=header), promise=promise)


def with_false_promise(waiting: pb.Waiting) -> pb.Waiting:
    """Return a delivery under a promise that another key has signed."""
    payload = decode_delivery(waiting.delivery).promise.payload
    return changed(waiting, promise=sign(LOG.ed25519, "promise", payload, context=EXCHANGE))


@dataclass(slots=True)
class Several(Honest):
    """Several lies, one after the other: each changes what the one before left; a proof is the first one's word."""

    lies: list[Honest] = field(default_factory=list)

    def deliver(self, to: PartyId, waiting: Sequence[pb.Waiting]) -> Sequence[pb.Waiting]:
        """Let each change what the one before left."""
        for lie in self.lies:
            waiting = lie.deliver(to, waiting)
        return waiting

    def directory(self, to: PartyId, frame: pb.FollowDirectoryResponse) -> pb.FollowDirectoryResponse | None:
        """Show it unless one of them does not."""
        shown: pb.FollowDirectoryResponse | None = frame
        for lie in self.lies:
            shown = lie.directory(to, shown) if shown is not None else None
        return shown

    def checkpoint(self, to: PartyId, log: Log, note: str) -> str:
        """Sign what the last of them says."""
        for lie in self.lies:
            note = lie.checkpoint(to, log, note)
        return note

    def inclusion(self, to: PartyId, asked: pb.GetInclusionProofRequest) -> tuple[bytes, Sequence[bytes]] | None:
        """Prove what one of them says."""
        return next((found for lie in self.lies if (found := lie.inclusion(to, asked)) is not None), None)

    def consistency(self, to: PartyId, asked: pb.GetConsistencyProofRequest) -> Sequence[bytes] | None:
        """Prove what one of them says."""
        return next((found for lie in self.lies if (found := lie.consistency(to, asked)) is not None), None)


# -- logs --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class OtherTraffic(Honest):
    """Shows one partner another traffic log than the one that promises were given in, with proofs of it."""

    victim: str
    entries: Sequence[bytes]

    def checkpoint(self, to: PartyId, log: Log, note: str) -> str:
        """Sign the other log."""
        if to != self.victim or log is not Log.TRAFFIC:
            return note
        root = root_of([leaf_hash(entry) for entry in self.entries])
        return sign_checkpoint(Checkpoint(traffic_origin(EXCHANGE), len(self.entries), root), LOG)

    def inclusion(self, to: PartyId, asked: pb.GetInclusionProofRequest) -> tuple[bytes, Sequence[bytes]] | None:
        """Prove what stands in the other log."""
        if to != self.victim or Log(asked.log) is not Log.TRAFFIC or asked.index >= len(self.entries):
            return None
        return self.entries[asked.index], inclusion_path(
            [leaf_hash(e) for e in self.entries[: asked.size]], asked.index
        )

    def consistency(self, to: PartyId, asked: pb.GetConsistencyProofRequest) -> Sequence[bytes] | None:
        """Prove that the other log continues itself."""
        if to != self.victim or Log(asked.log) is not Log.TRAFFIC or asked.new_size > len(self.entries):
            return None
        return consistency_proof(tiles_of([leaf_hash(e) for e in self.entries]), asked.old_size, asked.new_size)


@dataclass(slots=True)
class OtherDirectory(Honest):
    """Shows one partner other entries than these are from now on, under checkpoints of what it shows."""

    victim: str
    shown: list[bytes]
    """All entries that the victim has."""
    change: Callable[[Sequence[bytes]], Sequence[bytes]]

    def directory(self, to: PartyId, frame: pb.FollowDirectoryResponse) -> pb.FollowDirectoryResponse | None:
        """Show the other entries."""
        if to != self.victim or not frame.entries:
            return frame
        start = len(self.shown)
        self.shown += self.change(list(frame.entries))
        root = root_of([leaf_hash(entry) for entry in self.shown])
        note = sign_checkpoint(Checkpoint(directory_origin(EXCHANGE), len(self.shown), root), LOG)
        return pb.FollowDirectoryResponse(start=start, entries=self.shown[start:], checkpoint=note)


@dataclass(slots=True)
class Frozen(Honest):
    """Shows one partner no newer directory."""

    victim: str

    def directory(self, to: PartyId, frame: pb.FollowDirectoryResponse) -> pb.FollowDirectoryResponse | None:
        """Show nothing."""
        return None if to == self.victim else frame


# -- what the nodes say of it ------------------------------------------------------------------------------------------


class Liar:
    """Stands before the relay of one part of a node: what it does not lie about is the relay's own word."""

    def __init__(self, relay: Any) -> None:
        """Any: the relay of a node, or another liar."""
        self._relay = relay

    def __getattr__(self, name: str) -> Any:
        """Pass on."""
        return getattr(self._relay, name)


def between(node: Node, change: Callable[[Waiting], Waiting | None]) -> None:
    """Let `change` change, or drop, everything that is delivered to a node."""
    take = node.receiver.take

    async def lied(frame: Delivered) -> object:
        kept = [each for waiting in frame.waiting if (each := change(waiting)) is not None]
        return await take(Delivered(kept, frame.now_ms)) if kept else None

    node.receiver.take = lied  # type: ignore[method-assign,assignment]


async def alarmed(node: Node, kind: str) -> None:
    """Wait until an alarm of this kind is open."""

    async def rings() -> bool:
        return kind in await open_alarms(node)

    await until(rings, f"no alarm of kind {kind}")


async def aside(node: Node) -> list[tuple[int, str]]:
    """Return step and reason of what was set aside."""
    return [(each.step, each.reason) for each in await node.core.database.read(receiving.list_set_aside)]


async def is_aside(node: Node, *wanted: tuple[int, str]) -> None:
    """Wait until this, and nothing else, is set aside."""

    async def holds() -> bool:
        return await aside(node) == list(wanted)

    await until(holds, "it was not set aside")


async def verdicts(node: Node) -> list[dict[str, Result]]:
    """Return what each file of evidence that a node keeps comes to, as `concord verify` checks it anywhere."""
    kept = await node.core.database.read(partial(kept_evidence, limit=99))
    checked = [_KINDS[read_armour(each.file, set(_KINDS))[0]](each.file) for each in kept]
    return [{check.what: check.result for check in each.checks} for each in checked]
