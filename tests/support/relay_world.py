"""A real relay on loopback, and partners that speak with it over mutual TLS with real certificates.

The partners' keys are those of directory_builders; times are the machine's, because TLS checks certificates by it.
"""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from exchange.crypto import x509
from exchange.crypto.codec import encode_signed, signed_from_proto
from exchange.crypto.logkeys import LogKeys, LogPublicKeys
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, add_signature, payload_type, sign
from exchange.directory import ceremony, prekeys
from exchange.directory.codec import join_request_to_proto
from exchange.directory.prekeys import day_of
from exchange.envelope.model import (
    CONTROL_LABEL,
    REPORT_TYPE,
    BlobKey,
    BlobRef,
    Body,
    EnvelopeKind,
    Head,
    Lane,
)
from exchange.envelope.seal import Prepared, Recipient, Sealed, prepare, seal_all
from exchange.names import PartyId, party_id
from exchange.policy.agreement import AgreementRef, EnforcementView, Term, commitment
from exchange.policy.codec import encode_view
from exchange.policy.model import Category, Purpose, RelayLabel, Tlp
from exchange.receipts.model import Promise, Refusal
from exchange.receipts.verify import open_promise, open_refusal
from exchange.relay.app import Listening, running
from exchange.relay.config import LimitSettings, RelaySettings
from exchange.relay.home import GENESIS, CertificateAuthority, KeySet, RelayHome, RelaySecrets
from exchange.runtime.armour import write_armour
from exchange.runtime.clock import now_ms
from exchange.runtime.grpc_options import channel_options
from exchange.runtime.lifecycle import Drain
from exchange.runtime.secrets import private_dir
from exchange.runtime.tls import NEUTRAL_NAME, channel_credentials
from exchange.v1 import join_service_pb2, relay_service_pb2
from exchange.v1.blob_service_pb2_grpc import BlobServiceStub
from exchange.v1.join_service_pb2_grpc import JoinServiceStub
from exchange.v1.relay_service_pb2_grpc import RelayServiceStub
from tests.support.directory_builders import (
    EXCHANGE,
    Exchange,
    PartyKeys,
    a_join_request,
    an_exchange,
    an_invitation,
    ed25519,
    log_keys,
    party_keys,
    transport_ca,
)

import grpc.aio  # isort: skip - after exchange.runtime has set its environment

if TYPE_CHECKING:
    from exchange.v1.blob_service_pb2_grpc import BlobServiceAsyncStub
    from exchange.v1.relay_service_pb2_grpc import RelayServiceAsyncStub

T = TypeVar("T")

DAY_MS = 24 * 60 * 60 * 1000
CALL_S = 10.0


def secrets() -> RelaySecrets:
    """Return the relay's keys that the genesis of directory_builders names."""
    return RelaySecrets((key_set("relay"),), CertificateAuthority(*transport_ca("relay/join")))


def key_set(name: str) -> KeySet:
    """Return the secret halves of directory_builders.relay_keys(name)."""
    return KeySet(ed25519(f"{name}/promise"), log_keys(name), CertificateAuthority(*transport_ca(name)))


@dataclass(frozen=True, slots=True)
class OneKey:
    """Signs checkpoints by the same keys for ever."""

    keys: LogKeys = field(default_factory=lambda: log_keys("relay"))

    async def log_keys(self, _log: object, _size: int) -> LogKeys:
        """Return them."""
        return self.keys

    def still_sign(self, keys: LogPublicKeys, _size: int) -> bool:
        """Say whether it is them."""
        return keys == self.keys.public

    def log_keys_ever(self) -> Sequence[LogPublicKeys]:
        """Return them."""
        return [self.keys.public]


def short_home() -> Path:
    """Return a new directory with a path that leaves room for a socket's name."""
    return private_dir(Path(tempfile.mkdtemp(prefix="relay-")))


def settings(address: str = "127.0.0.1:0", join_address: str = "127.0.0.1:0", **limits: int) -> RelaySettings:
    """Return a configuration with free ports."""
    given = {"joins_per_minute": 10_000, "calls_per_minute": 100_000, "reports_per_minute": 1_000_000}
    given |= {"statements_per_day": 1_000_000} | limits
    return RelaySettings(
        exchange=EXCHANGE, address=address, join_address=join_address, drain_s=2, limits=LimitSettings(**given)
    )


def a_home(exchange: Exchange) -> RelayHome:
    """Return a home with the signed genesis; it is the caller's to remove."""
    home = RelayHome(short_home())
    home.genesis.write_text(write_armour(GENESIS, exchange.entries[0]))
    return home


@dataclass(slots=True)
class Partner:
    """One partner's side of the wire."""

    keys: PartyKeys
    channel: grpc.aio.Channel
    stub: "RelayServiceAsyncStub"
    sequence: int = 0

    @property
    def party(self) -> PartyId:
        """Its id."""
        return self.keys.party

    @property
    def blobs(self) -> "BlobServiceAsyncStub":
        """Attachments over the same channel."""
        return BlobServiceStub(self.channel)

    async def submit(self, *submissions: bytes) -> list[relay_service_pb2.Outcome]:
        """Submit one frame and return its outcomes."""
        frame = relay_service_pb2.SubmitRequest(frame=7, submissions=submissions)
        call = self.stub.Submit(iter([frame]), timeout=CALL_S)
        responses = [response async for response in call]
        assert [response.frame for response in responses] == [7]
        return list(responses[0].outcomes)

    async def collect(
        self, count: int, *, acknowledge: bool = True, window: int = 4 << 20
    ) -> list[relay_service_pb2.Waiting]:
        """Return the next `count` envelopes that wait, acknowledging what comes."""
        requests: asyncio.Queue[relay_service_pb2.DeliverRequest | None] = asyncio.Queue()
        requests.put_nowait(relay_service_pb2.DeliverRequest(window_bytes=window))

        async def feed() -> AsyncIterator[relay_service_pb2.DeliverRequest]:
            while (request := await requests.get()) is not None:
                yield request

        call = self.stub.Deliver(feed(), timeout=CALL_S)
        found: list[relay_service_pb2.Waiting] = []
        async for response in call:
            found += response.waiting
            if acknowledge and response.waiting:
                requests.put_nowait(acknowledgement(response.waiting))
            if len(found) >= count:
                requests.put_nowait(None)
        return found


def acknowledgement(waiting: Sequence[relay_service_pb2.Waiting]) -> relay_service_pb2.DeliverRequest:
    """Return the request that acknowledges a frame."""
    highest = {each.lane: each.position for each in waiting}
    return relay_service_pb2.DeliverRequest(
        acknowledged=[relay_service_pb2.Cursor(lane=lane, position=at) for lane, at in highest.items()]
    )


@dataclass(slots=True)
class World:
    """A running relay, its partners, and a replayed directory as every partner has it."""

    home: RelayHome
    exchange: Exchange
    listening: Listening
    partners: dict[str, Partner] = field(default_factory=dict)

    def leaf(self, keys: PartyKeys, *, name: str | None = None) -> tuple[bytes, bytes]:
        """Return a leaf of the party's CA, by default with its own name."""
        return x509.issue_leaf(
            keys.ca,
            keys.ca_key,
            uri=x509.party_uri(EXCHANGE, party_id(name or keys.party)),
            dns_names=(),
            ip_addresses=(),
            now_ms=now_ms(),
            hours=24,
            client=True,
            server=False,
        )

    def connect(self, keys: PartyKeys, *, name: str | None = None) -> Partner:
        """Return a partner with an open channel, without asking whether the relay knows it."""
        roots = x509.pem_of(transport_ca("relay")[0])
        credentials = channel_credentials(roots, *self.leaf(keys, name=name))
        channel = grpc.aio.secure_channel(self.listening.address, credentials, options=channel_options(NEUTRAL_NAME))
        return Partner(keys, channel, RelayServiceStub(channel))

    def join_channel(self) -> grpc.aio.Channel:
        """Return a channel to the join port, which only the CA in relay.info opens."""
        return grpc.aio.secure_channel(
            self.listening.join_address,
            channel_credentials(self.listening.info.join_ca_pem.encode()),
            options=channel_options(NEUTRAL_NAME),
        )

    async def join(self, name: str, *, admit: bool = True, days: int = 3) -> Partner:
        """Let a party join over the join port, be admitted, and publish prekeys from yesterday on."""
        now = now_ms()
        keys = party_keys(name)
        request = a_join_request(keys, an_invitation(name, self.exchange.council_key, now_ms=now), now_ms=now)
        async with self.join_channel() as channel:
            stub = JoinServiceStub(channel)
            asked = join_service_pb2.JoinServiceJoinRequest(request=join_request_to_proto(request))
            await stub.Join(asked, timeout=CALL_S)
            for part in (request.invitation, request.party_root, request.node_cert, request.transport_key):
                self.exchange.add(part)
            self.exchange.parties[keys.party] = keys
            if not admit:
                return self.connect(keys)
            admission = ceremony.make_admission(
                exchange=EXCHANGE,
                party=keys.party,
                root_key_id=keys.root.public.key_id,
                now_ms=now,
                council_key=self.exchange.council_key,
            )
            await stub.Admit(
                join_service_pb2.JoinServiceAdmitRequest(admission=encode_signed(admission)), timeout=CALL_S
            )
            self.exchange.add(admission)
        partner = self.partners[name] = self.connect(keys)
        if days:
            await self.publish_prekeys(partner, days=days)
        return partner

    async def publish_prekeys(self, partner: Partner, *, days: int = 3) -> Signed:
        """Publish a bundle from yesterday on and return it."""
        keys, first = partner.keys, day_of(now_ms()) - 1
        bundle = prekeys.make_bundle(
            exchange=EXCHANGE,
            party=keys.party,
            first_day=first,
            keys=[keys.prekey(day).public for day in range(first, first + days)],
            statement_key=keys.statement,
        )
        place = self.exchange.directory.next_seq_prev(keys.party)
        statement = prekeys.make_bundle_hash(bundle, place=place, now_ms=now_ms(), statement_key=keys.statement)
        await partner.stub.PublishPrekeys(
            relay_service_pb2.PublishPrekeysRequest(bundle=encode_signed(bundle), statement=encode_signed(statement)),
            timeout=CALL_S,
        )
        self.exchange.add(statement)
        return bundle

    async def agree(self, *names: str, **changes: object) -> AgreementRef:
        """Let the relay log an agreement between these partners and return its reference."""
        view = a_view(names, **changes)
        signed = signed_view(view, [self.partners[name].keys for name in names])
        answer = await self.partners[names[0]].stub.PublishAgreement(
            relay_service_pb2.PublishAgreementRequest(view=encode_signed(signed)), timeout=CALL_S
        )
        await self.mirror()
        assert answer.index < self.exchange.directory.size
        return AgreementRef(view.agreement_id, view.version, commitment(signed.payload, view.salt))

    async def mirror(self) -> str:
        """Bring the replayed directory up to the relay's; return the newest checkpoint."""
        anyone = next(iter(self.partners.values()))
        call = anyone.stub.FollowDirectory(
            relay_service_pb2.FollowDirectoryRequest(start=self.exchange.directory.size), timeout=CALL_S
        )
        async for response in call:
            for entry in response.entries:
                self.exchange.directory.apply(entry, self.exchange.directory.size)
                self.exchange.entries.append(entry)
            if response.checkpoint:
                call.cancel()
                return str(response.checkpoint)
        raise AssertionError("the directory stream ended")


def a_view(names: Sequence[str], **changes: object) -> EnforcementView:
    """Return the view of an agreement in which everybody may send alerts to everybody."""
    term = Term(
        purposes=(Purpose.PROTECT_LIFE,),
        categories=(Category.TERROR_ATTACK, Category.ALERT),
        ceiling=Tlp.AMBER,
        clause="art-4",
        about_any=True,
    )
    given: dict[str, object] = {
        "exchange": EXCHANGE,
        "agreement_id": random_bytes(16),
        "version": 1,
        "parties": tuple(party_id(name) for name in sorted(names)),
        "terms": (term,),
        "valid_from_ms": now_ms() - DAY_MS,
        "valid_until_ms": now_ms() + 365 * DAY_MS,
        "text_sha256": sha256(b"text").digest(),
        "salt": random_bytes(16),
    }
    return EnforcementView(**(given | changes))  # type: ignore[arg-type]  # the caller names fields


def signed_view(view: EnforcementView, parties: Sequence[PartyKeys]) -> Signed:
    """Return the view signed by these parties' roots."""
    first, *others = parties
    signed = sign(first.root, payload_type("enforcement-view"), encode_view(view), context=EXCHANGE)
    for keys in others:
        signed = add_signature(signed, keys.root, context=EXCHANGE)
    return signed


def recipients_of(
    names: Sequence[str], basis: AgreementRef | None, *, seq: int, at_ms: int, via: str = ""
) -> list[Recipient]:
    """Return the slots' contents for these partners."""
    return [
        Recipient(
            party_id(name), party_keys(name).prekey(day_of(at_ms)).public, stream=1, pair_seq=seq, basis=basis, via=via
        )
        for name in names
    ]


def a_prepared(
    sender: PartyKeys,
    names: Sequence[str],
    basis: AgreementRef | None,
    head: Head,
    *,
    seq: int = 1,
    lane: Lane = Lane.ROUTINE,
    content: bytes = b"a report",
    at_ms: int | None = None,
    via: str = "",
    blobs: Sequence[tuple[BlobRef, BlobKey]] = (),
    **label: object,
) -> Prepared:
    """Return an envelope to be signed: a report, or control traffic when there is no basis."""
    at_ms = now_ms() if at_ms is None else at_ms
    expires_ms = at_ms + 7 * DAY_MS
    fields: dict[str, object] = {
        "tlp": Tlp.AMBER,
        "policy": "concord/1",
        "categories": (Category.ALERT,),
        "purposes": (Purpose.PROTECT_LIFE,),
        "flags": 0,
        "expires_ms": expires_ms,
        "label_sha256": sha256(b"label").digest(),
    }
    control = basis is None
    name = "retraction" if control else REPORT_TYPE
    return prepare(
        exchange=EXCHANGE,
        sender=sender.party,
        sender_key=sender.envelope.public.key_id,
        created_ms=at_ms,
        expires_ms=expires_ms,
        lane=lane,
        kind=EnvelopeKind.CONTROL if control else EnvelopeKind.REPORT,
        label=CONTROL_LABEL if control else RelayLabel(**(fields | label)),  # type: ignore[arg-type]  # as above
        directory=head,
        body=Body(sign(sender.statement, name, content, context=EXCHANGE), blobs=tuple(key for _, key in blobs)),
        blobs=[ref for ref, _ in blobs],
        recipients=recipients_of(names, basis, seq=seq, at_ms=at_ms, via=via),
    )


def a_sealed(sender: PartyKeys, *arguments: object, **keywords: object) -> Sealed:
    """Return an envelope that is ready to submit; arguments as for a_prepared."""
    return seal_all([a_prepared(sender, *arguments, **keywords)], sender.envelope)[0]  # type: ignore[arg-type]


def head_of(exchange: Exchange) -> Head:
    """Return the directory head that a sender verified."""
    return Head(exchange.directory.size, exchange.directory.root())


def promise_of(outcome: relay_service_pb2.Outcome) -> Promise:
    """Return the promise in an outcome; its signature must hold."""
    return open_promise(signed_from_proto(outcome.answer), ed25519("relay/promise").public, EXCHANGE)


def refusal_of(outcome: relay_service_pb2.Outcome) -> Refusal:
    """Return the refusal in an outcome; its signature must hold."""
    return open_refusal(signed_from_proto(outcome.answer), ed25519("relay/promise").public, EXCHANGE)


@asynccontextmanager
async def a_world(*names: str, given: RelaySettings | None = None) -> AsyncIterator[World]:
    """Run a relay with these partners admitted; everything is removed at the end."""
    exchange = an_exchange(())
    home = a_home(exchange)
    try:
        async with running(home, given or settings(), secrets(), Drain()) as listening:
            world = World(home, exchange, listening)
            for name in names:
                await world.join(name)
            yield world
            for partner in world.partners.values():
                await partner.channel.close()
    finally:
        shutil.rmtree(home.root)


def play(scene: Callable[[World], Awaitable[T]], *names: str, given: RelaySettings | None = None) -> T:
    """Run a scene in a world with these partners and return what it returns."""

    async def run() -> T:
        async with a_world(*names, given=given) as world:
            return await scene(world)

    return asyncio.run(run())
