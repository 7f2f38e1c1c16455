"""What this party's root says on agreements after the signatures, and what other parties' roots say.

Own statements (accessions and notices) are stored before anything else, and offered to the relay until it has logged
them; a notice goes to the other parties besides, who acknowledge it when an operator there has taken note. Notices of
others are kept when they arrive, before or after the directory shows them, under an alarm that lasts until an operator
here acknowledges it. What they change is for nodes/agreements.py: the directory alone says when.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.envelope.model import Lane
from exchange.errors import BadInput, BadSignature, Conflict, ExchangeError, NotAllowed, NotFound
from exchange.names import ID_BYTES
from exchange.policy.changes.codec import CHANGE_BYTES
from exchange.policy.changes.course import Course, after, begin
from exchange.policy.changes.model import AgreementNotice
from exchange.policy.changes.verify import open_change
from exchange.policy.codec import decode_view
from exchange.receipts.codec import encode_acknowledgement, encode_notice_delivery
from exchange.receipts.model import NoticeAcknowledgement, NoticeDelivery
from exchange.receipts.verify import NOTICE_ACKNOWLEDGEMENT, NOTICE_DELIVERY
from exchange.runtime.logs import get_logger
from nodes import alarms
from nodes.agreements import VIEW_BYTES, Agreements, roots_of
from nodes.core import Core
from nodes.kept_changes import HeardNotice, kept_change, needs_acknowledgement, notice_alarm, notice_subject
from nodes.receipts import add_control
from nodes.relay_port import Relay
from nodes.rounds import Rounds
from nodes.store import agreements as store
from nodes.store.rows import ANNOUNCED, KeptChange


class Notices:
    """Accessions and notices of one node. For one event loop."""

    def __init__(self, core: Core, relay: Relay, agreements: Agreements, *, wake: Callable[[], None]) -> None:
        """`wake` tells the sender that there is work."""
        self._core = core
        self._relay = relay
        self._agreements = agreements
        self._wake = wake
        self._log = get_logger(__name__)
        failed = partial(self._log.info, "agreement.change-later")
        self.rounds = Rounds(self.publish, every_s=core.timing.obligations_s, failed=failed)

    async def make(self, data: bytes) -> KeptChange:
        """Keep an accession or a notice that this party's root signed, and tell the relay and the other parties.

        Returns when it is durable here; the relay is told now, or as soon as it can be reached.

        Raises:
            BadSignature: this party's root did not sign it, or does not stand.
            NotFound: the agreement is not known here.
            NotAllowed, Conflict: it changes nothing, or not what this party may change.
        """
        core = self._core
        signed = decode_signed(data, limit=CHANGE_BYTES, what="an accession or a notice")
        directory = core.trust.now.directory
        change = open_change(signed, roots_of(directory), exchange=core.exchange)
        if change.party != core.me:
            raise NotAllowed(f"it speaks for {change.party}, and this node is of {core.me}")
        if directory.root_key(core.me, signed.signatures[0].key_id, at_size=directory.size) is None:
            raise BadSignature("this root does not stand any more")
        hash_ = sha256(signed.payload).digest()
        known = await core.database.read(partial(store.change_of, hash_=hash_))
        if known is None:
            course = await self._course(change.agreement.commitment)
            after(course, change, signed.payload)
            kept = kept_change(change, data, signed.payload, place=ANNOUNCED, now_ms=core.clock())
            delivery = None
            if isinstance(change, AgreementNotice):
                delivery = await core.signer.sign(NOTICE_DELIVERY, encode_notice_delivery(NoticeDelivery(signed)))
            others = sorted(course.members - {core.me})
            await core.database.write(partial(_keep, kept=kept, delivery=delivery, others=others))
            self._wake()
        with suppress(ExchangeError):
            await self.publish()
        return await self._kept(hash_)

    async def _course(self, commitment: bytes) -> Course:
        """Return an agreement as it stands, or as its founders signed it while the directory does not show it."""
        course = self._agreements.courses.get(commitment)
        if course is not None:
            return course
        kept = await self._core.database.read(partial(store.agreement_of, commitment=commitment))
        if kept is None:
            raise NotFound("no such agreement here", hint="hand over the signed file: concord agreement accede FILE")
        return begin(decode_view(decode_signed(kept.view, limit=VIEW_BYTES, what="a stored view").payload))

    async def _kept(self, hash_: bytes) -> KeptChange:
        kept = await self._core.database.read(partial(store.change_of, hash_=hash_))
        if kept is None:
            raise Conflict("the relay has refused it", hint="concord agreement show says how the agreement stands")
        return kept

    async def publish(self) -> int:
        """Offer to the relay what it has not logged yet, oldest first; return how many it took."""
        core = self._core
        taken = 0
        for change in await core.database.read(partial(store.announced_by, party=core.me)):
            try:
                index = await self._relay.change_agreement(change.statement)
            except (Conflict, NotAllowed, BadInput, BadSignature) as error:
                # It will never count. That it was said stays in the log, and an operator sees why.
                await core.database.write(partial(store.drop_change, hash_=change.hash))
                text = f"the relay refuses a statement of our root on an agreement: {error}"
                await core.alarms.raise_(alarms.AGREEMENT, notice_subject(change.hash), text)
                continue
            taken += 1
            self._log.info("agreement.changed", action=change.action, directory_index=index)
        if taken:
            await self._agreements.fetch(self._relay)
        return taken

    async def acknowledge(self, agreement_id: bytes) -> list[KeptChange]:
        """Acknowledge every notice of others on an agreement that nobody here has acknowledged; return these."""
        core = self._core
        names = {each.commitment for each in await self._agreements.all() if each.agreement_id == agreement_id}
        open_ = [
            each
            for each in await core.database.read(store.changes)
            if each.commitment in names and needs_acknowledgement(each, core.me)
        ]
        for each in open_:
            now_ms = core.clock()
            acknowledgement = NoticeAcknowledgement(
                core.exchange, core.me, each.party, each.hash, now_ms, random_bytes(ID_BYTES)
            )
            signed = await core.signer.sign(NOTICE_ACKNOWLEDGEMENT, encode_acknowledgement(acknowledgement))
            await core.database.write(partial(_acknowledge, change=each, signed=signed, now_ms=now_ms))
            await core.alarms.close(alarms.NOTICE, notice_subject(each.hash))
        if open_:
            self._wake()
        return open_


def hear(connection: Connection, heard: HeardNotice, now_ms: int) -> list[tuple[str, str, str]]:
    """Keep a notice of a partner on an agreement that is known here; return alarms as (kind, subject, text).

    A notice on another agreement is dropped: should it become known, the relay has the notice.
    """
    notice = heard.notice
    if store.agreement_of(connection, notice.agreement.commitment) is None:
        return []
    kept = kept_change(notice, heard.statement, heard.payload, place=ANNOUNCED, now_ms=now_ms)
    return [notice_alarm(notice, kept.hash)] if store.announce(connection, kept) else []


def hear_acknowledgement(connection: Connection, heard: NoticeAcknowledgement, *, statement: bytes) -> None:
    """Keep a partner's acknowledgement of a notice of this party; one of another notice is dropped."""
    notice = store.change_of(connection, heard.notice_sha256)
    if notice is not None and notice.party == heard.to_party:
        store.add_acknowledgement(
            connection, notice=notice.hash, party=heard.from_party, at_ms=heard.at_ms, statement=statement
        )


def _keep(connection: Connection, kept: KeptChange, delivery: Signed | None, others: Sequence[str]) -> None:
    if store.announce(connection, kept) and delivery is not None and others:
        add_control(connection, delivery, others, lane=Lane.PRIORITY, now_ms=kept.stored_ms)


def _acknowledge(connection: Connection, change: KeptChange, signed: Signed, now_ms: int) -> None:
    store.acknowledge(connection, change.hash, now_ms)
    add_control(connection, signed, [change.party], lane=Lane.ROUTINE, now_ms=now_ms)
