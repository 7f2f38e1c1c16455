"""`concord consent` as people use it: three nodes, their sockets, and the commands."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nodes.admin.exit_codes import DENIED, NOT_FOUND, OK, USAGE
from nodes.admin.main import run
from nodes.caller import the_owner
from nodes.parts import Node
from tests.support.consent_world import push_onward
from tests.support.doors import open_socket
from tests.support.node_world import nodes, reach, receipted, stored, until


@dataclass(frozen=True, slots=True)
class Said:
    """What a command did."""

    code: int
    out: str
    err: str


@asynccontextmanager
async def desks(*names: str) -> AsyncIterator[tuple[dict[str, Node], dict[str, Path]]]:
    """Run nodes with their sockets open."""
    async with nodes(*names) as (_, running), AsyncExitStack() as stack:
        homes = {}
        for name, node in running.items():
            homes[name] = (await stack.enter_async_context(open_socket(node))).home
        yield running, homes


async def command(capture: pytest.CaptureFixture[str], home: Path, *words: str) -> Said:
    """Run a command as its own user would, beside the nodes."""
    capture.readouterr()
    code = await asyncio.to_thread(run, ["consent", *words, "--home", str(home)])
    told = capture.readouterr()
    return Said(code, told.out, told.err)


async def listed(capture: pytest.CaptureFixture[str], home: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((await command(capture, home, "list", "--json")).out)
    return found


async def test_a_partner_asks_an_officer_grants_and_a_third_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    async with desks("XA", "XV", "XT", "XN") as (running, homes):
        sent = await push_onward(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        about = ("--purpose", "protect_life", "--until", "+30d", "--reason", "They have an embassy there.")
        ask = ("request", sent.item.hex()[:12], "--to", "XT", "--to", "XN", *about)
        unasked = await command(capsys, homes["XV"], *ask)
        assert (unasked.code, "--accept FIRST_TIME_TO_PARTNER:XN,XT" in unasked.err) == (DENIED, True), unasked.err
        assert "not yet" in unasked.err and await listed(capsys, homes["XV"]) == []
        asked = await command(capsys, homes["XV"], *ask, "--accept", "FIRST_TIME_TO_PARTNER:XN,XT")
        assert asked.code == OK, asked.err
        assert "XA must consent" in asked.err
        request = asked.out.strip()

        async def came() -> bool:
            return [each["state"] for each in await listed(capsys, homes["XA"])] == ["open"]

        await until(came, "the request did not come")
        waiting = await command(capsys, homes["XA"], "list", "--waiting")
        assert request[:12] in waiting.out and "XA waiting" in waiting.out
        assert "concord consent grant" in waiting.err

        grant = ("grant", request[:8], "--to", "XT", "--until", "+7d", "--text", "Embassy only.", "--yes")
        for wrong in ((), ("--accept", "FIRST_TIME_TO_PARTNER:XN,XT")):
            unasked = await command(capsys, homes["XA"], *grant, *wrong)
            assert (unasked.code, "--accept FIRST_TIME_TO_PARTNER:XT" in unasked.err) == (DENIED, True), unasked.err
        assert [each["state"] for each in await listed(capsys, homes["XA"])] == ["open"]
        granted = await command(capsys, homes["XA"], *grant, "--accept", "FIRST_TIME_TO_PARTNER:XT")
        assert granted.code == OK, granted.err
        assert "because: They have an embassy there." in granted.err
        assert granted.out.startswith("XV may pass it on to XT until ")
        refused = await command(capsys, homes["XA"], "refuse", request, "--reason", "Not to them.", "--json")
        assert json.loads(refused.out)["to"] == ["XN"]
        await receipted(running["XV"], sent.item, "XT")
        assert await stored(running["XN"], sent.item) is None

        async def told() -> bool:
            (found,) = await listed(capsys, homes["XV"])
            return bool(found["state"] == "closed")

        await until(told, "the refusal did not come back")
        (mine,) = await listed(capsys, homes["XV"])
        stands = {each["partner"]: (each["state"], each["reason"]) for each in mine["answers"]}
        assert stands == {"XT": ("granted", "Embassy only."), "XN": ("refused", "Not to them.")}
        assert (mine["direction"], mine["asker"], mine["purposes"]) == ("asked", "XV", ["protect_life"])
        story = await running["XA"].shelf.story(the_owner(), sent.item)
        assert any("who confirmed FIRST_TIME_TO_PARTNER:XT" in each.detail for each in story.events)
        (row,) = [each for each in story.recipients if each.recipient == "XT"]
        assert row.state == "onward" and row.why.startswith("by way of XV (grant ")


async def test_what_was_only_asked_for_is_passed_on_by_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    async with desks("XA", "XV", "XT") as (running, homes):
        sent = await push_onward(running["XA"], "XV", release="pre_authorised: [XT]")
        await receipted(running["XA"], sent.item, "XV")
        about = ("--purpose", "protect_life", "--until", "+30d", "--reason", "x", "--ask-only")
        asked = await command(capsys, homes["XV"], "request", sent.item.hex(), "--to", "XT", *about)
        request = asked.out.strip()
        early = await command(capsys, homes["XV"], "pass-on", request)
        assert early.code == DENIED

        async def closed() -> bool:
            return [each["state"] for each in await listed(capsys, homes["XV"])] == ["closed"]

        await until(closed, "the grant did not come back")
        unasked = await command(capsys, homes["XV"], "pass-on", request)
        assert (unasked.code, "--accept FIRST_TIME_TO_PARTNER:XT" in unasked.err) == (DENIED, True), unasked.err
        assert await reach(running["XV"], sent.item, "XT") is None
        passed = await command(capsys, homes["XV"], "pass-on", request, "--accept", "FIRST_TIME_TO_PARTNER:XT")
        assert (passed.code, passed.out) == (OK, "to XT\n")
        await receipted(running["XV"], sent.item, "XT")


async def test_bad_requests_are_refused_in_words_and_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async with desks("XA", "XV", "XT") as (running, homes):
        sent = await push_onward(running["XA"], "XV")
        await receipted(running["XA"], sent.item, "XV")
        item = sent.item.hex()

        def words(to: str = "XT", purpose: str = "protect_life", until_: str = "+1d") -> list[str]:
            return ["request", item, "--to", to, "--purpose", purpose, "--until", until_, "--reason", "x"]

        for spoiled, code, hint in (
            (words(to="XQ"), USAGE, "partner list"),
            (words(to="XV"), USAGE, ""),
            (words(to="not a partner"), USAGE, ""),
            (words(purpose="gossip"), USAGE, "protect_life"),
            (words(purpose="training"), USAGE, "protect_life"),
            (words(until_="whenever"), USAGE, ""),
            (words(until_="2021-01-01T00:00:00Z"), USAGE, ""),
            (["grant", "abc", "--yes"], USAGE, "consent list"),
            (["grant", "abcdef", "--yes"], NOT_FOUND, "consent list"),
            (["refuse", "abcdef", "--reason", "x"], NOT_FOUND, "consent list"),
            (["pass-on", "abcdef"], NOT_FOUND, "consent list"),
        ):
            said = await command(capsys, homes["XV"], *spoiled)
            assert said.code == code, (spoiled, said)
            assert said.err.startswith("error: ") and hint in said.err, (spoiled, said.err)
        assert await listed(capsys, homes["XV"]) == []
        # The originator's own report needs nobody's consent, and its holder's requests are not its own to pass on.
        own = await command(capsys, homes["XA"], *words())
        assert own.code == USAGE and "only originator" in own.err
