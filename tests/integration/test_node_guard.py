"""Before a push: what is unusual must be confirmed, machines are bounded, and the node's own rule is signed."""

from dataclasses import replace
from functools import partial

import pytest

from exchange.errors import NeedsConfirmation, PolicyDenied
from exchange.names import party_id
from exchange.policy.model import Category, Tlp
from exchange.runtime.clock import now_ms
from nodes.caller import Caller, the_owner
from nodes.config import ReleaseRules
from nodes.consenting import Wish
from nodes.desk import Authoring, Draft
from nodes.guard import Unusual
from nodes.guarding import Guarding
from nodes.outbox import Author, push_digest
from nodes.parts import Node
from nodes.roles import Role
from nodes.sensors import Scope
from nodes.store import approvals, reports
from nodes.store.consent_rows import AnswerState
from tests.support.consent_world import answered, arrived, ask, push_onward
from tests.support.node_world import a_label, authored, nodes, receipted
from tests.support.reports import a_report

CLARA = Caller("clara", frozenset({Role.AUTHOR}), Tlp.AMBER)


def a_draft(*to: str, name: str = "Roadblock near the dam", tlp: str = "amber") -> Draft:
    label = a_label(*to).replace(b"tlp: amber", f"tlp: {tlp}".encode())
    return Draft(a_report(name=name), label)


def codes(error: NeedsConfirmation) -> set[str]:
    return {code for code in Unusual if code in str(error)}


async def test_the_first_report_to_a_partner_must_be_confirmed_and_the_next_is_usual() -> None:
    async with nodes("XA", "XV") as (_, running):
        desk = running["XA"].authoring
        dry_run = await desk.look(a_draft("XV"), caller=the_owner())
        assert [hint.code for hint in dry_run.hints] == [Unusual.FIRST_TIME_TO_PARTNER]
        with pytest.raises(NeedsConfirmation) as caught:
            await desk.push(a_draft("XV"), caller=CLARA)
        assert codes(caught.value) == {"FIRST_TIME_TO_PARTNER"}
        sent = await desk.push(a_draft("XV"), caller=CLARA, confirmed=["FIRST_TIME_TO_PARTNER:XV"])
        again = await desk.push(a_draft("XV"), caller=CLARA)
        assert (again.item, again.repeated) == (sent.item, True)
        await receipted(running["XA"], sent.item, "XV")
        core = running["XA"].core
        events = await core.database.read(partial(reports.events_of, item=sent.item))
        assert [e.detail for e in events if e.event == "confirmed"] == ["clara confirmed FIRST_TIME_TO_PARTNER:XV"]
        assert await core.database.read(partial(approvals.author_of, item=sent.item)) == "clara"
        await desk.push(a_draft("XV", name="Another matter"), caller=CLARA)


async def test_what_is_refused_for_want_of_confirmation_stores_nothing() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        everyone = Draft(a_report(), a_label('"*"'))
        with pytest.raises(NeedsConfirmation) as caught:
            await node.authoring.push(everyone, caller=CLARA, confirmed=["FIRST_TIME_TO_PARTNER:XV"])
        assert codes(caught.value) == {"EVERYONE"}
        assert await node.core.database.read(reports.count_reports) == {}


async def test_a_confirmation_holds_for_the_partners_that_were_shown_and_for_no_others() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        desk = running["XA"].authoring
        looked = await desk.look(a_draft("XV"), caller=CLARA)
        shown = [hint.accept for hint in looked.hints]
        assert shown == ["FIRST_TIME_TO_PARTNER:XV"]
        for wrong in (shown, ["FIRST_TIME_TO_PARTNER"], ["FIRST_TIME_TO_PARTNER:XV,XO"]):
            with pytest.raises(NeedsConfirmation, match="for other partners than these") as caught:
                await desk.push(a_draft("XV", "XO"), caller=CLARA, confirmed=wrong)
            assert "--accept FIRST_TIME_TO_PARTNER:XO,XV" in caught.value.hint
        assert await running["XA"].core.database.read(reports.count_reports) == {}
        await desk.push(a_draft("XV", "XO"), caller=CLARA, confirmed=["FIRST_TIME_TO_PARTNER:XO,XV"])


async def test_who_comes_into_the_audience_after_the_look_is_asked_about() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        made = authored(node, a_label("XV", "XO"))
        by = Author("clara", looked_at=frozenset({party_id("XV")}))
        with pytest.raises(NeedsConfirmation, match="by now it also goes to XO"):
            await node.outbox.accept(made, push_digest("one", b"", b""), by=by)
        assert await node.core.database.read(reports.count_reports) == {}
        narrower = Author("clara", looked_at=frozenset({party_id("XV"), party_id("XO"), party_id("XH")}))
        await node.outbox.accept(made, push_digest("one", b"", b""), by=narrower)


async def test_above_the_callers_ceiling_nothing_can_be_confirmed() -> None:
    async with nodes("XA", "XV") as (_, running):
        desk = running["XA"].authoring
        low = replace(CLARA, ceiling=Tlp.GREEN)
        with pytest.raises(PolicyDenied, match="TLP:GREEN") as caught:
            await desk.push(a_draft("XV"), caller=low, confirmed=["FIRST_TIME_TO_PARTNER:XV"])
        assert not isinstance(caught.value, NeedsConfirmation)


async def test_a_sensor_is_not_asked_and_reaches_no_more_than_its_scope_says() -> None:
    async with nodes("XA", "XV", "XO") as (_, running):
        node = running["XA"]
        scope = Scope("feed", (Category.ALERT,), Tlp.AMBER, 10, b"", now_ms() + 1_000_000, recipients_most=1)
        with pytest.raises(PolicyDenied, match="may reach 1 recipients, not 2"):
            await node.authoring.push_from(scope, a_report(), a_label('"*"'))
        with pytest.raises(PolicyDenied):
            await with_rules(node, ReleaseRules(wide_audience=1)).push_from(
                replace(scope, recipients_most=0), a_report(), a_label("XV", "XO")
            )
        sent = await node.authoring.push_from(scope, a_report(), a_label("XV"))
        await receipted(node, sent.item, "XV")
        assert await node.core.database.read(partial(approvals.author_of, item=sent.item)) == "sensor/feed"


def with_rules(node: Node, rules: ReleaseRules) -> Authoring:
    return Authoring(node.core, node.outbox, node.shelf, node.sensors, defaults={}, rules=rules)


async def test_the_nodes_own_rule_of_approvals_is_signed_into_the_label() -> None:
    async with nodes("XA", "XV") as (_, running):
        node = running["XA"]
        desk = with_rules(node, ReleaseRules(approvals={"amber": 2}))
        checked = await desk.check(a_draft("XV"), caller=the_owner())
        assert checked.label.approvals == 2 and any("approved" in words for words in checked.warnings)
        assert (await desk.check(a_draft("XV", tlp="amber+strict"), caller=the_owner())).label.approvals == 0
        more = Draft(a_report(), a_label("XV", more="approvals: 3"))
        assert (await desk.check(more, caller=the_owner())).label.approvals == 3
        sent = await desk.push(a_draft("XV"), caller=the_owner(), confirmed=["FIRST_TIME_TO_PARTNER:XV"])
        opened = await node.shelf.opened(sent.item)
        assert opened is not None and opened.label.approvals == 2


async def test_consent_is_asked_about_for_a_new_partner_and_when_more_then_have_it_than_is_usual() -> None:
    async with nodes("XA", "XV", "XT", "XN") as (_, running):
        node, holder = running["XA"], running["XV"]
        sent = await push_onward(node, "XV")
        await receipted(node, sent.item, "XV")
        asked = await ask(holder, sent.item, "XT", "XN", ask_only=True)
        await arrived(node, asked.hash)
        guarding = Guarding(node.core, node.asking, node.consenting, ReleaseRules(wide_audience=1))
        only = Wish([party_id("XT")])
        looked = await guarding.look_at_grant(asked.hash, only, caller=the_owner())
        shown = [hint.accept for hint in looked.hints]
        assert shown == ["FIRST_TIME_TO_PARTNER:XT", "WIDE_AUDIENCE:XT,XV"]
        assert [(each.partner, each.gets_it) for each in looked.going] == [("XT", "yes")]
        with pytest.raises(NeedsConfirmation):
            await guarding.grant(asked.hash, Wish(), text="", confirmed=shown, caller=the_owner())
        await guarding.grant(asked.hash, only, text="", confirmed=shown, caller=the_owner())
        again = await guarding.look_at_grant(asked.hash, Wish(), caller=the_owner())
        assert [hint.accept for hint in again.hints] == ["FIRST_TIME_TO_PARTNER:XN", "WIDE_AUDIENCE:XN,XT,XV"]
        # At the holder everybody whom the request names is asked about, and what was only asked for not at all.
        await answered(holder, asked.hash, XT=AnswerState.GRANTED)
        usual = Guarding(holder.core, holder.asking, holder.consenting, ReleaseRules())
        passing = await usual.look_at_passing_on(asked.hash, caller=the_owner())
        assert [hint.accept for hint in passing.hints] == ["FIRST_TIME_TO_PARTNER:XN,XT"]
        assert {each.partner: each.gets_it for each in passing.going} == {"XN": "not yet", "XT": "yes"}
        with pytest.raises(NeedsConfirmation):
            await usual.pass_on(asked.hash, confirmed=["FIRST_TIME_TO_PARTNER:XT"], caller=the_owner())
        await usual.pass_on(asked.hash, confirmed=["FIRST_TIME_TO_PARTNER:XN,XT"], caller=the_owner())
        await receipted(holder, sent.item, "XT")
