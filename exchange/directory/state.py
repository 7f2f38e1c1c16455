"""What the fold keeps, and the questions about it that depend on a position in the log.

"As of size n" means: as of the first n entries. What entry i brought stands from size i + 1 on, and what entry j ended
stands up to size j. A key stands only as long as the key that certified it, so a stolen key takes along all that the
thief entered with it. Specification: docs/spec/directory.md, "Validity".
"""

from dataclasses import dataclass, field
from enum import StrEnum

from exchange.crypto.keys import PublicKey
from exchange.directory.layers import Layers
from exchange.directory.relay_keys import KeysSince
from exchange.directory.statements import (
    AgreementStatus,
    ExchangeLimits,
    Genesis,
    Invitation,
    PrekeyBundleHash,
    RevocationReason,
    Witnesses,
)
from exchange.limits import CLOCK_AHEAD_MS
from exchange.merkle import leaf_hash, node_hash
from exchange.names import PartyId


class Status(StrEnum):
    """Standing of a party."""

    JOINING = "joining"
    """It presented a root; nothing of it is valid yet."""
    ADMITTED = "admitted"
    SUSPENDED = "suspended"
    """Its keys hold; it receives only retractions and sends only receipts."""
    EXPELLED = "expelled"
    """Nothing of it is valid any more, and its id is never used again."""


MEMBERS = frozenset({Status.ADMITTED, Status.SUSPENDED})
"""Standings in which a party's keys are valid."""


class KeyUse(StrEnum):
    """The one thing that a key is used for."""

    ROOT = "root"
    STATEMENT = "statement"
    ENVELOPE = "envelope"
    TRANSPORT = "transport"


class Reason(StrEnum):
    """Why an entry is ignored. Stable."""

    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown-type"
    OTHER_EXCHANGE = "other-exchange"
    REPEATED = "repeated"
    """This payload stands in the log already."""
    WRONG_ISSUER = "wrong-issuer"
    OUT_OF_ORDER = "out-of-order"
    BAD_SIGNATURE = "bad-signature"
    BELOW_THRESHOLD = "below-threshold"
    BELOW_QUORUM = "below-quorum"
    """Fewer witnesses would have to agree than the genesis asks for."""
    NO_INVITATION = "no-invitation"
    INVITATION_SPENT = "invitation-spent"
    """Somebody else holds the one-time key: an alarm for the council."""
    PARTY_TAKEN = "party-taken"
    KEY_TAKEN = "key-taken"
    OLDER_CERTIFICATE = "older-certificate"
    """A certificate that was kept back: one that begins later stands already."""
    WRONG_ROOT = "wrong-root"
    NO_SUCH_PARTY = "no-such-party"
    NO_SUCH_KEY = "no-such-key"
    EXPELLED = "expelled"
    NO_CHANGE = "no-change"
    """It asks for what stands already, or for what can never be undone."""
    TOO_MANY = "too-many"
    OUTSIDE_ITS_TIME = "outside-its-time"
    """Only where a clock is at hand: Directory.check."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key, or a transport CA, and the entries that it stands between."""

    party: PartyId
    key_id: bytes
    """Key id; of a transport CA, its ca_key_hash (exchange/crypto/x509.py)."""
    use: KeyUse
    public: PublicKey | None
    """None for a transport CA."""
    certified_by: bytes
    """Id of the key above; empty for a root."""
    since_index: int
    not_before_ms: int
    not_after_ms: int
    """0 for no end."""
    until_index: int | None = None
    """Entry that revoked it."""
    revoked_for: RevocationReason | None = None
    compromised_since_ms: int = 0
    certificate: bytes = b""
    """DER, of a transport CA."""
    counts_from_ms: int = 0
    """Of a root that the council put in the place of a lost one: what it signs counts from here on."""
    retired_index: int | None = None
    """Of a root: entry by which another one took over. It signs nothing from there on; what it certified stands."""
    followed_index: int | None = None
    """Of a node key: entry that certified those that follow it."""
    followed_until_ms: int = 0
    """Until when it serves beside them."""

    @property
    def until_ms(self) -> int:
        """When it ends, as of all entries; 0 for no end."""
        ends = [end for end in (self.not_after_ms, self.followed_until_ms) if end]
        return min(ends, default=0)

    def stands(self, at_size: int) -> bool:
        """Say whether it stands by itself as of the first `at_size` entries."""
        return self.since_index < at_size and (self.until_index is None or at_size <= self.until_index)

    def signs(self, at_size: int) -> bool:
        """Say whether it may sign, by itself, as of the first `at_size` entries."""
        return self.stands(at_size) and (self.retired_index is None or at_size <= self.retired_index)

    def in_time(self, at_ms: int, at_size: int) -> bool:
        """Say whether its certificate covers this moment; the clock of who certified it may be a little ahead.

        Keys that follow it end it only from the entry on that certified them.
        """
        if self.followed_index is not None and self.followed_index < at_size and at_ms >= self.followed_until_ms:
            return False
        return self.not_before_ms <= at_ms + CLOCK_AHEAD_MS and (self.not_after_ms == 0 or at_ms < self.not_after_ms)


@dataclass(frozen=True, slots=True)
class PartyRecord:
    """A party, from the entry that presented its root on."""

    party: PartyId
    country: str
    display_name: str
    ceiling: int
    """A number of exchange.v1.Tlp."""
    root: PublicKey
    invitation_sha256: bytes
    joined_at: int
    """Index of its PartyRoot."""
    history: tuple[tuple[int, Status], ...]
    """(index, standing from that entry on), in order."""
    admitted_at: int | None = None
    """Index of its Admission."""

    @property
    def status(self) -> Status:
        """Standing after all entries."""
        return self.history[-1][1]

    def status_at(self, at_size: int) -> Status | None:
        """Return the standing as of the first `at_size` entries; None before it presented its root."""
        return next((status for index, status in reversed(self.history) if index < at_size), None)


@dataclass(frozen=True, slots=True)
class InvitationRecord:
    """An invitation that stands in the log."""

    invitation: Invitation
    spent_by: int | None = None
    """Index of the PartyRoot under it."""


@dataclass(frozen=True, slots=True)
class BundleRecord:
    """A bundle hash that stands in the log."""

    statement: PrekeyBundleHash
    certified_by: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """An entry that is in the log and counts for nothing: proof that the relay admitted junk."""

    index: int
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Last counted statement of an issuer."""

    seq: int
    payload_sha256: bytes


@dataclass(slots=True)
class Frontier:
    """Right edge of a Merkle tree: the roots of its complete subtrees, largest first."""

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def append(self, data: bytes) -> None:
        """Add a leaf: O(1) on average."""
        node, size = leaf_hash(data), self.size
        while size & 1:
            node = node_hash(self.peaks.pop(), node)
            size >>= 1
        self.peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the root hash; the tree is never empty, because the genesis is its first leaf."""
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = node_hash(peak, node)
        return node


@dataclass(slots=True)
class State:
    """Everything that the fold knows. Records are values and replaced whole, so a shallow copy is a fork.

    What grows with every party is copied; what grows with every entry is forked by layers.
    """

    genesis: Genesis
    genesis_sha256: bytes
    frontier: Frontier = field(default_factory=Frontier)
    payloads: Layers[bytes, int] = field(default_factory=Layers)
    """SHA-256 of each valid payload, and its index."""
    chains: dict[str, Chain] = field(default_factory=dict)
    parties: dict[PartyId, PartyRecord] = field(default_factory=dict)
    keys: Layers[bytes, KeyRecord] = field(default_factory=Layers)
    """In the order in which they came. Changed by `put_key` alone."""
    keys_by_party: dict[PartyId, tuple[bytes, ...]] = field(default_factory=dict)
    invitations: dict[bytes, InvitationRecord] = field(default_factory=dict)
    bundles: dict[PartyId, tuple[BundleRecord, ...]] = field(default_factory=dict)
    """Newest first."""
    agreements: Layers[bytes, tuple[tuple[int, AgreementStatus], ...]] = field(default_factory=Layers)
    seats: dict[bytes, PartyId] = field(default_factory=dict)
    """Party of every root that sits in the council, or took over from one."""
    ignored: list[Ignored] = field(default_factory=list)
    witnesses: tuple[tuple[int, Witnesses], ...] = ()
    """(index, set from that entry on), in order; the genesis names the first."""
    witness_keys: dict[bytes, PartyId] = field(default_factory=dict)
    """Every key that was ever a witness's, by id."""
    relay_keys: tuple[KeysSince, ...] = ()
    """In order; the genesis names the first."""
    limits: tuple[tuple[int, ExchangeLimits], ...] = ()
    """(index, limits from that entry on), in order; the genesis sets the first."""

    @property
    def size(self) -> int:
        """Entries so far, the ignored ones too."""
        return self.frontier.size

    def fork(self) -> "State":
        """Return a copy that changes apart from this one."""
        return State(
            self.genesis,
            self.genesis_sha256,
            Frontier(self.frontier.size, list(self.frontier.peaks)),
            self.payloads.fork(),
            dict(self.chains),
            dict(self.parties),
            self.keys.fork(),
            dict(self.keys_by_party),
            dict(self.invitations),
            dict(self.bundles),
            self.agreements.fork(),
            dict(self.seats),
            list(self.ignored),
            self.witnesses,
            dict(self.witness_keys),
            self.relay_keys,
            self.limits,
        )

    def status_at(self, party: PartyId, at_size: int) -> Status | None:
        """Return a party's standing as of the first `at_size` entries; None for a party not known then."""
        record = self.parties.get(party)
        return None if record is None else record.status_at(at_size)

    def named_witnesses(self, at_size: int) -> Witnesses:
        """Return the set in force as of the first `at_size` entries, as it was named."""
        return next((found for index, found in reversed(self.witnesses) if index < at_size), Witnesses((), 0))

    def witnesses_at(self, at_size: int) -> Witnesses:
        """Return the set in force as of the first `at_size` entries, without those that are no members then."""
        named = self.named_witnesses(at_size)
        members = tuple(each for each in named.members if self.status_at(each.party, at_size) in MEMBERS)
        return Witnesses(members, named.quorum)

    def stands(self, record: KeyRecord, at_size: int) -> bool:
        """Say whether a key and every key above it stand, whatever the standing of its party."""
        while record.stands(at_size):
            if not record.certified_by:
                return True
            record = self.keys[record.certified_by]
        return False

    def counted_once(self, record: KeyRecord, at_size: int) -> bool:
        """Say whether a key and every key above it stood at one time while their party was a member, none stolen."""
        admitted_at = self.parties[record.party].admitted_at
        while admitted_at is not None and record.since_index < at_size:
            fell_before = record.until_index is not None and record.until_index <= admitted_at
            if fell_before or record.revoked_for is RevocationReason.COMPROMISED:
                return False
            if not record.certified_by:
                return True
            record = self.keys[record.certified_by]
        return False

    def key(self, party: PartyId, key_id: bytes, use: KeyUse, at_size: int) -> KeyRecord | None:
        """Return a party's key for one use if it stands, whatever the standing of its party."""
        record = self.keys.get(key_id)
        if record is None or record.party != party or record.use is not use or not self.stands(record, at_size):
            return None
        return record if record.signs(at_size) else None

    def keys_of(self, party: PartyId, use: KeyUse) -> list[KeyRecord]:
        """Return a party's keys for one use that stand now, newest first, whatever the standing of its party."""
        found = [record for record in self.records_of(party) if record.use is use and self.stands(record, self.size)]
        return sorted(found, key=lambda record: record.since_index, reverse=True)

    def records_of(self, party: PartyId) -> list[KeyRecord]:
        """Return every key that a party ever had, in the order in which they came."""
        return [self.keys[key_id] for key_id in self.keys_by_party.get(party, ())]

    def put_key(self, record: KeyRecord) -> None:
        """Enter a key, or put a record in the place of the one before."""
        if record.key_id not in self.keys:
            self.keys_by_party[record.party] = (*self.keys_by_party.get(record.party, ()), record.key_id)
        self.keys[record.key_id] = record
