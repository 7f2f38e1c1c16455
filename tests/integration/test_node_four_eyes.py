"""Four eyes: a report goes once enough releasers who did not write it have signed for exactly it, and not before."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from exchange.approvals.issue import make_approval
from exchange.approvals.model import ApprovalProof
from exchange.crypto.codec import encode_signed
from exchange.crypto.random import random_bytes
from exchange.crypto.signed import Signed
from exchange.errors import Conflict, ExchangeError, NotAllowed, NotFound, PolicyDenied, VerificationFailed
from exchange.policy.model import Tlp
from exchange.policy.terms import Term
from exchange.runtime.clock import now_ms
from nodes import approving, sealing, sender
from nodes.approval_client import read_pending
from nodes.approving import Pending
from nodes.author import Previous
from nodes.caller import Caller, the_owner
from nodes.operators import Profile
from nodes.outbox import Accepted, Author, push_digest
from nodes.parts import Node
from nodes.roles import Role
from nodes.store import approvals, receiving, reports
from nodes.store.approvals import ApprovalRow
from nodes.store.consent_rows import AnswerState
from nodes.store.rows import ItemState, Reach
from nodes.v1 import approval_pb2 as pb
from nodes.withdrawing import withdraw
from tests.support.consent_world import answered, arrived, ask
from tests.support.directory_builders import EXCHANGE
from tests.support.doors import open_socket
from tests.support.node_world import (
    NodeWorld,
    a_label,
    a_node_world,
    at,
    authored,
    nodes,
    reach,
    reached,
    ready,
    receipted,
    stored,
    until,
)
from tests.support.operators import DAY_MS, Desk, key_of
from tests.support.relay_world import a_view

STAFF = {
    "ada": (Role.ADMINISTRATOR,),
    "clara": (Role.AUTHOR,),
    "rana": (Role.RELEASER,),
    "sami": (Role.RELEASER,),
}


async def staff(node: Node) -> None:
    """Admit an administrator, an author and two releasers."""
    for name, roles in STAFF.items():
        await admit(node, name, *roles)


async def admit(node: Node, name: str, *roles: Role, key: str = "") -> None:
    profile = Profile(name, key_of(key or name).public, frozenset(roles), Tlp.AMBER, now_ms() + DAY_MS)
    await node.operators.add(profile, by="test")


def as_caller(name: str, *, ceiling: Tlp = Tlp.AMBER) -> Caller:
    return Caller(name, frozenset(STAFF.get(name, ())), ceiling)


async def push(node: Node, *to: str, by: str = "clara", approvals_: int = 1, **root: object) -> Accepted:
    label = a_label(*to, more=f"approvals: {approvals_}")
    made = authored(node, label, **root)
    return await node.outbox.accept(made, push_digest(random_bytes(8).hex(), b"", b""), by=Author(by))


def signed_by(name: str, item: bytes, **changes: object) -> Signed:
    given: dict[str, object] = {"exchange": EXCHANGE, "party": "XA", "item_hash": item, "at_ms": now_ms()}
    return make_approval(key_of(name), **(given | changes))  # type: ignore[arg-type]  # the caller names fields


async def approve(node: Node, item: bytes, name: str) -> int:
    """Approve and return how many approvals are missing then."""
    return (await node.approving.approve(item, signed_by(name, item), caller=as_caller(name))).missing


async def waiting(
    node: Node, *, limit: int = 50, after: bytes = b"", hidden: frozenset[bytes] = frozenset()
) -> list[Pending]:
    """Return what waits for approvals, but for what is hidden from who asks."""

    async def among(items: Collection[bytes]) -> set[bytes]:
        return set(items) - hidden

    return await node.approving.pending(limit=limit, after=after, among=among)


async def waits_for_approval(node: Node, item: bytes, recipient: str) -> None:
    async def holds() -> bool:
        row = await reach(node, item, recipient)
        return row is not None and row.state is Reach.WAITING and row.due_ms > now_ms() and "Approvals" in row.why

    await until(holds, "it does not wait for an approval")


async def events(node: Node, item: bytes, name: str) -> list[str]:
    found = await node.core.database.read(partial(reports.events_of, item=item))
    return [event.detail for event in found if event.event == name]


async def test_a_report_goes_when_enough_others_have_approved_it_and_its_recipient_counts_them() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await staff(node)
        sent = await push(node, "XV", approvals_=2)
        await waits_for_approval(node, sent.item, "XV")
        (pending,) = await waiting(node)
        assert (pending.author, pending.missing, pending.approved) == ("clara", 2, [])
        assert [(each.partner, each.missing, each.then.permit) for each in pending.recipients] == [("XV", 2, True)]
        assert await approve(node, sent.item, "rana") == 1
        assert await approve(node, sent.item, "rana") == 1, "once more changes nothing"
        await waits_for_approval(node, sent.item, "XV")
        assert await stored(running["XV"], sent.item) is None
        assert await approve(node, sent.item, "sami") == 0
        await receipted(node, sent.item, "XV")
        assert await waiting(node) == []
        assert await events(node, sent.item, "signed") == ["by clara, for 1 recipients"]
        assert await events(node, sent.item, "approved") == ["by rana", "by sami"]
        kept = await running["XV"].core.database.read(partial(approvals.approvals_of, item=sent.item))
        assert len(kept) == 2 and {row.name for row in kept} == {""}, "pseudonyms travel, names do not"
        assert await approve(node, sent.item, "sami") == 0, "also when it has gone"


async def test_nobody_approves_what_he_wrote_what_is_over_his_ceiling_or_what_nobody_knows_the_author_of() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await staff(node)
        own, strange = await push(node, "XV", by="rana"), await push(node, "XV", by="")
        early = await push(node, "XV", by="owner")
        for sent in (own, strange, early):
            with pytest.raises(NotAllowed):
                await approve(node, sent.item, "rana")
        assert await approve(node, own.item, "sami") == 0
        sent = await push(node, "XV", by="sensor/feed")
        with pytest.raises(PolicyDenied, match="TLP:GREEN"):
            await node.approving.approve(
                sent.item, signed_by("rana", sent.item), caller=as_caller("rana", ceiling=Tlp.GREEN)
            )
        assert await approve(node, sent.item, "rana") == 0


async def test_an_approval_holds_for_one_item_by_the_callers_own_key_and_no_other() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await staff(node)
        sent, other = await push(node, "XV"), await push(node, "XV")
        wrong = [
            signed_by("rana", other.item),
            signed_by("sami", sent.item),
            signed_by("rana", sent.item, party="XV"),
            signed_by("rana", sent.item, at_ms=now_ms() + 2 * DAY_MS),
        ]
        for approval in wrong:
            with pytest.raises(VerificationFailed):
                await node.approving.approve(sent.item, approval, caller=as_caller("rana"))
        assert len(await waiting(node)) == 2
        with pytest.raises(NotFound):
            await approve(node, bytes(32), "rana")


async def test_without_operators_nobody_can_approve_and_the_error_says_what_to_do() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        sent = await push(node, "XV")
        with pytest.raises(NotAllowed) as caught:
            await node.approving.approve(sent.item, signed_by("rana", sent.item), caller=the_owner())
        assert "concord operator add" in caught.value.hint


async def test_the_approval_of_a_releaser_who_was_revoked_or_got_another_key_counts_no_more() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await staff(node)
        sent = await push(node, "XV", approvals_=2)
        await approve(node, sent.item, "rana")
        await node.operators.revoke("rana", by="ada")
        (pending,) = await waiting(node)
        assert (pending.missing, pending.approved) == (2, [])
        with pytest.raises(NotAllowed):
            await approve(node, sent.item, "rana")
        await admit(node, "rana", Role.RELEASER, key="rana/2")
        (pending,) = await waiting(node)
        assert pending.missing == 2
        again = signed_by("rana/2", sent.item)
        assert (await node.approving.approve(sent.item, again, caller=as_caller("rana"))).missing == 1
        assert await approve(node, sent.item, "sami") == 0
        await receipted(node, sent.item, "XV")


async def test_what_is_rejected_or_withdrawn_while_it_waits_never_goes() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await staff(node)
        rejected, withdrawn = await push(node, "XV"), await push(node, "XV")
        assert await node.approving.reject(rejected.item, "Not yet.", caller=as_caller("rana")) == ("XV",)
        await withdraw(node.core, withdrawn.item, reason_code="wrong", text="", purge=False, wake=node.outbox.wake)
        for sent in (rejected, withdrawn):
            with pytest.raises(ExchangeError):
                await approve(node, sent.item, "rana")
            with pytest.raises(ExchangeError):
                await node.approving.reject(sent.item, "Again.", caller=as_caller("sami"))
        row, report = await reach(node, rejected.item, "XV"), await stored(node, rejected.item)
        assert row is not None and report is not None
        assert (row.state, row.why) == (Reach.DENIED, "rejected by rana: Not yet.")
        assert report.state is ItemState.REJECTED
        assert await events(node, rejected.item, "rejected") == ["rejected by rana: Not yet."]
        assert await waiting(node) == []
        assert await stored(running["XV"], rejected.item) is None


async def test_a_rejected_correction_leaves_the_version_before_as_it_was() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await staff(node)
        first = await push(node, "XV", approvals_=0)
        await receipted(node, first.item, "XV")
        report = await stored(node, first.item)
        assert report is not None

        async def correct(key: str) -> Accepted:
            made = authored(node, a_label("XV", more="approvals: 1"), modified="2021-07-14T06:30:00.000Z")
            before = Previous(first.item, report.thread, made.stix_id, made.modified_ms - 1)
            made = replace(made, thread_id=before.thread_id, supersedes=before.item_hash)
            return await node.outbox.accept(made, push_digest(key, b"", b""), by=Author("clara"))

        second = await correct("second")
        assert (await stored(node, first.item)).state is ItemState.REPLACED  # type: ignore[union-attr]
        await node.approving.reject(second.item, "", caller=as_caller("rana"))
        assert (await stored(node, first.item)).state is ItemState.CURRENT  # type: ignore[union-attr]
        third = await correct("third")
        await approve(node, third.item, "rana")
        await receipted(node, third.item, "XV")
        assert (await stored(running["XV"], first.item)).state is ItemState.REPLACED  # type: ignore[union-attr]
        row = await reach(node, first.item, "XV")
        assert row is not None and row.state is Reach.RECEIPTED, "nobody was asked to give the first one back"


async def test_what_has_gone_to_some_is_rejected_for_the_others_only() -> None:
    async with a_node_world("XA", "XV", "XO") as world:
        await agree_with_approvals(world, "XV", 0)
        await agree_with_approvals(world, "XO", 1)
        async with at(world.places["XA"]) as node, at(world.places["XV"]), at(world.places["XO"]) as strict:
            await ready(node, ["XV", "XO"])
            await until(lambda: len(node.core.trust.now.views) == 2, "no agreements")
            await staff(node)
            sent = await push(node, "XV", "XO", approvals_=0)
            await receipted(node, sent.item, "XV")
            await waits_for_approval(node, sent.item, "XO")
            (pending,) = await waiting(node)
            assert [each.partner for each in pending.recipients] == ["XO"]
            other = await push(node, "XV", "XO", approvals_=0)
            await receipted(node, other.item, "XV")
            assert await node.approving.reject(sent.item, "", caller=as_caller("rana")) == ("XO",)
            assert (await stored(node, sent.item)).state is ItemState.CURRENT  # type: ignore[union-attr]
            await waits_for_approval(node, other.item, "XO")
            await approve(node, other.item, "rana")
            await receipted(node, other.item, "XO")
            assert await stored(strict, sent.item) is None


async def agree_with_approvals(world: NodeWorld, partner: str, count: int) -> None:
    (term,) = a_view(["XA", partner]).terms
    strict: Term = replace(term, approvals=count)
    await world.relay.agree("XA", partner, terms=(strict,))


async def test_a_recipient_refuses_what_came_without_the_approvals_that_label_or_agreement_ask_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        permit = sealing._decide

        def lax(job: sealing.Job, ground: sealing.Ground) -> object:
            """XA's node counts what it does not have."""
            sixteen = (job.approvals * 16 or (None,) * 16)[:16]
            return permit(replace(job, approvals=sixteen), ground)  # type: ignore[arg-type]

        monkeypatch.setattr(sealing, "_decide", lax)
        sent = await push(node, "XV")
        await reached(node, sent.item, "XV", Reach.REFUSED)
        row = await reach(node, sent.item, "XV")
        assert row is not None and row.why == "refused there: APPROVALS_MISSING, step 9"
        assert await stored(running["XV"], sent.item) is None


async def test_an_approval_that_overtakes_a_round_of_sealing_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await staff(node)
        seal, loop, overtaken = sealing.seal_round, asyncio.get_running_loop(), asyncio.Event()

        def overtake(jobs: Sequence[sealing.Job], *ground: Any) -> sealing.Round:
            """Seal what was read after it was approved; in the thread that seals."""
            if jobs and jobs[0].label is not None and not overtaken.is_set():
                overtaken.set()
                approved = approve(node, jobs[0].item, "rana")
                asyncio.run_coroutine_threadsafe(approved, loop).result()
            return seal(jobs, *ground)

        monkeypatch.setattr(sender, "seal_round", overtake)
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")
        assert overtaken.is_set()


async def test_a_long_list_of_what_waits_goes_on_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approving, "PAGE", 2)
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        await staff(node)
        items = [(await push(node, "XV", name=f"Report {number}")).item for number in range(5)]
        for item in items:
            await waits_for_approval(node, item, "XV")

        async def page(**given: Any) -> list[bytes]:
            return [each.report.item for each in await waiting(node, **given)]

        assert await page() == items
        assert await page(limit=3) == items[:3]
        assert await page(limit=3, after=items[2]) == items[3:]
        assert await page(limit=2, hidden=frozenset(items[:3])) == items[3:], "what is hidden fills no page"
        await node.approving.reject(items[2], "", caller=as_caller("rana"))
        assert await page(limit=3, after=items[2]) == items[3:], "the last of a page need not wait any more"


async def test_what_waits_for_approvals_survives_a_restart() -> None:
    async with a_node_world("XA", "XV") as world:
        await world.relay.agree("XA", "XV")
        async with at(world.places["XV"]):
            async with at(world.places["XA"]) as node:
                await ready(node, ["XV"])
                await staff(node)
                sent = await push(node, "XV", approvals_=2)
                await approve(node, sent.item, "rana")
            async with at(world.places["XA"]) as node:
                (pending,) = await waiting(node)
                assert pending.missing == 1
                await approve(node, sent.item, "sami")
                await receipted(node, sent.item, "XV")


async def test_a_releaser_signs_what_was_shown_through_the_socket_and_others_may_not(tmp_path: Path) -> None:
    async with nodes("XA", "XV") as (_, running), open_socket(running["XA"]) as door:
        node, desk = running["XA"], Desk(door.home, tmp_path)
        await desk.admit("", "ada", Role.ADMINISTRATOR)
        await desk.admit("ada", "clara", Role.AUTHOR)
        await desk.admit("ada", "rana", Role.RELEASER)
        sent = await push(node, "XV")
        (listed,) = (await desk.ask("clara", "ListPending", pb.ListPendingRequest())).reports
        assert (listed.item, listed.author, listed.missing) == (sent.item.hex(), "clara", 1)
        for name, method, request in (
            ("clara", "ShowPending", pb.ShowPendingRequest(id=listed.item)),
            ("ada", "ListPending", pb.ListPendingRequest()),
            ("clara", "ApproveReport", pb.ApproveReportRequest(id=listed.item)),
            ("clara", "RejectReport", pb.RejectReportRequest(id=listed.item)),
        ):
            with pytest.raises(NotAllowed):
                await desk.ask(name, method, request)
        shown = await desk.ask("rana", "ShowPending", pb.ShowPendingRequest(id=listed.item[:8]))
        seen = read_pending(shown)
        assert seen.item == sent.item and "XV" in seen.label_yaml and b"Roadblock" in seen.content
        for spoil in (b"", b"x"):
            lying = pb.ShowPendingResponse()
            lying.CopyFrom(shown)
            lying.statement = shown.statement + spoil if spoil else b""
            with pytest.raises(VerificationFailed):
                read_pending(lying)
        lying.CopyFrom(shown)
        lying.release = shown.release[:-1] + bytes([shown.release[-1] ^ 1])
        with pytest.raises(ExchangeError):
            read_pending(lying)
        approval = encode_signed(signed_by("rana", seen.item))
        request = pb.ApproveReportRequest(id=listed.item, approval=approval)
        for _ in range(2):
            assert (await desk.ask("rana", "ApproveReport", request)).report.missing == 0
        await receipted(node, sent.item, "XV")
        with pytest.raises(Conflict):
            await desk.ask("rana", "ShowPending", pb.ShowPendingRequest(id=listed.item))
        assert sha256(shown.statement).digest() == sent.item


async def passed_on(running: dict[str, Node]) -> tuple[Accepted, bytes]:
    """XA has sent XV a report that a releaser approved, and lets XV pass it on to XT once XV asks for it."""
    node = running["XA"]
    await staff(node)
    label = a_label("XV", more="approvals: 1\nmax_hops: 1").replace(b"onward: none", b"onward: consent")
    made = authored(node, label)
    sent = await node.outbox.accept(made, push_digest("onward", b"", b""), by=Author("clara"))
    await approve(node, sent.item, "rana")
    await receipted(node, sent.item, "XV")
    asked = await ask(running["XV"], sent.item, "XT", ask_only=True)
    await arrived(node, asked.hash)
    await node.consenting.grant(asked.hash, caller=the_owner())
    await answered(running["XV"], asked.hash, XT=AnswerState.GRANTED)
    return sent, asked.hash


async def test_approvals_travel_on_with_what_is_passed_on_and_the_next_holder_verifies_them() -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        sent, request = await passed_on(running)
        await running["XV"].asking.pass_on(request, caller=the_owner())
        await receipted(running["XV"], sent.item, "XT")
        first, next_ = [
            await running[name].core.database.read(partial(approvals.approvals_of, item=sent.item))
            for name in ("XV", "XT")
        ]
        assert len(next_) == 1 and [row.proof for row in next_] == [row.proof for row in first]
        opened = await running["XT"].shelf.opened(sent.item)
        assert opened is not None and opened.holding is not None and opened.holding.item.approvals == 1


async def test_a_holder_that_passes_on_other_approvals_than_those_of_the_report_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with nodes("XA", "XV", "XT") as (_, running):
        sent, request = await passed_on(running)
        other = signed_by("rana", sha256(b"another item").digest())
        real = approving.proofs

        def forged(rows: Sequence[ApprovalRow]) -> tuple[ApprovalProof, ...]:
            return tuple(replace(proof, approval=other) for proof in real(rows))

        monkeypatch.setattr("nodes.due.proofs", forged)
        await running["XV"].asking.pass_on(request, caller=the_owner())
        await reached(running["XV"], sent.item, "XT", Reach.REFUSED)
        assert await stored(running["XT"], sent.item) is None
        aside = await running["XT"].core.database.read(receiving.list_set_aside)
        assert [each.step for each in aside] == [8]
