"""Make a proof to hand on that an envelope stands in the relay's traffic log, and check it as others will.

The newest checkpoint that a quorum has cosigned is taken if it covers the envelope, else the relay's newest.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from exchange.crypto.codec import decode_signed
from exchange.errors import BadProof, Conflict, NotFound
from exchange.names import ExchangeName
from exchange.receipts.verify import check_promise_in_log
from exchange.tlog.checkpoint import Checkpoint, traffic_origin, witness_name
from exchange.tlog.cosignature import Cosigner
from exchange.tlog.proof import LogProof, write_policy
from nodes.anchoring import anchor_of, relay_key_entries
from nodes.auditor import PROMISE_BYTES, proven
from nodes.core import Core
from nodes.evidence_check import Result
from nodes.log_proof import LoggedEnvelope, check_logged, write_logged
from nodes.relay_port import Log, Relay
from nodes.relay_word import opened_ever, opened_promise
from nodes.shown_keys import shown_keys
from nodes.store import reports, sending
from nodes.store.rows import KeptPromise
from nodes.traffic_note import live_traffic
from nodes.witness_anchor import Anchor


@dataclass(frozen=True, slots=True)
class Exported:
    """A proof that this node has checked."""

    file: str
    logged: LoggedEnvelope
    size: int
    cosigned: bool


class Proving:
    """Proofs of one node. For one event loop."""

    def __init__(self, core: Core, relay: Relay) -> None:
        """Ask `relay`."""
        self._core = core
        self._relay = relay

    async def export(self, item: bytes, partner: str) -> Exported:
        """Return the proof for an envelope with this item, the one for `partner` if it is not empty.

        Raises:
            NotFound: the relay promised no such envelope.
            Conflict: it is not in the log yet.
            BadProof: the relay does not prove what it promised.
        """
        core = self._core
        kept = await core.database.read(partial(_promised, item=item, partner=partner))
        if kept is None:
            raise NotFound("the relay has promised no such envelope", hint="concord report trace")
        directory = core.trust.now.directory
        signed = decode_signed(kept.promise, limit=PROMISE_BYTES, what="a stored promise")
        promise = opened_promise(signed, directory, core.exchange, core.seen)
        checkpoint, note, cosigned = await self._covering(promise.log_index)
        entry, path = await proven(self._relay.inclusion_proof(Log.TRAFFIC, promise.log_index, checkpoint.size))
        check_promise_in_log(promise, entry, path, size=checkpoint.size, root=checkpoint.root)
        keys = await core.database.read(partial(relay_key_entries, directory=directory))
        anchor = await core.database.read(partial(anchor_of, directory=directory))
        logged = LoggedEnvelope(
            exchange=core.exchange,
            envelope=promise.envelope_hash,
            entry=entry,
            anchor=anchor,
            relay_keys=_signing(note, anchor, keys, core.exchange),
            proof=LogProof(promise.log_index, tuple(path), note),
        )
        failed = [each for each in check_logged(logged) if each.result is Result.FAILS]
        if failed:
            raise BadProof(f"the proof would not hold: {failed[0].detail}")
        return Exported(write_logged(logged), logged, checkpoint.size, cosigned)

    def policy(self) -> str:
        """Return by which keys others check proofs of the traffic log."""
        core, snapshot = self._core, self._core.trust.now
        named = snapshot.directory.witnesses(at_size=snapshot.size)
        members = named.members if named else ()
        witnesses = [Cosigner(witness_name(core.exchange, each.party), each.key) for each in members]
        logs = list(dict.fromkeys(each.keys.log for each in snapshot.directory.relay_key_history))
        return write_policy(traffic_origin(core.exchange), logs, witnesses, named.quorum if named else 0)

    async def _covering(self, index: int) -> tuple[Checkpoint, str, bool]:
        core, since = self._core, self._core.trust.now.size
        notes = await self._relay.notes(Log.TRAFFIC)
        newest = await live_traffic(core, notes.newest, since)
        if notes.cosigned:
            # From before the keys changed, perhaps: witnesses compared it with what they had seen.
            checkpoint = opened_ever(notes.cosigned, Log.TRAFFIC, core.trust.now.directory)
            if checkpoint.size > index:
                return checkpoint, notes.cosigned, True
        if newest.size > index:
            return newest, notes.newest, False
        raise Conflict("the envelope is not in the log yet", hint="a minute after the promise it must be; try again")


def _signing(note: str, anchor: Anchor, entries: Sequence[bytes], exchange: ExchangeName) -> tuple[bytes, ...]:
    """Return the entry, of those by which the council named keys of the relay, that names those of the note."""
    council = anchor.directory(exchange)
    for shown in ((), *((each,) for each in entries)):
        with suppress(BadProof):
            shown_keys(council, shown).opened(note, traffic_origin(exchange))
            return shown
    return ()


def _promised(connection: Connection, *, item: bytes, partner: str) -> KeptPromise | None:
    if partner:
        row = reports.addressee(connection, item=item, recipient=partner)
        return sending.promise_of(connection, row.envelope) if row is not None and row.envelope else None
    own = sending.promises_of(connection, item)
    return own[0] if own else sending.promise_received(connection, item)
