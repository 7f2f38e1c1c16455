"""The directory: the state after the entries of the log so far, and what may be asked of it.

An entry that is not valid stays in the log, counts for nothing and is kept in `ignored`: proof that the relay admitted
junk. Nothing that the relay sends makes `apply` raise. One owner changes a Directory; it is not for several threads.
Times are no part of the fold (an entry carries no time that anyone could trust): questions with `at_ms` judge the
windows that the statements carry against the moment that the caller holds, such as a promise's `received_ms`.
Specification: docs/spec/directory.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import VerifiedRoots, verified_signers
from exchange.directory.changes import change, founded
from exchange.directory.relay_keys import KeysSince, cas_at, keys_at
from exchange.directory.rules import Judged, Refused, check_threshold, check_time, judge, next_place, read
from exchange.directory.state import MEMBERS, BundleRecord, Ignored, KeyRecord, KeyUse, PartyRecord, State, Status
from exchange.directory.statements import AgreementStatus, ExchangeLimits, Genesis, RelayKeys, Witnesses
from exchange.errors import BadSignature, BadStatement, InternalError
from exchange.names import COUNCIL, ExchangeName, PartyId

SEEN_ROOTS = 1024
"""Batch signatures remembered between `check` and `apply` of the same entry."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An entry that is valid and now counts."""

    index: int
    kind: str
    """Short payload type name."""
    issuer: str


class Directory:
    """The replayed log. Make one with `found`."""

    def __init__(self, state: State, seen: VerifiedRoots) -> None:
        """Take over a state; callers use `found` or `fork`."""
        self._state = state
        self._seen = seen

    @classmethod
    def found(cls, genesis_entry: bytes, *, expected_hash: bytes | None) -> "Directory":
        """Return the directory after its first entry.

        `expected_hash` is the SHA-256 of the genesis payload that was learnt outside the exchange; None only where
        there is nothing to compare yet, when the genesis itself is made or signed.

        Raises:
            BadStatement: not a genesis that its own council signed, or another one than expected.
        """
        seen = VerifiedRoots(SEEN_ROOTS)
        try:
            signed, name, genesis = read(genesis_entry)
            if not isinstance(genesis, Genesis):
                raise BadStatement(f"the first entry is a {name} statement, not a genesis")
            digest = sha256(signed.payload).digest()
            if expected_hash is not None and digest != expected_hash:
                raise BadStatement(f"the genesis hash is {digest.hex()}, not {expected_hash.hex()}")
            common = genesis.common
            if (common.issuer, common.seq) != (COUNCIL, 1):
                raise BadStatement("a genesis is the council's first statement")
            roots = {member.root.key_id: member.root for member in genesis.council}
            signers = verified_signers(signed, roots.get, expected_type=name, context=common.exchange, seen=seen)
            state = founded(genesis, digest, genesis_entry)
            check_threshold(state, signers)
        except (Refused, BadSignature) as error:
            raise BadStatement(f"the genesis does not hold: {error}") from error
        return cls(state, seen)

    def fork(self) -> "Directory":
        """Return a copy that changes apart from this one: what that costs hardly depends on the number of entries."""
        return Directory(self._state.fork(), self._seen)

    # Changing

    def apply(self, entry: bytes, index: int) -> Applied | Ignored:
        """Take the next entry of the log and say whether it counts; never raises on what the entry is.

        Raises:
            InternalError: `index` is not the next one: the caller lost its place.
        """
        if index != self.size:
            raise InternalError(f"entry {index} was applied to a directory of {self.size}")
        try:
            judged = judge(self._state, entry, self._seen)
        except Refused as error:
            ignored = Ignored(index, error.why, error.detail)
            self._state.ignored.append(ignored)
            self._state.frontier.append(entry)
            return ignored
        change(self._state, judged)
        self._state.frontier.append(entry)
        return Applied(index, judged.name, judged.statement.common.issuer)

    def check(self, entry: bytes, now_ms: int | None) -> Applied:
        """Return what `apply` would return for this entry as the next one; changes nothing.

        For those who admit entries and have a clock: the windows of the statement, its invitation and its signing key
        must cover `now_ms`; None leaves time out.

        Raises:
            BadStatement: it would be ignored, or is outside its time.
        """
        judged = self._judged_now(entry, now_ms)
        return Applied(self.size, judged.name, judged.statement.common.issuer)

    def check_all(self, entries: Sequence[bytes], now_ms: int | None) -> list[Applied]:
        """Check several entries that are to follow each other, all or nothing; changes nothing.

        Raises:
            BadStatement: one of them would be ignored, or is outside its time.
        """
        trial = self.fork()
        checked = []
        for entry in entries:
            checked.append(trial.check(entry, now_ms))
            trial.apply(entry, trial.size)
        return checked

    def _judged_now(self, entry: bytes, now_ms: int | None) -> Judged:
        try:
            judged = judge(self._state, entry, self._seen)
            if now_ms is not None:
                check_time(self._state, judged, now_ms)
        except Refused as error:
            raise BadStatement(str(error)) from error
        return judged

    # Questions on the log

    @property
    def size(self) -> int:
        """Entries so far, the ignored ones too."""
        return self._state.size

    def root(self) -> bytes:
        """Return the RFC 6962 root hash over all entries."""
        return self._state.frontier.root()

    @property
    def ignored(self) -> tuple[Ignored, ...]:
        """Entries that count for nothing, in order; each is an alarm."""
        return tuple(self._state.ignored)

    def index_of(self, payload_sha256: bytes) -> int | None:
        """Return where the valid statement with this payload stands; what makes a repeated request safe."""
        return self._state.payloads.get(payload_sha256)

    def index_of_payload(self, payload: bytes) -> int | None:
        """Return where the valid statement of these bytes stands; None when none does."""
        return self.index_of(sha256(payload).digest())

    def next_seq_prev(self, issuer: str) -> tuple[int, bytes]:
        """Return the seq and prev that the next counted statement of a party, `council` or `relay` must carry."""
        return next_place(self._state, issuer)

    # Questions on the exchange

    @property
    def genesis(self) -> Genesis:
        """The first statement."""
        return self._state.genesis

    @property
    def genesis_hash(self) -> bytes:
        """SHA-256 of the genesis payload: the anchor of the exchange."""
        return self._state.genesis_sha256

    @property
    def exchange(self) -> ExchangeName:
        """The exchange's name: the context of every signature."""
        return self._state.genesis.common.exchange

    def council_roots(self, *, ever: bool = False) -> Mapping[bytes, tuple[PartyId, PublicKey]]:
        """Return whose signatures count for the council now, by key id; with `ever` all that ever did, or may yet."""
        return {
            key_id: (party, public)
            for key_id, party in self._state.seats.items()
            if (public := self._state.keys[key_id].public) is not None and (ever or self._may_sign(party, key_id))
        }

    def _may_sign(self, party: PartyId, key_id: bytes) -> bool:
        return self._state.status_at(party, self.size) is not Status.EXPELLED and self._state.keys[key_id].signs(
            self.size
        )

    @property
    def relay_keys(self) -> RelayKeys:
        """Keys that the relay signs and answers with after all entries."""
        return self._state.relay_keys[-1].keys

    def relay_keys_at(self, at_size: int) -> KeysSince | None:
        """Return the relay's keys as of the first `at_size` entries; None for a size that is not replayed yet."""
        return keys_at(self._state.relay_keys, at_size) if at_size <= self.size else None

    @property
    def relay_key_history(self) -> tuple[KeysSince, ...]:
        """Every set of keys that the relay ever had, in order."""
        return self._state.relay_keys

    def relay_cas(self, *, at_ms: int) -> tuple[bytes, ...]:
        """Return the relay's transport CAs (DER) that nodes accept at a moment; the relay answers by the first."""
        return cas_at(self._state.relay_keys, at_ms)

    @property
    def limits(self) -> ExchangeLimits:
        """The exchange's limits after all entries."""
        return self._state.limits[-1][1]

    @property
    def limits_set_at(self) -> int:
        """Index of the entry that set the limits in force; 0 is the genesis."""
        return self._state.limits[-1][0]

    def witnesses(self, *, at_size: int) -> Witnesses | None:
        """Return the witnesses as of the first `at_size` entries; None while nobody was named: it is unwitnessed then.

        Who is not a member any more does not count, and the quorum stays what it was.
        """
        if at_size > self.size or not self._state.named_witnesses(at_size).members:
            return None
        return self._state.witnesses_at(at_size)

    @property
    def named_witnesses(self) -> Witnesses:
        """The witnesses as they were named last, whoever is a member now; without members while nobody was."""
        return self._state.named_witnesses(self.size)

    @property
    def witnesses_named_at(self) -> int:
        """Index of the entry that named the witnesses in force; 0 is the genesis."""
        return self._state.witnesses[-1][0]

    def agreement_status(self, commitment: bytes, *, at_size: int) -> AgreementStatus | None:
        """Return an agreement's status as of the first `at_size` entries; None for one not known then."""
        if at_size > self.size:
            return None
        history = self._state.agreements.get(commitment, ())
        return next((status for index, status in reversed(history) if index < at_size), None)

    def agreement_since(self, commitment: bytes) -> int | None:
        """Return the index of the entry that first committed to an agreement; None for one not known."""
        history = self._state.agreements.get(commitment, ())
        return history[0][0] if history else None

    def agreement_changed(self, commitment: bytes) -> int | None:
        """Return the index of the entry that gave an agreement the status it has now; None for one not known."""
        history = self._state.agreements.get(commitment, ())
        return history[-1][0] if history else None

    # Questions on parties

    def parties(self) -> tuple[PartyRecord, ...]:
        """Return every party that ever presented a root, by id."""
        return tuple(self._state.parties[party] for party in sorted(self._state.parties))

    def party(self, party: PartyId) -> PartyRecord | None:
        """Return one party; None for one that never presented a root."""
        return self._state.parties.get(party)

    def standing(self, party: PartyId, *, at_size: int) -> Status | None:
        """Return a party's standing as of the first `at_size` entries; None if unknown then, or not replayed so far."""
        return self._state.status_at(party, at_size) if at_size <= self.size else None

    # Questions on keys. A key of a party that is not a member counts for nothing.

    def statement_key(
        self, party: PartyId, key_id: bytes, *, at_size: int, at_ms: int | None = None
    ) -> PublicKey | None:
        """Return a party's statement key if it was valid as of the first `at_size` entries.

        With `at_ms`, its certificate must cover that moment too. None also for a size that is not replayed yet.
        """
        return self._public(party, key_id, KeyUse.STATEMENT, at_size, at_ms)

    def statement_key_once(self, party: PartyId, key_id: bytes, *, at_size: int) -> PublicKey | None:
        """Return a member's statement key that once counted, by the first `at_size` entries, also when it has ended.

        Time, and what followed or ended it, do not matter, but that nobody has called it, or a key above it, stolen: in
        any entry so far, because what it is asked for lies after its end. Only where somebody whose key is in force
        vouches for what it signed (docs/spec/envelope.md, "Keys that have ended").
        """
        if at_size > self.size or self._state.status_at(party, at_size) not in MEMBERS:
            return None
        record = self._state.keys.get(key_id)
        if record is None or (record.party, record.use) != (party, KeyUse.STATEMENT):
            return None
        return record.public if self._state.counted_once(record, at_size) else None

    def envelope_key(
        self, party: PartyId, key_id: bytes, *, at_size: int, at_ms: int | None = None
    ) -> PublicKey | None:
        """Return a party's envelope key if it was valid as of the first `at_size` entries; as `statement_key`."""
        return self._public(party, key_id, KeyUse.ENVELOPE, at_size, at_ms)

    def root_key(self, party: PartyId, key_id: bytes, *, at_size: int, at_ms: int | None = None) -> PublicKey | None:
        """Return a party's root if it was valid as of the first `at_size` entries; agreements are signed by it.

        With `at_ms`, one that the council put in the place of a lost one must count by then.
        """
        return self._public(party, key_id, KeyUse.ROOT, at_size, at_ms)

    def in_other_hands(self, key_id: bytes, *, at_ms: int) -> bool:
        """Say whether a key, or one above it, is known by any entry so far to have been in other hands at a moment."""
        while (record := self._state.keys.get(key_id)) is not None:
            if 0 < record.compromised_since_ms <= at_ms:
                return True
            key_id = record.certified_by
        return False

    def key_record(self, key_id: bytes) -> KeyRecord | None:
        """Return all that is known of a key or transport CA, also a revoked one."""
        return self._state.keys.get(key_id)

    def current_statement_key(self, party: PartyId, *, at_ms: int | None = None) -> PublicKey | None:
        """Return a member's newest statement key that stands (and covers `at_ms`)."""
        return self._newest(party, KeyUse.STATEMENT, at_ms)

    def current_envelope_key(self, party: PartyId, *, at_ms: int | None = None) -> PublicKey | None:
        """Return a member's newest envelope key that stands (and covers `at_ms`)."""
        return self._newest(party, KeyUse.ENVELOPE, at_ms)

    def keys_of(self, party: PartyId, use: KeyUse) -> tuple[KeyRecord, ...]:
        """Return a member's keys for one use that stand, newest first, whatever the time."""
        return tuple(self._state.keys_of(party, use)) if self._is_member(party) else ()

    def all_keys(self) -> tuple[KeyRecord, ...]:
        """Return every key that the directory ever showed, revoked ones too, in the order in which they came."""
        return tuple(self._state.keys.values())

    def transport_cas(self) -> Mapping[bytes, PartyId]:
        """Return the transport CAs that stand, by DER certificate, of admitted and suspended parties.

        A certificate's own dates are for the TLS check to judge.
        """
        return {
            record.certificate: record.party
            for record in self._state.keys.values()
            if record.use is KeyUse.TRANSPORT
            and self._is_member(record.party)
            and self._state.stands(record, self.size)
        }

    # Questions on prekeys

    def bundle_hash(self, party: PartyId) -> bytes | None:
        """Return the hash of a member's newest prekey bundle, while the key that signed it stands."""
        records = self._bundles(party)
        return records[0].statement.bundle_sha256 if records else None

    def bundles(self, party: PartyId) -> tuple[BundleRecord, ...]:
        """Return a member's bundles, newest first, at most 8, while the keys that signed them stand."""
        return tuple(self._bundles(party))

    def bundle_of_day(self, party: PartyId, day: int) -> bytes | None:
        """Return the hash of a member's newest bundle that covers a day (days since 1970 in UTC)."""
        for record in self._bundles(party):
            if record.statement.first_day <= day < record.statement.first_day + record.statement.days:
                return record.statement.bundle_sha256
        return None

    def _bundles(self, party: PartyId) -> list[BundleRecord]:
        if not self._is_member(party):
            return []
        keys = self._state.keys
        records = self._state.bundles.get(party, ())
        return [record for record in records if self._state.stands(keys[record.certified_by], self.size)]

    def _is_member(self, party: PartyId) -> bool:
        return self._state.status_at(party, self.size) in MEMBERS

    def _public(self, party: PartyId, key_id: bytes, use: KeyUse, at_size: int, at_ms: int | None) -> PublicKey | None:
        if at_size > self.size or self._state.status_at(party, at_size) not in MEMBERS:
            return None
        record = self._state.key(party, key_id, use, at_size)
        if record is None or (at_ms is not None and not record.in_time(at_ms, at_size)):
            return None
        return record.public

    def _newest(self, party: PartyId, use: KeyUse, at_ms: int | None) -> PublicKey | None:
        if not self._is_member(party):
            return None
        for record in self._state.keys_of(party, use):
            if at_ms is None or record.in_time(at_ms, self.size):
                return record.public
        return None
