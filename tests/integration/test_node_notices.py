"""After the signatures, between nodes: parties join, pause and leave; the others are told, and acknowledge."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import pytest

from exchange.crypto.codec import encode_signed
from exchange.crypto.signed import Signature, Signed
from exchange.crypto.signing import CompositeKey
from exchange.errors import BadSignature, Conflict, ExchangeError, NotAllowed, NotFound
from exchange.names import party_id
from exchange.policy.agreement import AgreementRef, ref_of
from exchange.policy.agreement_text import draft_agreement_text
from exchange.policy.changes.model import NoticeAction
from exchange.receipts.codec import encode_agreement_text
from exchange.receipts.model import AgreementText
from exchange.runtime.clock import now_ms
from nodes import alarms
from nodes.agreement_file import AgreementFile, first_signature, next_signature, signed_accession, signed_notice
from nodes.agreement_service import AgreementMethods
from nodes.parts import Node
from nodes.relay_port import AgreementPart
from nodes.simulation import Simulation
from nodes.store import agreements as store
from nodes.store import alarms as alarm_store
from nodes.store.rows import ANNOUNCED, Reach
from nodes.v1 import agreements_pb2 as pb
from tests.support.agreement_changes import a_notice, an_accession, change_bytes
from tests.support.directory_builders import EXCHANGE, composite, party_keys
from tests.support.node_world import NodeWorld, at, nodes, push, reach, reached, ready, receipted, until

SUSPEND, RESUME, TERMINATE = NoticeAction.SUSPEND, NoticeAction.RESUME, NoticeAction.TERMINATE


def methods(node: Node) -> AgreementMethods:
    """Return what the operators' socket calls."""
    simulation = Simulation(node.core, node.agreements)
    return AgreementMethods(node.core, node.agreements, node.publishing, node.notices, simulation, node.shelf)


def a_file(*founders: str, accession: str = "any") -> AgreementFile:
    """Return an agreement that its founders have signed."""
    parties = [party_id(name) for name in founders]
    text = draft_agreement_text(parties, "Road", valid_from_ms=now_ms(), valid_until_ms=0, accession=accession)
    text = text.replace("categories: {allow: [alert, guidance], deny: []}", "categories: {allow: [alert], deny: []}")
    file = first_signature(text.encode(), party_keys(founders[0]).root, exchange=EXCHANGE)
    for name in founders[1:]:
        file = next_signature(file, party_keys(name).root)
    return file


def by_key_id(text: AgreementText) -> AgreementText:
    """Return an agreement with its signatures in the order in which nodes keep them."""
    return AgreementText(*(replace(each, signatures=in_order(each)) for each in (text.agreement, text.view)))


def in_order(signed: Signed) -> tuple[Signature, ...]:
    """Return the signatures of a statement by key id."""
    return tuple(sorted(signed.signatures, key=lambda signature: signature.key_id))


async def found(node: Node, file: AgreementFile) -> pb.AgreementSummary:
    """Hand a signed file over to a node."""
    request = pb.ImportAgreementRequest(agreement=encode_agreement_text(file.signed))
    return (await methods(node).import_(request)).agreement


async def join(node: Node, file: AgreementFile) -> pb.ChangeAgreementResponse:
    """Let a node's party accede."""
    signed = signed_accession(file.view, party_keys(node.core.me).root, party=node.core.me, now_ms=now_ms())
    request = pb.ChangeAgreementRequest(change=encode_signed(signed), agreement=encode_agreement_text(file.signed))
    return await methods(node).change(request)


async def say(node: Node, ref: AgreementRef, action: NoticeAction, text: str = "for a reason") -> pb.AgreementSummary:
    """Let a node's party give notice."""
    signed = signed_notice(
        ref,
        party_keys(node.core.me).root,
        exchange=EXCHANGE,
        party=node.core.me,
        action=action,
        text=text,
        now_ms=now_ms(),
    )
    return (await methods(node).change(pb.ChangeAgreementRequest(change=encode_signed(signed)))).agreement


async def the_agreement(node: Node) -> pb.AgreementSummary:
    """Return the one agreement that a node knows."""
    (only,) = (await methods(node).list_()).agreements
    return only


async def stands(node: Node, status: str, *parties: str) -> None:
    """Wait until the one agreement stands so at a node."""

    async def holds() -> bool:
        found_ = (await methods(node).list_()).agreements
        return [(each.status, tuple(each.parties)) for each in found_] == [(status, tuple(sorted(parties)))]

    try:
        await until(holds, "")
    except AssertionError:
        seen = [(each.status, tuple(each.parties)) for each in (await methods(node).list_()).agreements]
        raise AssertionError(f"{node.core.me}: {seen}, not {(status, parties)}") from None


async def notices_open(node: Node) -> int:
    """Return how many notices an operator has yet to acknowledge, by the alarms."""
    open_ = await node.core.database.read(alarm_store.open_alarms)
    return sum(1 for each in open_ if each.kind == alarms.NOTICE)


@dataclass(slots=True)
class Agreed:
    """Nodes with one agreement between them."""

    world: NodeWorld
    running: dict[str, Node]
    file: AgreementFile

    @property
    def ref(self) -> AgreementRef:
        """Return how statements name it."""
        return ref_of(self.file.view)


@asynccontextmanager
async def agreed(*founders: str, others: tuple[str, ...] = (), accession: str = "any") -> AsyncIterator[Agreed]:
    """Run nodes of founders, between whom an agreement is in force, and of others."""
    async with nodes(*founders, *others, agree=False) as (world, running):
        file = a_file(*founders, accession=accession)
        await found(running[founders[0]], file)
        for name in founders:
            await stands(running[name], "active" if len(founders) > 1 else "suspended", *founders)
        yield Agreed(world, running, file)


async def test_a_party_joins_by_one_statement_and_reports_flow_both_ways() -> None:
    async with agreed("XA", "XV", others=("XO",)) as here:
        joined = await join(here.running["XO"], here.file)
        assert joined.counts
        for node in here.running.values():
            await stands(node, "active", "XA", "XO", "XV")
        sent = await push(here.running["XO"], "XA")
        await receipted(here.running["XO"], sent.item, "XA")
        back = await push(here.running["XV"], "XO")
        await receipted(here.running["XV"], back.item, "XO")
        told = await the_agreement(here.running["XA"])
        assert [(each.party, each.action, each.counts) for each in told.events] == [("XO", "accede", True)]


async def test_the_text_travels_to_those_who_may_join_and_they_see_that_they_may() -> None:
    async with agreed("XA", "XV", others=("XO", "XH"), accession="[XO]") as here:
        await stands(here.running["XO"], "open", "XA", "XV")
        assert (await methods(here.running["XH"]).list_()).agreements == []
        exported = await methods(here.running["XO"]).export(
            pb.ExportAgreementRequest(commitment=here.ref.commitment.hex())
        )
        assert exported.agreement == encode_agreement_text(by_key_id(here.file.signed))
        with pytest.raises(NotAllowed):
            await found(here.running["XH"], here.file)
        await join(here.running["XO"], here.file)
        await stands(here.running["XA"], "active", "XA", "XO", "XV")


async def test_a_suspension_stops_release_and_what_waits_goes_when_it_is_lifted() -> None:
    async with agreed("XA", "XV", "XO") as here:
        sender, away = here.running["XA"], here.running["XV"]
        await say(away, here.ref, SUSPEND, "the ministers meet")
        await stands(sender, "active", "XA", "XO")
        sent = await push(sender, "XV", "XO")
        await receipted(sender, sent.item, "XO")
        held = await reach(sender, sent.item, "XV")
        assert held is not None
        assert held.state not in {Reach.RECEIPTED, Reach.PROMISED}
        await say(away, here.ref, RESUME)
        await stands(sender, "active", "XA", "XO", "XV")
        await receipted(sender, sent.item, "XV")


async def test_the_others_acknowledge_a_notice_and_its_party_sees_who_has_not() -> None:
    async with agreed("XA", "XV", "XO") as here:
        leaving, one, other = (here.running[name] for name in ("XA", "XV", "XO"))
        await say(leaving, here.ref, TERMINATE, "a treaty replaces it")
        for node in (one, other):
            await stands(node, "active", "XO", "XV")
            await until(partial(_one, node), "no alarm")
        await stands(leaving, "left", "XO", "XV")
        (event,) = (await the_agreement(one)).events
        assert (event.party, event.action, event.text, event.acknowledge) == (
            "XA",
            "terminate",
            "a treaty replaces it",
            True,
        )
        answer = await methods(one).acknowledge(pb.AcknowledgeAgreementRequest(id=here.ref.id.hex()))
        assert [each.party for each in answer.notices] == ["XA"]
        assert await notices_open(one) == 0
        again = await methods(one).acknowledge(pb.AcknowledgeAgreementRequest(id=here.ref.id.hex()))
        assert list(again.notices) == []

        async def heard() -> bool:
            (event,) = (await the_agreement(leaving)).events
            return (list(event.acknowledged), list(event.waiting)) == (["XV"], ["XO"])

        await until(heard, "the acknowledgement did not come")
        assert "destroyed within 30 days" in (await the_agreement(one)).held_items


async def _one(node: Node) -> bool:
    return await notices_open(node) == 1


async def test_who_left_is_sent_nothing_and_sends_nothing_under_it() -> None:
    async with agreed("XA", "XV", "XO") as here:
        await say(here.running["XO"], here.ref, TERMINATE)
        await stands(here.running["XA"], "active", "XA", "XV")
        await stands(here.running["XO"], "left", "XA", "XV")
        for sender, recipient in (("XA", "XO"), ("XO", "XA")):
            sent = await push(here.running[sender], recipient)
            await reached(here.running[sender], sent.item, recipient, Reach.DENIED)


async def test_a_node_that_was_away_learns_all_at_once_also_after_a_restart() -> None:
    async with agreed("XA", "XV", others=("XO",)) as here:
        await join(here.running["XO"], here.file)
        await say(here.running["XV"], here.ref, SUSPEND)
        for name in ("XA", "XO"):
            await stands(here.running[name], "active", "XA", "XO")
        place = await here.world.place("XH")
        async with at(place) as late:
            await ready(late, ["XA", "XV", "XO"], agree=False)
            await join(late, here.file)
            await stands(late, "active", "XA", "XH", "XO")
        async with at(place) as again:
            await stands(again, "active", "XA", "XH", "XO")
            assert await notices_open(again) == 0, "it was given before they joined"


def _notice(ref: AgreementRef, name: str, action: NoticeAction = SUSPEND, key: CompositeKey | None = None) -> bytes:
    return change_bytes(a_notice(ref, name, action, at_ms=now_ms()), key)


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda ref: _notice(ref, "XA", key=composite("nobody")), BadSignature),
        (lambda ref: _notice(ref, "XA", key=party_keys("XA").statement), BadSignature),
        (lambda ref: _notice(ref, "XV"), NotAllowed),
        (lambda ref: _notice(ref, "XA", RESUME), Conflict),
        (lambda ref: change_bytes(an_accession(ref, "XA", at_ms=now_ms())), Conflict),
        (lambda ref: _notice(AgreementRef(ref.id, 1, bytes(32)), "XA"), NotFound),
    ],
    ids=["stranger", "statement key", "for another", "nothing suspended", "a party", "unknown"],
)
async def test_what_this_party_may_not_say_is_refused_before_anything_is_kept(
    make: Callable[[AgreementRef], bytes], error: type[ExchangeError]
) -> None:
    async with agreed("XA", "XV") as here:
        node = here.running["XA"]
        with pytest.raises(error):
            await node.notices.make(make(here.ref))
        assert await node.core.database.read(store.changes) == []


async def test_a_notice_given_while_the_relay_is_away_is_kept_and_counts_when_it_is_back() -> None:
    async with agreed("XA", "XV") as here:
        node = here.running["XA"]
        honest = node.relay.change_agreement

        async def away(change: bytes) -> int:
            raise ExchangeError

        node.relay.change_agreement = away  # type: ignore[method-assign]
        told = await say(node, here.ref, SUSPEND)
        assert (told.status, [each.counts for each in told.events]) == ("active", [False])
        (kept,) = await node.core.database.read(store.changes)
        assert kept.place == ANNOUNCED
        node.relay.change_agreement = honest  # type: ignore[method-assign]
        node.notices.rounds.hurry()
        await stands(node, "suspended", "XV")


async def test_a_relay_that_makes_a_party_up_is_an_alarm_and_the_party_gets_nothing() -> None:
    async with agreed("XA", "XV", others=("XO",), accession="none") as here:
        node = here.running["XA"]
        honest = node.relay.fetch_agreements
        made_up = [change_bytes(an_accession(here.ref, "XO", at_ms=now_ms()))]

        async def lying(known: dict[bytes, int]) -> list[AgreementPart]:
            return [AgreementPart(here.ref.commitment, b"", known[here.ref.commitment], made_up)]

        node.relay.fetch_agreements = lying  # type: ignore[method-assign,assignment]
        await node.agreements.fetch(node.relay)
        open_ = await node.core.database.read(alarm_store.open_alarms)
        assert [each.kind for each in open_] == [alarms.AGREEMENT]
        node.relay.fetch_agreements = honest  # type: ignore[method-assign]
        await stands(node, "active", "XA", "XV")
        sent = await push(node, "XO")
        await reached(node, sent.item, "XO", Reach.DENIED)


async def test_a_relay_that_keeps_a_suspended_party_in_is_not_believed() -> None:
    """The commitment before the suspension stays ACTIVE in its directory: nodes end it by themselves."""
    async with agreed("XA", "XV", "XO") as here:
        sender = here.running["XA"]
        await say(here.running["XV"], here.ref, SUSPEND)
        await stands(sender, "active", "XA", "XO")
        snapshot = sender.core.trust.now
        assert here.ref.commitment in snapshot.replaced
        directory = snapshot.directory
        honest = directory.agreement_status

        def lying(commitment: bytes, *, at_size: int) -> object:
            found_ = honest(commitment, at_size=at_size)
            return found_ if found_ is None else type(found_)(1)

        directory.agreement_status = lying  # type: ignore[method-assign,assignment]
        sent = await push(sender, "XV")
        held = await reach(sender, sent.item, "XV")
        assert held is None or held.state not in {Reach.PROMISED, Reach.RECEIPTED}
        rules = snapshot._make_rules(snapshot.size)
        assert rules.agreements[here.ref.commitment].status.word == "terminated"
