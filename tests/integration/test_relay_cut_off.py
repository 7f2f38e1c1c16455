"""What waits at the relay for a party that is expelled, or whose key is revoked, is dropped; a suspension keeps it."""

import asyncio
import sqlite3

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import Signed
from exchange.directory import issue
from exchange.directory.statements import RevocationReason
from exchange.envelope.model import EnvelopeKind
from exchange.names import COUNCIL, party_id
from exchange.relay.retention import cut_off
from exchange.runtime.clock import now_ms
from exchange.tlog.entry import EntryKind, decode_entry
from exchange.v1 import relay_service_pb2 as pb
from tests.support.directory_builders import EXCHANGE, Exchange, an_exchange, party_keys
from tests.support.relay_world import CALL_S, World, a_sealed, a_world, head_of

PATIENCE_S = 20.0


def statement_on(exchange: Exchange, name: str, deed: str) -> Signed:
    place, party = exchange.directory.next_seq_prev(COUNCIL), party_id(name)
    key = exchange.council_key
    if deed == "suspended":
        return issue.make_suspension(
            exchange=EXCHANGE, place=place, party=party, suspended=True, now_ms=now_ms(), council_key=key
        )
    if deed == "expelled":
        return issue.make_expulsion(exchange=EXCHANGE, place=place, party=party, now_ms=now_ms(), council_key=key)
    use = party_keys(name).statement if deed == "statement key revoked" else party_keys(name).envelope
    return issue.make_revocation(
        exchange=EXCHANGE,
        issuer=COUNCIL,
        party=party,
        key_id=use.public.key_id,
        reason=RevocationReason.LOST,
        now_ms=now_ms(),
        key=key,
    )


@pytest.mark.parametrize(
    ("deed", "is_cut_off"),
    [("suspended", False), ("envelope key revoked", False), ("statement key revoked", True), ("expelled", True)],
)
def test_who_is_expelled_or_has_no_statement_key_is_cut_off(deed: str, is_cut_off: bool) -> None:
    exchange = an_exchange(("XA", "XT"))
    exchange.join("XN", admit=False)
    assert cut_off(exchange.directory) == frozenset()
    exchange.add(statement_on(exchange, "XT", deed))
    assert cut_off(exchange.directory) == (frozenset({"XT"}) if is_cut_off else frozenset())


def waiting(world: World, name: str, kind: EnvelopeKind) -> int:
    with sqlite3.connect(world.home.root / "relay.db") as connection:
        query = "SELECT count(*) FROM mailbox WHERE recipient = ? AND kind = ?"
        found: int = connection.execute(query, (name, int(kind))).fetchone()[0]
    connection.close()
    return found


def deletions(world: World) -> set[bytes]:
    with sqlite3.connect(world.home.root / "relay.db") as connection:
        entries = [decode_entry(row[0]) for row in connection.execute("SELECT entry FROM traffic_entry")]
    connection.close()
    return {entry.sha256 for entry in entries if entry.kind is EntryKind.DELETION}


async def test_copies_for_a_party_whose_key_is_revoked_are_dropped_and_logged_and_those_of_others_stay() -> None:
    async with a_world("XA", "XV", "XT") as world:
        basis = await world.agree("XA", "XV", "XT")
        sender, head = world.partners["XA"], head_of(world.exchange)
        alone = a_sealed(sender.keys, ["XT"], basis, head)
        shared = a_sealed(sender.keys, ["XT", "XV"], basis, head, seq=2)
        control = a_sealed(sender.keys, ["XT"], None, head)
        await sender.submit(*(each.submission_bytes for each in (alone, shared, control)))
        assert waiting(world, "XT", EnvelopeKind.REPORT) == 2
        statement = encode_signed(statement_on(world.exchange, "XT", "statement key revoked"))
        await sender.stub.PublishStatement(pb.PublishStatementRequest(statement=statement), timeout=CALL_S)
        async with asyncio.timeout(PATIENCE_S):
            while waiting(world, "XT", EnvelopeKind.REPORT) or not deletions(world):
                await asyncio.sleep(0.1)
        assert waiting(world, "XT", EnvelopeKind.CONTROL) == 1
        assert waiting(world, "XV", EnvelopeKind.REPORT) == 1
        assert deletions(world) == {alone.envelope_hash}
