"""A product of two partners' reports needs the consent of both, also where the partner that made it sends it."""

from dataclasses import replace

from exchange.crypto.random import random_bytes
from exchange.names import party_id
from nodes.caller import the_owner
from nodes.outbox import Accepted, push_digest
from nodes.parts import Node
from nodes.store.consent_rows import AnswerState, RequestState
from nodes.store.rows import Reach
from tests.support.consent_world import LABEL, answered, answers, arrived, ask, push_onward
from tests.support.node_world import authored, nodes, reach, reached, receipted, stored, until

GRANTED, WAITING = AnswerState.GRANTED, AnswerState.WAITING


async def a_product(node: Node, *sources: bytes, to: str, hops: int = 2) -> Accepted:
    """Push a report that names the originators of its sources, as combining their labels does."""
    text = LABEL.format(to=to, onward="consent", hops=hops, orcon="false", release="")
    made = authored(node, text.encode(), id=f"report--22222222-2222-4222-8222-{random_bytes(6).hex()}")
    originators = tuple(party_id(name) for name in ("XA", "XH", "XV"))
    label = replace(made.label, originators=originators, derived_from=tuple(sorted(sources)))
    return await node.outbox.accept(replace(made, label=label), push_digest(random_bytes(8).hex(), b"", b""))


async def test_a_product_of_two_partners_goes_when_both_have_consented_and_not_before() -> None:
    async with nodes("XA", "XH", "XV", "XT", "XN") as (_, running):
        first = await push_onward(running["XA"], "XV", hops=2)
        second = await push_onward(running["XH"], "XV", hops=2)
        await receipted(running["XA"], first.item, "XV")
        await receipted(running["XH"], second.item, "XV")
        product = await a_product(running["XV"], first.item, second.item, to="XT")
        await reached(running["XV"], product.item, "XT", Reach.DENIED)

        asked = await ask(running["XV"], product.item, "XT")
        assert asked.originators == ["XA", "XH"]
        for name in ("XA", "XH"):
            await arrived(running[name], asked.hash)
        await running["XA"].consenting.grant(asked.hash, caller=the_owner())
        await arrived(running["XA"], asked.hash, RequestState.CLOSED)
        await until_one_of_two(running["XV"], asked.hash)
        assert await stored(running["XT"], product.item) is None
        await running["XH"].consenting.grant(asked.hash, caller=the_owner())
        await receipted(running["XV"], product.item, "XT")
        # Each knows whom its own report may have reached in it.
        for name, source in (("XA", first.item), ("XH", second.item)):
            row = await reach(running[name], source, "XT")
            assert row is not None and row.state is Reach.ONWARD

        # Who got the product asks all three: each finds in the request what it contributed.
        onward = await ask(running["XT"], product.item, "XN")
        assert onward.originators == ["XA", "XH", "XV"]
        for name in ("XA", "XH", "XV"):
            await arrived(running[name], onward.hash)
            await running[name].consenting.grant(onward.hash, caller=the_owner())
        await receipted(running["XT"], product.item, "XN")


async def until_one_of_two(node: Node, hash_: bytes) -> None:
    """Wait until one of two originators has granted."""

    async def holds() -> bool:
        return (await answers(node, hash_)) == {("XA", "XT"): GRANTED, ("XH", "XT"): WAITING}

    await until(holds, "the first grant did not come")


async def test_one_refusal_of_two_keeps_it() -> None:
    async with nodes("XA", "XH", "XV", "XT") as (_, running):
        first = await push_onward(running["XA"], "XV", release="pre_authorised: [XT]")
        second = await push_onward(running["XH"], "XV")
        await receipted(running["XA"], first.item, "XV")
        await receipted(running["XH"], second.item, "XV")
        product = await a_product(running["XV"], first.item, second.item, to="XT")
        asked = await ask(running["XV"], product.item, "XT")
        await arrived(running["XH"], asked.hash)
        await running["XH"].consenting.refuse(asked.hash, text="Our source would be known.", caller=the_owner())
        await arrived(running["XV"], asked.hash, RequestState.CLOSED)
        assert await answers(running["XV"], asked.hash) == {
            ("XA", "XT"): GRANTED,
            ("XH", "XT"): AnswerState.REFUSED,
        }
        row = await reach(running["XV"], product.item, "XT")
        assert row is not None and row.state is Reach.DENIED
        # The refusal was not the last word: the same request may still be granted.
        await running["XH"].consenting.grant(asked.hash, caller=the_owner())
        await answered(running["XV"], asked.hash, XT=GRANTED)
        await receipted(running["XV"], product.item, "XT")


async def test_a_product_goes_at_once_where_its_sources_were_granted_before() -> None:
    async with nodes("XA", "XH", "XV", "XT", "XN") as (_, running):
        sources = []
        for name in ("XA", "XH"):
            sent = await push_onward(running[name], "XV", release="pre_authorised: [XN, XT]")
            await receipted(running[name], sent.item, "XV")
            asked = await ask(running["XV"], sent.item, "XN", "XT", ask_only=True)
            await answered(running["XV"], asked.hash, XN=GRANTED, XT=GRANTED)
            sources.append(sent.item)
        product = await a_product(running["XV"], *sources, to="XN, XT")
        await receipted(running["XV"], product.item, "XN", "XT")
        rows = [await reach(running["XV"], product.item, name) for name in ("XN", "XT")]
        # Each in an envelope of its own: a grant names its recipient.
        assert len({row.envelope for row in rows if row is not None}) == 2
