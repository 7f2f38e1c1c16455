"""Reports older than the keys that signed them: passed on and sent again; and grants whose key has ended."""

from functools import partial

import pytest

from exchange.directory import changes
from exchange.directory.statements import RevocationReason
from exchange.envelope.model import EnvelopeKind
from exchange.names import party_id
from nodes.caller import the_owner
from nodes.parts import Node
from nodes.passing import pass_on_now
from nodes.store.consent_rows import AnswerState
from nodes.store.rows import Reach
from tests.integration.test_node_rotation import signer_of
from tests.support.consent_world import answered, arrived, ask, push_onward
from tests.support.losses import eager, lose, whole
from tests.support.node_world import nodes, reach, reached, receipted, stored, until
from tests.support.rotation import own_statement_key, revoke, rotate

XA = party_id("XA")


@pytest.fixture(autouse=True)
def without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Node keys end at once when others follow them, as if the 30 days were over."""
    monkeypatch.setattr(changes, "KEY_OVERLAP_MS", 0)


async def held(originator: Node, *holders: str) -> bytes:
    """Let holders have a report that they may pass on with consent."""
    sent = await push_onward(originator, *holders)
    await receipted(originator, sent.item, *holders)
    return sent.item


async def its_key_ends(originator: Node, *others: Node) -> bytes:
    """Let a node go on with other keys, and the others know that those before have ended; return the old one."""
    old = own_statement_key(originator)
    await rotate(originator)

    def known() -> bool:
        directories = [node.core.trust.now.directory for node in others]
        return all(record is not None and record.until_ms for each in directories if (record := each.key_record(old)))

    await until(known, "the others do not know that the key has ended")
    return old


async def test_a_report_is_passed_on_after_its_originators_key_has_ended() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        originator, holder, third = running["XA"], running["XV"], running["XT"]
        item = await held(originator, "XV")
        old = await its_key_ends(originator, holder, third)
        asked = await ask(holder, item, "XT")
        await arrived(originator, asked.hash)
        await originator.consenting.grant(asked.hash, caller=the_owner())
        await receipted(holder, item, "XT")
        assert await signer_of(third, item) == old != own_statement_key(originator)


async def test_what_was_passed_on_and_got_lost_goes_again_after_the_key_has_ended() -> None:
    async with eager("XA", "XV", "XT") as (_, running):
        originator, holder, third = running["XA"], running["XV"], running["XT"]
        item, other = await held(originator, "XV"), await held(originator, "XV")
        await its_key_ends(originator, holder, third)
        lost = lose(third, lambda core: core.kind is EnvelopeKind.REPORT and core.sender == "XV")
        for each in (item, other):
            asked = await ask(holder, each, "XT")
            await arrived(originator, asked.hash)
            await originator.consenting.grant(asked.hash, caller=the_owner())
            await reached(holder, each, "XT", Reach.PROMISED if each == item else Reach.RECEIPTED)
        await receipted(holder, item, "XT")
        await whole(third, "XV")
        assert len(lost) == 1


async def test_what_its_own_sender_seals_again_after_its_key_has_ended_is_signed_anew() -> None:
    async with eager("XA", "XV") as (_, running):
        sender, recipient = running["XA"], running["XV"]
        lost = lose(recipient, lambda core: core.kind is EnvelopeKind.REPORT)
        gone = await push_onward(sender, "XV")
        await reached(sender, gone.item, "XV", Reach.PROMISED)
        await its_key_ends(sender, recipient)
        after = await push_onward(sender, "XV")
        await receipted(sender, after.item, "XV")
        await receipted(sender, gone.item, "XV")
        assert len(lost) == 1
        assert await signer_of(recipient, gone.item) == own_statement_key(sender)


async def test_a_grant_whose_key_has_ended_lets_nothing_go_and_is_asked_for_again() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        originator, holder, third = running["XA"], running["XV"], running["XT"]
        item = await held(originator, "XV")
        first = await ask(holder, item, "XT", ask_only=True)
        await arrived(originator, first.hash)
        await originator.consenting.grant(first.hash, caller=the_owner())
        await answered(holder, first.hash, XT=AnswerState.GRANTED)
        await its_key_ends(originator, holder, third)
        await holder.core.database.write(partial(pass_on_now, hash_=first.hash, by="a person", now_ms=1))
        holder.sender.wake()
        await reached(holder, item, "XT", Reach.DENIED)
        row = await reach(holder, item, "XT")
        assert row is not None and "consent" in row.why
        assert await stored(third, item) is None

        again = await ask(holder, item, "XT")
        await arrived(originator, again.hash)
        await originator.consenting.grant(again.hash, caller=the_owner())
        await receipted(holder, item, "XT")


async def test_what_a_stolen_key_signed_is_not_passed_on_whoever_vouches() -> None:
    async with nodes("XA", "XO", "XV", "XT") as (world, running):
        originator, holder, third = running["XO"], running["XV"], running["XT"]
        item = await held(originator, "XV")
        old = await its_key_ends(originator, holder, third)
        await revoke(world, party_id("XO"), old, reason=RevocationReason.COMPROMISED)

        def known() -> bool:
            record = third.core.trust.now.directory.key_record(old)
            return record is not None and record.until_index is not None

        await until(known, "the theft is not known")
        asked = await ask(holder, item, "XT")
        await arrived(originator, asked.hash)
        await originator.consenting.grant(asked.hash, caller=the_owner())
        await reached(holder, item, "XT", Reach.REFUSED)
        assert await stored(third, item) is None
