"""The part of NodeService that is about statements on standing and keys: draft for roots to sign, then publish.

A node drafts them because it has verified the directory: it knows who is suspended, which keys stand, and the council's
next place in the log. It signs none of them; its word counts for nothing here.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256

from exchange.crypto.codec import decode_signed, encode_signed
from exchange.crypto.keys import KeyAlgorithm, admit_public_key
from exchange.crypto.signed import payload_type
from exchange.crypto.x509 import ca_key_hash
from exchange.directory.codec import encode, name_of
from exchange.directory.fold import Directory
from exchange.directory.issue import draft_expulsion, draft_revocation, draft_rollover, draft_suspension
from exchange.directory.state import PartyRecord, Status
from exchange.directory.statements import RevocationReason
from exchange.errors import BadInput, Conflict, NotFound
from exchange.limits import ROLLOVER_DELAY_MS, STATEMENT_BYTES
from exchange.names import COUNCIL, party_id
from nodes.ceremony import DAYS_MOST
from nodes.core import Core
from nodes.joining import CERTIFIED_DAYS
from nodes.relay_port import Relay
from nodes.rotating import Rotation
from nodes.statement_file import Drafted
from nodes.v1 import statement_pb2 as pb

REASONS: Mapping[str, RevocationReason] = {reason.name.lower(): reason for reason in RevocationReason}


ROTATE = "rotate"
NODE_CERT = "node-cert"

SIGNING_MS = 4 * 24 * 60 * 60 * 1000
"""Time for the council to sign the change of a lost root, before the time to object begins."""


class StatementMethods:
    """Statements on standing and keys, as NodeService has them."""

    def __init__(self, core: Core, relay: Relay, rotation: Rotation) -> None:
        """`relay` takes what is published; `rotation` has the node's own keys."""
        self._core = core
        self._relay = relay
        self._rotation = rotation

    async def draft(self, request: pb.DraftStatementRequest) -> pb.DraftStatementResponse:
        """Return a statement that would change something now, as the roots are to sign it.

        Raises:
            NotFound: no such partner or key.
            Conflict: it stands already.
        """
        if request.deed == ROTATE:
            days = request.days or CERTIFIED_DAYS
            if days > DAYS_MOST:
                raise BadInput(f"a node's keys are certified for 1 to {DAYS_MOST} days, not {days}")
            cert = await self._rotation.draft(days=days)
            return pb.DraftStatementResponse(type=name_of(cert), payload=encode(cert))
        directory = self._core.trust.now.directory
        record = directory.party(party_id(request.party))
        make = _DEEDS.get(request.deed)
        if make is None:
            raise BadInput(f"{request.deed[:40]!r} is no deed", hint=f"one of {', '.join((*_DEEDS, ROTATE))}")
        if record is None:
            raise NotFound(f"no partner {request.party[:80]!r}", hint="concord partner list")
        statement = make(self._core, directory, record, request)
        return pb.DraftStatementResponse(type=name_of(statement), payload=encode(statement))

    async def publish(self, request: pb.PublishStatementRequest) -> pb.PublishStatementResponse:
        """Hand a signed statement to the relay and return where it stands; repeating it is safe.

        Raises:
            BadStatement: it is not valid as the next entry: signatures are missing, or its place is taken.
        """
        signed = decode_signed(request.statement, limit=STATEMENT_BYTES, what="the statement")
        if signed.payload_type == payload_type(NODE_CERT):
            return pb.PublishStatementResponse(index=await self._rotation.finish(signed))
        directory, entry = self._core.trust.now.directory, encode_signed(signed)
        if directory.index_of(sha256(signed.payload).digest()) is None:
            # Judged here first: this node tells its operator why, a relay says little.
            directory.check(entry, self._core.clock())
        return pb.PublishStatementResponse(index=await self._relay.publish_statement(entry))


def _suspend(core: Core, directory: Directory, record: PartyRecord, request: pb.DraftStatementRequest) -> Drafted:
    suspended = request.deed == "suspend"
    if record.status is (Status.SUSPENDED if suspended else Status.ADMITTED):
        raise Conflict(f"{record.party} is {record.status} already", hint="concord partner list")
    return draft_suspension(
        exchange=core.exchange,
        place=directory.next_seq_prev(COUNCIL),
        party=record.party,
        suspended=suspended,
        now_ms=core.clock(),
    )


def _expel(core: Core, directory: Directory, record: PartyRecord, _request: pb.DraftStatementRequest) -> Drafted:
    if record.status is Status.EXPELLED:
        raise Conflict(f"{record.party} is expelled already", hint="its id is never used again")
    place = directory.next_seq_prev(COUNCIL)
    return draft_expulsion(exchange=core.exchange, place=place, party=record.party, now_ms=core.clock())


def _revoke(core: Core, directory: Directory, record: PartyRecord, request: pb.DraftStatementRequest) -> Drafted:
    reason = REASONS.get(request.reason)
    if reason is None:
        raise BadInput(f"{request.reason[:40]!r} is no reason to revoke a key", hint=f"one of {', '.join(REASONS)}")
    if request.compromised_since_ms and reason is not RevocationReason.COMPROMISED:
        raise BadInput("only a compromised key is suspect since a time", hint="--reason compromised")
    now_ms = core.clock()
    return draft_revocation(
        exchange=core.exchange,
        # A party ends its own keys itself; the keys of others are for the council to end.
        issuer=core.me if record.party == core.me else COUNCIL,
        party=record.party,
        key_id=_key(directory, record, request.key, now_ms),
        reason=reason,
        compromised_since_ms=(request.compromised_since_ms or now_ms) if reason is RevocationReason.COMPROMISED else 0,
        now_ms=now_ms,
    )


def _roll_over(core: Core, _directory: Directory, record: PartyRecord, request: pb.DraftStatementRequest) -> Drafted:
    now_ms = core.clock()
    if not request.lost and record.party != core.me:
        raise BadInput("a party changes its own root", hint="--lost, when the council is to speak for it")
    return draft_rollover(
        exchange=core.exchange,
        issuer=COUNCIL if request.lost else record.party,
        party=record.party,
        old_root_key_id=record.root.key_id,
        new_root=admit_public_key(KeyAlgorithm.COMPOSITE_65, request.root),
        effective_ms=now_ms + ROLLOVER_DELAY_MS + SIGNING_MS if request.lost else 0,
        now_ms=now_ms,
    )


def _key(directory: Directory, record: PartyRecord, wanted: str, now_ms: int) -> bytes:
    """Return the id of a partner's key, which may be named by its use."""
    party, found = record.party, None
    match wanted:
        case "statement":
            key = directory.current_statement_key(party, at_ms=now_ms)
            found = key.key_id if key else None
        case "envelope":
            key = directory.current_envelope_key(party, at_ms=now_ms)
            found = key.key_id if key else None
        case "transport":
            found = next((ca_key_hash(ca) for ca, owner in directory.transport_cas().items() if owner == party), None)
        case _:
            try:
                known = directory.key_record(bytes.fromhex(wanted))
            except ValueError:
                known = None
            found = known.key_id if known is not None and known.party == party else None
    if found is None:
        raise NotFound(f"{party} has no such key", hint=f"concord partner show {party}")
    return found


_DEEDS: Mapping[str, Callable[[Core, Directory, PartyRecord, pb.DraftStatementRequest], Drafted]] = {
    "suspend": _suspend,
    "lift": _suspend,
    "expel": _expel,
    "revoke": _revoke,
    "rollover": _roll_over,
}
