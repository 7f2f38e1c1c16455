"""What the relay promised to deliver and a recipient signed that it never got: an alarm at both ends, with evidence.

At the recipient: its sender answered with the relay's promise, and nothing came, not even something that was turned
away. At the sender: a partner asked for it, and has given no receipt for that envelope. Envelopes that the relay need
not have held any more are nobody's fault.
"""

from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed
from exchange.crypto.keys import PublicKey
from exchange.crypto.signed import Signed
from exchange.directory.fold import Directory
from exchange.envelope.model import Lane
from exchange.names import PartyId
from nodes import alarms
from nodes.anchoring import relay_key_entries
from nodes.core import Core
from nodes.gaps import patience_ms, subject
from nodes.resending import expires_ms
from nodes.store import missing, sending, trust, witnesses
from nodes.store.missing import Promised
from nodes.store.witnesses import KeptEvidence
from nodes.withheld import STATEMENT_BYTES, Withheld, write_withheld

KIND = "withheld"
TOLD_MS = 30 * 24 * 60 * 60 * 1000
"""A loss stays an alarm for so long; its evidence stays for ever."""


@dataclass(frozen=True, slots=True)
class _Loss:
    """An envelope that was promised and did not arrive, by what both ends have signed."""

    sender: str
    recipient: str
    promised: Promised
    request: bytes
    answer: bytes

    @property
    def subject(self) -> str:
        """What its alarm is filed under."""
        place = self.promised
        return f"{subject(self.sender, place.stream, place.lane)} to {self.recipient}"


class Losses:
    """Finds what the relay lost. For one event loop."""

    def __init__(self, core: Core) -> None:
        """Look into the node's store."""
        self._core = core
        self.found = 0
        """Envelopes that the relay had lost of late at the last look."""

    async def look(self) -> int:
        """Raise and close alarms; return how many envelopes the relay has lost of late."""
        core = self._core
        now_ms = core.clock()
        after_ms = now_ms - TOLD_MS
        patience = {int(lane): patience_ms(lane, core.timing) for lane in Lane}
        read = partial(_find, me=core.me, after_ms=after_ms)
        found = [
            loss
            for loss in await core.database.read(read)
            if loss.promised.answered_ms <= now_ms - patience[loss.promised.lane]
        ]
        by_subject: dict[str, list[_Loss]] = {}
        for loss in found:
            by_subject.setdefault(loss.subject, []).append(loss)
        for where, losses in by_subject.items():
            await self._tell(where, losses)
        await core.alarms.close_others(alarms.WITHHELD, by_subject)
        self.found = len(found)
        return len(found)

    async def _tell(self, where: str, losses: list[_Loss]) -> None:
        core, first = self._core, losses[0]
        place = first.promised
        text = (
            f"the relay promised {len(losses):,} envelopes of {first.sender} in lane {Lane(place.lane).name} that "
            f"{first.recipient} never got, first number {place.seq}"
        )
        # The first proof for each stream, and no other: whoever lies must not fill the disk with proof.
        claim = sha256(f"{KIND}/{where}".encode()).digest()
        if not await core.database.read(partial(witnesses.has_evidence, hash_=claim)):
            file = await self._file(first)
            if file is not None:
                kept = KeptEvidence(claim, file.made_ms, KIND, text, write_withheld(file))
                await core.database.write(partial(witnesses.keep_evidence, evidence=kept))
        await core.alarms.raise_(alarms.WITHHELD, where, f"{text}: concord log evidence")

    async def _file(self, loss: _Loss) -> Withheld | None:
        """Return the evidence; None when a key that signed is not in the directory any more."""
        core = self._core
        directory = core.trust.now.directory
        genesis = (await core.database.read(partial(trust.directory_entries, start=0, limit=1)))[0]
        relay_keys = await core.database.read(partial(relay_key_entries, directory=directory))
        request, answer = _statement(loss.request), _statement(loss.answer)
        keys = _key(directory, loss.recipient, request), _key(directory, loss.sender, answer)
        if keys[0] is None or keys[1] is None:
            return None
        return Withheld(
            exchange=core.exchange,
            made_by=core.me,
            made_ms=core.clock(),
            genesis=genesis,
            relay_keys=relay_keys,
            sender=PartyId(loss.sender),
            recipient=PartyId(loss.recipient),
            stream=loss.promised.stream,
            lane=loss.promised.lane,
            seq=loss.promised.seq,
            request=request,
            request_key=keys[0],
            answer=answer,
            answer_key=keys[1],
        )


def _statement(data: bytes) -> Signed:
    return decode_signed(data, limit=STATEMENT_BYTES, what="a stored statement")


def _key(directory: Directory, party: str, signed: Signed) -> PublicKey | None:
    record = directory.key_record(signed.signatures[0].key_id)
    return record.public if record is not None and record.party == party else None


def _find(connection: Connection, me: str, after_ms: int) -> list[_Loss]:
    here = [(each.partner, me, each) for each in missing.lost_here(connection, answered_after_ms=after_ms)]
    there = [
        (me, each.partner, each)
        for each in missing.lost_there(connection, answered_after_ms=after_ms)
        if _was_held(connection, each)
    ]
    found = []
    for sender, recipient, promised in (*here, *there):
        request = missing.statement_of(connection, promised.request)
        answer = missing.statement_of(connection, promised.answer)
        if request is not None and answer is not None:
            found.append(_Loss(sender, recipient, promised, request, answer))
    return found


def _was_held(connection: Connection, promised: Promised) -> bool:
    """Say whether the relay had to hold an envelope of ours when it was asked for."""
    promise = sending.promise_of(connection, promised.envelope)
    return promise is not None and promise.received_ms < promised.asked_ms < expires_ms(promise)
