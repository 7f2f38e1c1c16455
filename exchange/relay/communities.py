"""Communities: which epoch the directory shows, and whose word that takes. The relay learns no roster.

The owner hands over a small signed notice. The relay derives from it what the directory shows (so that no owner can
name what belongs to others), logs it as ACTIVE and the epoch before as TERMINATED, in one append. Epochs follow each
other without gaps; a community that has ended stays so. Repeating a call is safe.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.signing import Ed25519Key
from exchange.directory.ceremony import place_after
from exchange.directory.issue import make_agreement_commit
from exchange.directory.state import Status
from exchange.directory.statements import AgreementStatus
from exchange.errors import Conflict, NotAllowed
from exchange.limits import KIB
from exchange.names import RELAY, PartyId
from exchange.policy.communities.model import CommunityNotice, shown_commitment
from exchange.policy.communities.verify import open_notice
from exchange.relay.directory import Charge, LiveDirectory, Snapshot
from exchange.relay.quota import StatementQuota
from exchange.relay.store.registry import ShownEpoch, SqlRegistry
from exchange.relay.store.spent import SqlSpent
from exchange.runtime.logs import get_logger

NOTICE_BYTES = 8 * KIB
"""A notice with its composite signature."""

COMMUNITIES_MOST = 1_000
"""That one partner may own, ended ones too: the directory keeps a trace of each for ever."""


class Communities:
    """Takes notices of epochs; one object for the relay."""

    def __init__(
        self,
        directory: LiveDirectory,
        promise_at: Callable[[int], Ed25519Key],
        clock: Callable[[], int],
        quota: StatementQuota,
    ) -> None:
        """`promise_at` gives the key that signs as of a directory size; `quota` bounds what one owner adds."""
        self._quota = quota
        self._directory = directory
        self._promise_at = promise_at
        self._clock = clock
        self._log = get_logger(__name__)

    async def publish(self, caller: PartyId, data: bytes) -> int:
        """Show a new epoch of the caller's community, or its end, and return the index of that entry.

        Raises:
            NotAllowed: the caller is suspended, or has as many communities as it may.
            RateLimited: the caller has added as many statements today as it may.
            VerificationFailed, BadInput: no notice of the caller for this exchange.
            Conflict: the epoch does not follow the last one, or the community has ended.
        """
        signed = decode_signed(data, limit=NOTICE_BYTES, what="a community's notice")
        await self._directory.catch_up()
        snapshot = self._directory.now
        directory, size = snapshot.directory, snapshot.size
        notice = open_notice(
            signed,
            lambda key_id: directory.statement_key(caller, key_id, at_size=size),
            exchange=directory.exchange,
            owner=caller,
        )
        if snapshot.status(caller) is not Status.ADMITTED:
            raise NotAllowed("a suspended partner changes no community")
        return await (self._show(notice, data) if notice.commitment else self._end(notice))

    async def _show(self, notice: CommunityNotice, data: bytes) -> int:
        community = notice.community_id
        shown = shown_commitment(community, notice.epoch, notice.commitment)

        def make(snapshot: Snapshot) -> list[bytes]:
            epochs = snapshot.communities.get(community, ())
            if any(each.shown == shown for each in epochs):
                return []
            _check_next(snapshot, epochs, notice)
            before = {epochs[-1].shown: AgreementStatus.TERMINATED} if epochs else {}
            return self._commits(snapshot, {shown: AgreementStatus.ACTIVE} | before)

        def keep(connection: Connection, indexes: Sequence[int]) -> None:
            if indexes:
                epoch = ShownEpoch(community, notice.epoch, notice.owner, shown, indexes[0])
                SqlRegistry(connection).add_epoch(epoch, data)

        indexes = await self._directory.append_made(make, also=keep, charge=self._charge(notice.owner))
        if not indexes:
            return next(each.number for each in self._directory.now.communities[community] if each.shown == shown)
        # Who is in it is nobody's business; that there is a new epoch stands in the directory anyway.
        self._log.info("a community has a new epoch", owner=notice.owner, epoch=notice.epoch, index=indexes[0])
        return indexes[0]

    async def _end(self, notice: CommunityNotice) -> int:
        """End the community of a notice; the notice itself is not kept, because ending shows in the directory."""

        def make(snapshot: Snapshot) -> list[bytes]:
            epochs = snapshot.communities.get(notice.community_id, ())
            if not epochs or epochs[-1].epoch != notice.epoch:
                raise Conflict(f"epoch {notice.epoch} is not the last one of this community")
            if _ended(snapshot, epochs):
                return []
            return self._commits(snapshot, {epochs[-1].shown: AgreementStatus.TERMINATED})

        indexes = await self._directory.append_made(make, charge=self._charge(notice.owner))
        if indexes:
            self._log.info("a community has ended", owner=notice.owner, index=indexes[0])
            return indexes[0]
        now = self._directory.now
        return now.directory.agreement_changed(now.communities[notice.community_id][-1].shown) or 0

    def _charge(self, owner: PartyId) -> Charge:
        return lambda connection: self._quota.take(SqlSpent(connection), owner, self._clock(), root=False)

    def _commits(self, snapshot: Snapshot, statuses: dict[bytes, AgreementStatus]) -> list[bytes]:
        directory = snapshot.directory
        entries, place = [], directory.next_seq_prev(RELAY)
        for shown, status in statuses.items():
            signed = make_agreement_commit(
                exchange=directory.exchange,
                place=place,
                commitment=shown,
                status=status,
                now_ms=self._clock(),
                promise_key=self._promise_at(directory.size),
            )
            entries.append(encode_signed(signed))
            place = place_after(signed, place)
        return entries


def _check_next(snapshot: Snapshot, epochs: Sequence[ShownEpoch], notice: CommunityNotice) -> None:
    last = epochs[-1].epoch if epochs else 0
    if notice.epoch != last + 1:
        raise Conflict(f"epoch {notice.epoch} does not follow {last}", hint="each epoch is announced once, in order")
    if epochs and _ended(snapshot, epochs):
        raise Conflict("the community has ended", hint="make a new one")
    if not epochs:
        owned = sum(each[0].owner == notice.owner for each in snapshot.communities.values())
        if owned >= COMMUNITIES_MOST:
            raise NotAllowed(f"{notice.owner} has made {COMMUNITIES_MOST} communities")


def _ended(snapshot: Snapshot, epochs: Sequence[ShownEpoch]) -> bool:
    """Say whether the last epoch is over: only the end of the community ends it."""
    status = snapshot.directory.agreement_status(epochs[-1].shown, at_size=snapshot.size)
    return status is AgreementStatus.TERMINATED
