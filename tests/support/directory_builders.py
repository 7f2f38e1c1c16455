"""A founded exchange with admitted parties and all their secret keys, for tests of any part.

Keys come from seeds that are hashes of names, so they are the same in every run; deriving them is cached, because a
test run asks for the same few hundreds of times. Times start at NOON.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

from exchange.crypto import x509
from exchange.crypto.codec import encode_signed
from exchange.crypto.logkeys import LogKeys
from exchange.crypto.signed import Signed
from exchange.crypto.signing import CompositeKey, Ed25519Key, Mldsa44Key
from exchange.crypto.xwing import XWingKey
from exchange.directory import ceremony, prekeys
from exchange.directory.fold import Applied, Directory
from exchange.directory.statements import CouncilMember, ExchangeLimits, JoinRequest, RelayKeys, Witnesses
from exchange.limits import RECIPIENTS, REPORT_BYTES
from exchange.names import ExchangeName, PartyId, exchange_name, party_id

DAY_MS = prekeys.DAY_MS
NOON = 1_637_755_200_000
"""2021-11-24 12:00 UTC."""

EXCHANGE: ExchangeName = exchange_name("test.concord.example")
RED = 5
COUNTRIES = {"XA": "Aldmark Foreign Office", "XV": "Velkar Citizens Abroad Office", "XO": "Oskeria Protective Service"}
LIMITS = ExchangeLimits(min_suite=1, report_bytes=REPORT_BYTES, recipients=RECIPIENTS)


def seed(name: str, length: int) -> bytes:
    """Return bytes that depend on the name alone."""
    return sha256(f"{name}/0".encode()).digest()[:length] + sha256(f"{name}/1".encode()).digest()[: max(0, length - 32)]


@cache
def composite(name: str) -> CompositeKey:
    """Return the composite key of a name, such as `XA/root`."""
    return CompositeKey.from_seed(seed(name, 64))


@cache
def ed25519(name: str) -> Ed25519Key:
    """Return the Ed25519 key of a name, such as `relay/promise`."""
    return Ed25519Key.from_seed(seed(name, 32))


@cache
def mldsa44(name: str) -> Mldsa44Key:
    """Return the ML-DSA-44 key of a name, such as `XA/witness`."""
    return Mldsa44Key.from_seed(seed(name, 32))


def log_keys(name: str) -> LogKeys:
    """Return the two keys of a log: those of its name and `log`, `log-mldsa`."""
    return LogKeys(ed25519(f"{name}/log"), mldsa44(f"{name}/log-mldsa"))


@cache
def xwing(name: str) -> XWingKey:
    """Return the X-Wing key of a name, such as `XA/prekey/18955`."""
    return XWingKey.from_seed(seed(name, 32))


@cache
def transport_ca(name: str) -> tuple[bytes, bytes]:
    """Return a CA as DER and its private key; ECDSA keys have no seed here, so it is new in every process."""
    return x509.new_ca(sha256(name.encode()).hexdigest()[:32], now_ms=NOON, days=3650)


def relay_keys(name: str = "relay") -> RelayKeys:
    """Return the relay's public keys: ed25519("relay/promise"), log_keys("relay"), transport_ca("relay")."""
    return RelayKeys(ed25519(f"{name}/promise").public, log_keys(name).public, transport_ca(name)[0])


@dataclass(frozen=True, slots=True)
class Council:
    """Council roots, by the party that holds each."""

    members: tuple[CouncilMember, ...]
    roots: tuple[CompositeKey, ...]
    threshold: int
    witnesses: Witnesses = ceremony.UNWITNESSED

    def genesis(self) -> Signed:
        """Return the genesis that all of them signed."""
        return ceremony.make_genesis(
            exchange=EXCHANGE,
            council=self.members,
            threshold=self.threshold,
            relay=relay_keys(),
            limits=LIMITS,
            now_ms=NOON,
            roots=self.roots,
            witnesses=self.witnesses,
        )


def a_council(
    parties: Sequence[str] = ("XA",), threshold: int = 1, witnesses: Witnesses = ceremony.UNWITNESSED
) -> Council:
    """Return a council of the roots of these parties."""
    roots = tuple(composite(f"{party}/root") for party in parties)
    members = tuple(CouncilMember(party_id(party), root.public) for party, root in zip(parties, roots, strict=True))
    return Council(members, roots, threshold, witnesses)


def a_directory(council: Council | None = None) -> Directory:
    """Return a directory that holds the genesis alone."""
    return Directory.found(encode_signed((council or a_council()).genesis()), expected_hash=None)


@dataclass(frozen=True, slots=True)
class PartyKeys:
    """All secret keys of one party."""

    party: PartyId
    root: CompositeKey
    one_time: Ed25519Key
    statement: CompositeKey
    envelope: Ed25519Key
    ca: bytes
    ca_key: bytes

    def prekey(self, day: int) -> XWingKey:
        """Return the secret prekey of a day."""
        return xwing(f"{self.party}/prekey/{day}")


def party_keys(name: str) -> PartyKeys:
    """Return the keys of a party: those of its name and the use."""
    ca, ca_key = transport_ca(name)
    return PartyKeys(
        party_id(name),
        composite(f"{name}/root"),
        ed25519(f"{name}/one-time"),
        composite(f"{name}/statement"),
        ed25519(f"{name}/envelope"),
        ca,
        ca_key,
    )


def an_invitation(
    party: str, council_key: CompositeKey, *, now_ms: int = NOON, ceiling: int = RED, one_time: Ed25519Key | None = None
) -> Signed:
    """Return an invitation that lasts 14 days."""
    return ceremony.make_invitation(
        exchange=EXCHANGE,
        party=party_id(party),
        country=party[:2],
        display_name=COUNTRIES.get(party, f"Office of {party}"),
        ceiling=ceiling,
        one_time_key=(one_time or ed25519(f"{party}/one-time")).public,
        now_ms=now_ms,
        not_after_ms=now_ms + 14 * DAY_MS,
        council_key=council_key,
    )


def a_join_request(keys: PartyKeys, invitation: Signed, *, now_ms: int = NOON) -> JoinRequest:
    """Return all four statements of a party that joins."""
    root = ceremony.make_party_root(
        exchange=EXCHANGE,
        party=keys.party,
        invitation_sha256=sha256(invitation.payload).digest(),
        root=keys.root,
        now_ms=now_ms,
    )
    behind_root = ceremony.place_after(root, ceremony.FIRST_PLACE)
    cert = ceremony.make_node_cert(
        exchange=EXCHANGE,
        party=keys.party,
        place=behind_root,
        statement_key=keys.statement.public,
        envelope_key=keys.envelope.public,
        now_ms=now_ms,
        not_after_ms=now_ms + 365 * DAY_MS,
        root=keys.root,
    )
    transport = ceremony.make_transport_key(
        exchange=EXCHANGE,
        party=keys.party,
        place=ceremony.place_after(cert, behind_root),
        ca_certificate=keys.ca,
        now_ms=now_ms,
        statement_key=keys.statement,
    )
    return ceremony.make_join_request(
        invitation=invitation,
        party_root=ceremony.prove_invitation(root, keys.one_time),
        node_cert=cert,
        transport_key=transport,
    )


@dataclass(slots=True)
class Exchange:
    """A founded exchange: its directory, the entries of its log, and everybody's secret keys."""

    directory: Directory
    entries: list[bytes]
    council: Council
    parties: dict[PartyId, PartyKeys] = field(default_factory=dict)
    promise: Ed25519Key = field(default_factory=lambda: ed25519("relay/promise"))
    log: LogKeys = field(default_factory=lambda: log_keys("relay"))

    @property
    def council_key(self) -> CompositeKey:
        """A council root; with a threshold of 1 its signature is enough."""
        return self.council.roots[0]

    def add(self, signed: Signed) -> int:
        """Append a statement that must be valid here; return its index."""
        entry = encode_signed(signed)
        index = self.directory.size
        outcome = self.directory.apply(entry, index)
        assert isinstance(outcome, Applied), outcome
        self.entries.append(entry)
        return index

    def join(self, name: str, *, now_ms: int = NOON, admit: bool = True, prekeys_from: int | None = None) -> PartyKeys:
        """Let a party join; with `prekeys_from` (a day) it publishes a bundle of 30 days too."""
        keys = party_keys(name)
        request = a_join_request(keys, an_invitation(name, self.council_key, now_ms=now_ms), now_ms=now_ms)
        for part in (request.invitation, request.party_root, request.node_cert, request.transport_key):
            self.add(part)
        self.parties[keys.party] = keys
        if admit:
            self.admit(name, now_ms=now_ms)
        if prekeys_from is not None:
            self.publish_prekeys(name, prekeys_from)
        return keys

    def admit(self, name: str, *, now_ms: int = NOON) -> int:
        """Admit a party that joined; return the index of its admission."""
        keys = self.parties[party_id(name)]
        return self.add(
            ceremony.make_admission(
                exchange=EXCHANGE,
                party=keys.party,
                root_key_id=keys.root.public.key_id,
                now_ms=now_ms,
                council_key=self.council_key,
            )
        )

    def publish_prekeys(self, name: str, first_day: int, days: int = 30, *, now_ms: int = NOON) -> Signed:
        """Log the hash of a bundle with the prekeys of these days; return the signed bundle."""
        keys = self.parties[party_id(name)]
        bundle = prekeys.make_bundle(
            exchange=EXCHANGE,
            party=keys.party,
            first_day=first_day,
            keys=[keys.prekey(day).public for day in range(first_day, first_day + days)],
            statement_key=keys.statement,
        )
        place = self.directory.next_seq_prev(name)
        self.add(prekeys.make_bundle_hash(bundle, place=place, now_ms=now_ms, statement_key=keys.statement))
        return bundle

    def replayed(self) -> Directory:
        """Return the directory that somebody else replays from the same entries."""
        directory = Directory.found(self.entries[0], expected_hash=self.directory.genesis_hash)
        for index, entry in enumerate(self.entries[1:], start=1):
            directory.apply(entry, index)
        return directory


def an_exchange(
    parties: Sequence[str] = ("XA", "XV"), *, council: Council | None = None, prekeys_from: int | None = None
) -> Exchange:
    """Return a founded exchange with these parties admitted."""
    council = council or a_council()
    entry = encode_signed(council.genesis())
    made = Exchange(Directory.found(entry, expected_hash=None), [entry], council)
    for name in parties:
        made.join(name, prekeys_from=prekeys_from)
    return made
