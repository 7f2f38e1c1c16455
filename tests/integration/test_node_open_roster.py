"""With an open roster whoever has a report sees whom it is for; hidden, as ever, its originator alone does."""

import asyncio
from pathlib import Path

import pytest

from exchange.policy.codec import encode_release
from nodes.caller import the_owner
from nodes.node_client import connect
from nodes.outbox import Accepted, push_digest
from nodes.parts import Node
from nodes.store.consent_rows import AnswerState
from nodes.store.rows import Reach
from nodes.v1 import node_service_pb2 as pb
from tests.support.consent_world import LABEL, answered, arrived, ask
from tests.support.doors import open_socket
from tests.support.node_world import authored, nodes, reached, receipted, stored


async def push(node: Node, *to: str, roster: str = "") -> Accepted:
    """Push a report that may be passed on with consent, with this roster."""
    text = LABEL.format(to=", ".join(to), onward="consent", hops=1, orcon="false", release=roster)
    return await node.outbox.accept(authored(node, text.encode()), push_digest(f"roster{roster}", b"", b""))


async def seen(node: Node, item: bytes) -> tuple[str, ...]:
    """Return whom a report is for, as far as a node can say; nobody where it cannot."""
    opened = await node.shelf.opened(item)
    assert opened is not None
    if opened.audience is None:
        return ()
    return tuple(str(target.partner) for target in opened.audience.to)


async def test_recipients_see_an_open_roster_and_pass_it_on_and_it_decides_nothing_there() -> None:
    async with nodes("XA", "XV", "XO", "XT") as (_, running):
        sent = await push(running["XA"], "XO", "XV", roster=", roster: open")
        await receipted(running["XA"], sent.item, "XV", "XO")
        for name in ("XA", "XV", "XO"):
            assert await seen(running[name], sent.item) == ("XO", "XV")
        opened = await running["XV"].shelf.opened(sent.item)
        assert opened is not None and opened.release is None and opened.open_release
        asked = await ask(running["XV"], sent.item, "XT")
        await arrived(running["XA"], asked.hash)
        await running["XA"].consenting.grant(asked.hash, caller=the_owner())
        await answered(running["XV"], asked.hash, XT=AnswerState.GRANTED)
        await receipted(running["XV"], sent.item, "XT")
        assert await seen(running["XT"], sent.item) == ("XO", "XV")


async def test_a_hidden_roster_stays_with_its_originator_and_is_hidden_unless_the_label_opens_it() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        for roster in ("", ", roster: hidden"):
            sent = await push(running["XA"], "XO", "XV", roster=roster)
            await receipted(running["XA"], sent.item, "XV", "XO")
            assert await seen(running["XA"], sent.item) == ("XO", "XV")
            assert await seen(running["XV"], sent.item) == await seen(running["XO"], sent.item) == ()


def shown(home: Path, item: bytes) -> str:
    """Return the label as `concord report show` has it."""
    with connect(home) as node:
        return node.ShowReport(pb.ShowReportRequest(id=item.hex())).label_yaml


async def test_show_lists_an_open_roster_and_no_hidden_one() -> None:
    async with nodes("XA", "XV", "XO") as (_, running), open_socket(running["XV"]) as opened:
        texts = []
        for roster in (", roster: open", ""):
            sent = await push(running["XA"], "XO", "XV", roster=roster)
            await receipted(running["XA"], sent.item, "XV")
            texts.append(await asyncio.to_thread(shown, opened.home, sent.item))
        assert "roster: open" in texts[0] and "XO" in texts[0]
        assert "release" not in texts[1] and "XO" not in texts[1]


async def test_a_sender_that_shows_a_hidden_roster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        monkeypatch.setattr("nodes.vault.Opened.open_release", property(lambda opened: encode_release(opened.audience)))
        sent = await push(running["XA"], "XO", "XV")
        await reached(running["XA"], sent.item, "XV", Reach.REFUSED)
        assert await stored(running["XV"], sent.item) is None
