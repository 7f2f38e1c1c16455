"""What this node cosigned, quorums that it has seen, heads that partners named, evidence; on an open transaction."""

from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, delete, func, select

from exchange.errors import Conflict
from exchange.runtime.upsert import insert_or_keep, insert_or_replace
from nodes.store import rule_tables as tables

_cosigned = tables.cosigned_head.c
_quorum = tables.quorum.c
_heard = tables.heard_head.c
_evidence = tables.log_evidence.c


@dataclass(frozen=True, slots=True)
class CosignedHead:
    """What this node has cosigned last of one log."""

    log: int
    size: int
    root: bytes
    note: str = field(repr=False)
    """As the log signed it."""
    at_ms: int


@dataclass(frozen=True, slots=True)
class Quorum:
    """The newest checkpoint of one log that a quorum of witnesses has cosigned."""

    log: int
    size: int
    note: str = field(repr=False)
    quorum_ms: int
    """As of when they say that nothing newer was shown to them."""
    seen_ms: int


@dataclass(frozen=True, slots=True)
class HeardHead:
    """A head of a log that a partner has seen, and that is not compared yet."""

    party: str
    log: int
    size: int
    root: bytes
    note: str = field(repr=False)
    """Signed by the log; empty where only the partner's word is known."""
    heard_ms: int


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """An evidence file against the relay, or against a sender."""

    hash: bytes
    found_ms: int
    kind: str
    what: str
    """In words."""
    file: str = field(repr=False)


def cosigned_head(connection: Connection, log: int) -> CosignedHead | None:
    """Return what was cosigned last."""
    row = connection.execute(select(tables.cosigned_head).where(_cosigned.log == log)).one_or_none()
    return None if row is None else CosignedHead(**dict(row._mapping))  # noqa: SLF001


def advance_cosigned(connection: Connection, before: CosignedHead | None, after: CosignedHead) -> None:
    """Compare and store: `after` takes the place of `before`, which must still be what was cosigned last.

    Raises:
        Conflict: something else was cosigned since, or `after` would be a second history.
    """
    now = cosigned_head(connection, after.log)
    if now != before:
        raise Conflict("another checkpoint was cosigned meanwhile")
    if now is not None and (after.size < now.size or (after.size == now.size and after.root != now.root)):
        raise Conflict("that checkpoint does not continue the one that was cosigned last")
    insert_or_replace(connection, tables.cosigned_head, [asdict(after)])


def quorum_of(connection: Connection, log: int) -> Quorum | None:
    """Return the newest checkpoint with a quorum."""
    row = connection.execute(select(tables.quorum).where(_quorum.log == log)).one_or_none()
    return None if row is None else Quorum(**dict(row._mapping))  # noqa: SLF001


def set_quorum(connection: Connection, quorum: Quorum) -> None:
    """Keep a verified one as the newest."""
    insert_or_replace(connection, tables.quorum, [asdict(quorum)])


def hear_head(connection: Connection, head: HeardHead) -> None:
    """Keep a head to be compared later; of one partner and log the largest, since the first of them was heard."""
    where = (_heard.party == head.party, _heard.log == head.log)
    row = connection.execute(select(tables.heard_head).where(*where)).one_or_none()
    if row is not None and row.size >= head.size:
        return
    first_ms = head.heard_ms if row is None else row.heard_ms
    insert_or_replace(connection, tables.heard_head, [{**asdict(head), "heard_ms": first_ms}])


def heard_heads(connection: Connection) -> list[HeardHead]:
    """Return all heads that are to be compared."""
    rows = connection.execute(select(tables.heard_head).order_by(_heard.party, _heard.log))
    return [HeardHead(**dict(row._mapping)) for row in rows]  # noqa: SLF001


def forget_head(connection: Connection, head: HeardHead) -> None:
    """Drop a head that was compared; a larger one that was heard since stays."""
    where = (_heard.party == head.party, _heard.log == head.log, _heard.size == head.size)
    connection.execute(delete(tables.heard_head).where(*where))


def keep_evidence(connection: Connection, evidence: KeptEvidence) -> None:
    """Keep an evidence file; the same claim again changes nothing."""
    insert_or_keep(connection, tables.log_evidence, [asdict(evidence)])


def has_evidence(connection: Connection, hash_: bytes) -> bool:
    """Say whether a claim's evidence file is kept."""
    return connection.execute(select(_evidence.hash).where(_evidence.hash == hash_)).first() is not None


def kept_evidence(connection: Connection, *, limit: int) -> list[KeptEvidence]:
    """Return evidence files, newest first; of those of one moment the one that shows more."""
    rows = connection.execute(
        select(tables.log_evidence)
        .order_by(_evidence.found_ms.desc(), func.length(_evidence.file).desc(), _evidence.hash)
        .limit(limit)
    )
    return [KeptEvidence(**dict(row._mapping)) for row in rows]  # noqa: SLF001
