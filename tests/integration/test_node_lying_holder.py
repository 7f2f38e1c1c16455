"""A holder that passes on what it may not: its own node, then the relay, then the recipient refuses, each by itself."""

from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import Connection

from exchange.consent.codec import encode_grant
from exchange.consent.model import ConsentAnswer, ConsentGrant
from exchange.consent.verify import CONSENT_GRANT, consent_of
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed, sign
from exchange.envelope.model import EnvelopeKind, Lane
from exchange.names import PartyId, party_id
from exchange.policy.binding import relay_label
from exchange.policy.consent import Consent
from exchange.policy.decide import decide_for
from exchange.policy.decision import Decision
from exchange.policy.model import Purpose, RelayLabel
from exchange.runtime.clock import now_ms
from nodes import due, sealing
from nodes.caller import the_owner
from nodes.consenting import Wish
from nodes.parts import Node
from nodes.passing import grants_for
from nodes.store import reports
from nodes.store.consent_rows import AnswerState
from nodes.store.rows import Addressee, Reach
from tests.support.consent_world import answered, arrived, ask, push_onward
from tests.support.directory_builders import EXCHANGE, party_keys
from tests.support.node_world import count_reports, nodes, reach, reached, receipted, until

XV = party_id("XV")


async def pass_on(holder: Node, item: bytes, partner: str) -> None:
    """Give a partner a place in an item's audience, whoever consented."""
    row = Addressee(item, partner, int(EnvelopeKind.REPORT), int(Lane.ROUTINE), Reach.WAITING, alone=True)

    def write(connection: Connection) -> None:
        reports.add_addressees(connection, [row])

    await holder.core.database.write(write)
    holder.outbox.wake()


async def why(holder: Node, item: bytes, partner: str) -> str:
    """Return why an item did not reach a partner."""
    row = await reach(holder, item, partner)
    assert row is not None
    return row.why


def lax(*arguments: Any, **named: Any) -> list[tuple[PartyId, Decision]]:
    """Decide as a node does that permits everything it is asked for."""
    grants = tuple(consent.grant for consent in arguments[0].consents)
    return [
        (party, decision._replace(permit=True, findings=(), grants=grants))
        for party, decision in decide_for(*arguments, **named)
    ]


async def test_its_own_node_passes_nothing_on_without_consent() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        sent = await push_onward(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        await pass_on(running["XV"], sent.item, "XT")
        await reached(running["XV"], sent.item, "XT", Reach.DENIED)
        assert "without the consent of XA" in await why(running["XV"], sent.item, "XT")
        assert await count_reports(running["XT"]) == 0


async def test_the_relay_refuses_what_names_no_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "decide_for", lax)
    async with nodes("XA", "XV", "XT") as (_, running):
        sent = await push_onward(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        await pass_on(running["XV"], sent.item, "XT")
        await reached(running["XV"], sent.item, "XT", Reach.REFUSED)
        assert (await why(running["XV"], sent.item, "XT")).startswith("refused by the relay: CONSENT_MISSING")
        assert await count_reports(running["XT"]) == 0


async def test_the_recipient_refuses_a_header_that_hides_that_consent_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hiding(*arguments: Any, **named: Any) -> RelayLabel:
        return replace(relay_label(*arguments, **named), flags=0)

    monkeypatch.setattr(sealing, "decide_for", lax)
    monkeypatch.setattr(sealing, "relay_label", hiding)
    async with nodes("XA", "XV", "XT") as (_, running):
        sent = await push_onward(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        await pass_on(running["XV"], sent.item, "XT")
        await reached(running["XV"], sent.item, "XT", Reach.REFUSED)
        assert (await why(running["XV"], sent.item, "XT")).startswith("refused there: BAD_ENVELOPE, step 8")
        assert await count_reports(running["XT"]) == 0


def forged(item: bytes, **differs: Any) -> tuple[Consent, Signed]:
    """Return a grant of XA that XV signed itself."""
    grant = ConsentGrant(
        exchange=EXCHANGE,
        request_sha256=bytes(32),
        item_hash=item,
        originator=party_id("XA"),
        holder=XV,
        to=(party_id("XT"),),
        answer=ConsentAnswer.GRANT,
        at_ms=now_ms(),
        salt=random_bytes(16),
        purposes=(Purpose.PROTECT_LIFE,),
        until_ms=now_ms() + 60_000,
        hop=1,
    )
    grant = replace(grant, **differs)
    signed = sign(party_keys("XV").statement, CONSENT_GRANT, encode_grant(grant), context=EXCHANGE)
    return consent_of(grant, sha256(signed.payload).digest()), signed


async def test_the_recipient_refuses_a_grant_that_the_holder_signed_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def forging(
        connection: Connection, *, me: PartyId, item: bytes, **named: Any
    ) -> tuple[tuple[Consent, ...], dict[bytes, Signed]]:
        if me != XV:
            return grants_for(connection, me=me, item=item, **named)
        consent, signed = forged(item)
        return (consent,), {consent.grant: signed}

    monkeypatch.setattr(due, "grants_for", forging)
    async with nodes("XA", "XV", "XT") as (_, running):
        sent = await push_onward(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        await pass_on(running["XV"], sent.item, "XT")
        await reached(running["XV"], sent.item, "XT", Reach.REFUSED)
        assert (await why(running["XV"], sent.item, "XT")).startswith("refused there: BAD_SIGNATURE, step 9")
        assert await count_reports(running["XT"]) == 0


async def test_the_recipient_refuses_a_grant_for_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes("XA", "XV", "XT", "XN") as (_, running):
        sent = await push_onward(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        asked = await ask(running["XV"], sent.item, "XT")
        await arrived(running["XA"], asked.hash)
        await running["XA"].consenting.grant(asked.hash, caller=the_owner())
        await receipted(running["XV"], sent.item, "XT")
        monkeypatch.setattr(sealing, "decide_for", lax)
        await pass_on(running["XV"], sent.item, "XN")
        await reached(running["XV"], sent.item, "XN", Reach.REFUSED)
        assert (await why(running["XV"], sent.item, "XN")).startswith("refused there: AUDIENCE_NOT_PROVEN, step 9")
        assert await count_reports(running["XN"]) == 0


async def test_a_grant_that_has_ended_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder lets it end before it passes on; a holder that ignores that is refused by the recipient."""
    async with nodes("XA", "XV", "XT") as (_, running):
        originator, holder = running["XA"], running["XV"]
        sent = await push_onward(originator, "XV")
        await receipted(originator, sent.item, "XV")
        asked = await ask(holder, sent.item, "XT", ask_only=True)
        await arrived(originator, asked.hash)
        end_ms = now_ms() + 1_500
        await originator.consenting.grant(asked.hash, Wish(until_ms=end_ms), caller=the_owner())
        await answered(holder, asked.hash, XT=AnswerState.GRANTED)
        await until(lambda: now_ms() > end_ms, "time stands still")
        await holder.asking.pass_on(asked.hash, caller=the_owner())
        await reached(holder, sent.item, "XT", Reach.DENIED)
        monkeypatch.setattr(due, "grants_for", partial(_late, before_ms=end_ms - 1))
        monkeypatch.setattr(sealing, "decide_for", lax)
        await holder.asking.pass_on(asked.hash, caller=the_owner())
        await reached(holder, sent.item, "XT", Reach.REFUSED)
        assert (await why(holder, sent.item, "XT")).startswith("refused there: CONSENT_EXPIRED, step 9")


def _late(connection: Connection, *, before_ms: int, now_ms: int, **named: Any) -> Any:
    del now_ms
    return grants_for(connection, now_ms=before_ms, **named)
