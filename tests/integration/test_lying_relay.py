"""A relay that lies, with its true keys, is caught each time: by which node, within what time, and with what to show.

Each test tells one lie (tests/support/lying_relay.py: the real relay's services, whose answers pass the lie) and names
what the honest nodes do. Times are those of the nodes' timing, here seconds for minutes: what is missing is asked for
after `gap_ask_s` and an alarm after `gap_alarm_s`, a directory that is held back one after `directory_wait_s`; what is
forged or contradicts itself is one at once. Evidence is checked as anyone checks it: from the file alone.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any

from exchange.crypto.codec import decode_signed, encode_signed, signed_from_proto, signed_to_proto
from exchange.crypto.signed import sign
from exchange.crypto.signing import CompositeKey, Ed25519Key
from exchange.crypto.xwing import XWingKey
from exchange.directory import ceremony, prekeys
from exchange.directory.prekeys import day_of
from exchange.envelope.codec import decode_delivery, decode_leaf, encode_leaf
from exchange.limits import MIB
from exchange.names import PartyId, party_id
from exchange.policy.codec import decode_view, encode_view
from exchange.policy.model import Tlp
from exchange.receipts.codec import decode_decisions, encode_decisions
from exchange.receipts.model import RelayDecision
from exchange.runtime.clock import now_ms
from exchange.tlog.checkpoint import traffic_origin
from exchange.tlog.entry import ENTRY_BYTES
from exchange.tlog.signing import open_checkpoint
from exchange.v1 import relay_service_pb2 as pb
from nodes.auditor import MERGE_MS
from nodes.evidence_check import Result
from nodes.outdated import check_outdated, read_outdated
from nodes.parts import Node
from nodes.relay_port import Log
from nodes.store import reports, sending, trust
from nodes.store.rows import Reach
from nodes.store.witnesses import kept_evidence
from nodes.trust import Snapshot
from tests.support.directory_builders import EXCHANGE
from tests.support.lying_relay import (
    HASTY,
    LOG,
    Deceived,
    Frozen,
    Honest,
    Liar,
    OnReports,
    OtherDirectory,
    OtherTraffic,
    alarmed,
    aside,
    changed,
    deceived,
    is_aside,
    is_report,
    promised,
    signed_promise,
    verdicts,
    with_false_promise,
    with_lower_marking,
)
from tests.support.node_world import at, count_reports, open_alarms, push, reach, reached, receipted, stored, until

QUIET = {"ending"}
"""Alarms that no lie has to do with."""


async def untroubled(node: Node) -> None:
    """Check that nothing rings."""
    assert set(await open_alarms(node)) <= QUIET


# -- drops, delays, reorders, replays ----------------------------------------------------------------------------------


async def test_what_is_dropped_once_is_missed_asked_for_and_comes_after_all() -> None:
    async with deceived("XA", "XV") as relay:
        relay.tell(OnReports("XV", lambda _: [], times=1))
        sent = await push(relay["XA"], "XV")
        await receipted(relay["XA"], sent.item, "XV")
        assert await count_reports(relay["XV"]) == 1


async def test_what_is_dropped_each_time_is_an_alarm_at_both_ends_with_what_they_have_signed_as_evidence() -> None:
    """It is sent again under a new number each time; what the relay promised and nobody got is told after the wait."""
    async with deceived("XA", "XV") as relay:
        relay.tell(OnReports("XV", lambda _: []))
        sent = await push(relay["XA"], "XV")
        for node in relay.nodes.values():
            await alarmed(node, "withheld")
            (found,) = await verdicts(node)
            assert {found[what] for what in ("promise", "sender", "recipient")} == {Result.HOLDS}
        assert await stored(relay["XV"], sent.item) is None
        row = await reach(relay["XA"], sent.item, "XV")
        assert row is not None and row.state is not Reach.RECEIPTED


async def test_what_is_delayed_comes_once_and_rings_no_alarm() -> None:
    async with deceived("XA", "XV", timing=HASTY.model_copy(update={"gap_alarm_s": 30.0})) as relay:
        held: list[pb.Waiting] = []
        relay.tell(hold(held, 1))
        late = await push(relay["XA"], "XV")
        await until(lambda: bool(held), "nothing was held")
        relay.tell(OnReports("XV", lambda waiting: [waiting, *held], times=1))
        soon = await push(relay["XA"], "XV")
        await receipted(relay["XA"], soon.item, "XV")
        await receipted(relay["XA"], late.item, "XV")
        assert await count_reports(relay["XV"]) == 2
        await untroubled(relay["XV"])


def hold(held: list[pb.Waiting], times: int) -> Honest:
    """Return the lie that keeps back reports to XV."""

    def keep(waiting: pb.Waiting) -> list[pb.Waiting]:
        held.append(waiting)
        return []

    return OnReports("XV", keep, times)


async def test_what_is_reordered_comes_once_and_rings_no_alarm() -> None:
    async with deceived("XA", "XV", timing=HASTY.model_copy(update={"gap_alarm_s": 30.0})) as relay:
        held: list[pb.Waiting] = []
        relay.tell(hold(held, 3))
        items = [(await push(relay["XA"], "XV")).item for _ in range(3)]
        await until(lambda: len(held) == 3, "not all were held")
        relay.tell(OnReports("XV", lambda waiting: [waiting, *reversed(held)], times=1))
        items.append((await push(relay["XA"], "XV")).item)
        for item in items:
            await receipted(relay["XA"], item, "XV")
        assert await count_reports(relay["XV"]) == 4
        await untroubled(relay["XV"])


async def test_what_is_replayed_is_stored_once_and_receipted_again() -> None:
    async with deceived("XA", "XV") as relay:
        seen: list[pb.Waiting] = []

        def again(waiting: pb.Waiting) -> list[pb.Waiting]:
            seen.append(waiting)
            return [*seen, waiting]

        relay.tell(OnReports("XV", again))
        for _ in range(3):
            sent = await push(relay["XA"], "XV")
            await receipted(relay["XA"], sent.item, "XV")
        assert await count_reports(relay["XV"]) == 3
        await untroubled(relay["XV"])


# -- swaps keys --------------------------------------------------------------------------------------------------------


class SwappedPrekeys(Honest):
    """Hands out keys of the relay's own as those of a partner."""

    def bundles(self, to: PartyId, bundles: Sequence[bytes]) -> Sequence[bytes]:
        """Replace each."""
        bundle = prekeys.make_bundle(
            exchange=EXCHANGE,
            party=party_id("XV"),
            first_day=day_of(now_ms()),
            keys=[XWingKey.generate().public for _ in range(10)],
            statement_key=CompositeKey.generate(),
        )
        return [encode_signed(bundle) for _ in bundles] if to == "XA" else bundles


async def test_swapped_prekeys_are_an_alarm_and_nothing_is_sealed_to_them() -> None:
    async with deceived("XA", agree=False) as relay:
        relay.tell(SwappedPrekeys())
        place = await relay.world.place("XV", timing=HASTY)
        await relay.world.relay.agree("XA", "XV")
        async with at(place):
            await alarmed(relay["XA"], "relay")
            assert relay["XA"].core.trust.now.prekey(party_id("XV"), now_ms()) is None
            await until(lambda: bool(relay["XA"].core.trust.now.views), "no agreement")
            sent = await push(relay["XA"], "XV")
            await reached(relay["XA"], sent.item, "XV", Reach.WAITING)
            relay.relent()
            await relay.world.place("XO")  # the directory grows, and is looked through again
            await receipted(relay["XA"], sent.item, "XV")


async def test_a_key_that_the_relay_enters_for_a_partner_counts_for_nothing_and_is_an_alarm() -> None:
    async with deceived("XA", "XV") as relay:
        own = CompositeKey.generate()
        await relay.world.relay.mirror()
        directory = relay.world.relay.exchange.directory
        forged = ceremony.make_node_cert(
            exchange=EXCHANGE,
            party=party_id("XA"),
            place=directory.next_seq_prev("XA"),
            statement_key=own.public,
            envelope_key=Ed25519Key.generate().public,
            now_ms=now_ms(),
            not_after_ms=now_ms() + 86_400_000,
            root=CompositeKey.generate(),
        )
        relay.tell(await another_directory(relay, lambda entries: [*entries, encode_signed(forged)]))
        await relay.world.place("XO")
        await alarmed(relay["XV"], "directory-entry")
        now = relay["XV"].core.trust.now
        assert now.directory.statement_key(party_id("XA"), own.public.key_id, at_size=now.size) is None


async def another_directory(relay: Deceived, change: Any) -> OtherDirectory:
    """Return the lie that shows XV other entries from now on; Any: what OtherDirectory takes."""
    await relay.world.relay.mirror()
    shown = list(relay.world.relay.exchange.entries)
    await until(lambda: relay["XV"].core.trust.now.size == len(shown), "XV is behind")
    return OtherDirectory("XV", shown, change)


# -- edits labels, widens audiences, changes rules ---------------------------------------------------------------------


async def test_an_edited_label_is_refused_and_the_unedited_envelope_asked_for() -> None:
    async with deceived("XA", "XV") as relay:
        relay.tell(OnReports("XV", lambda waiting: [with_lower_marking(waiting)], times=1))
        sent = await push(relay["XA"], "XV")
        await is_aside(relay["XV"], (2, "BAD_ENVELOPE"))
        await receipted(relay["XA"], sent.item, "XV")


@dataclass(slots=True)
class Widened(Honest):
    """Delivers to XO what was sealed for XV alone: as it is, and with a slot made for XO."""

    kem: bytes
    stolen: list[pb.Waiting] = field(default_factory=list)

    def one(self, to: PartyId, waiting: pb.Waiting) -> Sequence[pb.Waiting]:
        """Steal from XV, and bring it to XO with what is its own."""
        if to == "XV" and is_report(waiting):
            self.stolen.append(waiting)
        if to != "XO" or not is_report(waiting):
            return [waiting]
        added = []
        for each in self.stolen:
            leaf = decode_leaf(decode_delivery(each.delivery).leaf)
            made = encode_leaf(replace(leaf, recipient=party_id("XO"), kem_key=self.kem))
            added += [
                pb.Waiting(lane=waiting.lane, position=waiting.position, delivery=lied.delivery)
                for lied in (each, changed(each, leaf=made))
            ]
        return [*added, waiting]


async def test_a_widened_audience_is_refused_by_whoever_was_added() -> None:
    async with deceived("XA", "XV", "XO") as relay:
        kem = relay["XA"].core.trust.now.prekey(party_id("XO"), now_ms())
        assert kem is not None
        relay.tell(Widened(kem.key_id))
        secret = await push(relay["XA"], "XV")
        await receipted(relay["XA"], secret.item, "XV")
        sent = await push(relay["XA"], "XO")
        await receipted(relay["XA"], sent.item, "XO")
        assert sorted(await aside(relay["XO"])) == [(4, "BAD_ENVELOPE"), (5, "BAD_ENVELOPE")]
        assert await stored(relay["XO"], secret.item) is None


class WiderView(Honest):
    """Shows XV an agreement with a higher ceiling, under the signatures of the true one."""

    def agreements(self, to: PartyId, parts: Sequence[pb.AgreementPart]) -> Sequence[pb.AgreementPart]:
        """Widen what XV gets."""
        if to != "XV":
            return parts
        lied = []
        for part in parts:
            signed = decode_signed(part.view, limit=2 * MIB, what="a view")
            view = decode_view(signed.payload)
            wider = replace(view, terms=tuple(replace(term, ceiling=Tlp.RED) for term in view.terms))
            data = encode_signed(replace(signed, payload=encode_view(wider)))
            lied.append(pb.AgreementPart(commitment=part.commitment, view=data, first=part.first, changes=part.changes))
        return lied


async def test_a_changed_view_of_an_agreement_is_an_alarm_and_permits_nothing() -> None:
    async with deceived("XA", "XV", agree=False) as relay:
        relay.tell(WiderView())
        await relay.world.relay.agree("XA", "XV")
        await alarmed(relay["XV"], "agreement")
        assert relay["XV"].core.trust.now.views == {}
        relay.relent()
        await relay.world.place("XO")  # the directory grows, and is looked through again
        await until(lambda: bool(relay["XV"].core.trust.now.views), "the true agreement does not come")


class OtherDecisions(Honest):
    """Says, signed, that it decided under another agreement than the slot cites."""

    def answer(self, to: PartyId, outcome: pb.Outcome) -> pb.Outcome:
        """Change decisions and promise alike."""
        del to
        if not outcome.decision_record:
            return outcome
        decided = decode_decisions(outcome.decision_record)
        decisions = tuple(RelayDecision(each.leaf_index, bytes(32)) for each in decided.decisions)
        payload = encode_decisions(replace(decided, decisions=decisions))
        promise = signed_promise(signed_from_proto(outcome.answer), decisions_sha256=sha256(payload).digest())
        return pb.Outcome(answer=signed_to_proto(promise), decision_record=payload)


async def test_a_relay_that_decides_under_another_agreement_is_an_alarm() -> None:
    """Promise and decisions are kept: signed by the relay, they say what it claims to have judged by."""
    async with deceived("XA", "XV") as relay:
        relay.tell(OtherDecisions())
        sent = await push(relay["XA"], "XV")
        await receipted(relay["XA"], sent.item, "XV")
        await alarmed(relay["XA"], "relay")


@dataclass(slots=True)
class ForgedAnswers(Honest):
    """Answers what the relay's promise key has not signed."""

    times: int = 2

    def answer(self, to: PartyId, outcome: pb.Outcome) -> pb.Outcome:
        """Sign with another key."""
        del to
        if not self.times:
            return outcome
        self.times -= 1
        signed = sign(LOG.ed25519, "promise", signed_from_proto(outcome.answer).payload, context=EXCHANGE)
        return pb.Outcome(answer=signed_to_proto(signed), decision_record=outcome.decision_record)


async def test_an_answer_that_the_relay_did_not_sign_counts_for_nothing() -> None:
    async with deceived("XA", "XV") as relay:
        lie = ForgedAnswers()
        relay.tell(lie)
        sent = await push(relay["XA"], "XV")
        await receipted(relay["XA"], sent.item, "XV")
        await alarmed(relay["XA"], "relay")
        await until(lambda: not lie.times, "the honest answer did not come")

        async def kept() -> bool:
            found = await relay["XA"].core.database.read(partial(sending.promises, after=-1, limit=9, unchecked=False))
            return bool(found) and all(each.promise for each in found)

        await until(kept, "no promise is kept")


# -- back-dates --------------------------------------------------------------------------------------------------------


async def test_a_promise_under_an_older_directory_than_the_senders_is_refused_with_evidence() -> None:
    async with deceived("XA", "XV") as relay:
        size = relay["XA"].core.trust.now.size
        relay.tell(OnReports("XV", lambda waiting: [promised(waiting, directory_size=size - 1)]))
        sent = await push(relay["XA"], "XV")
        await reached(relay["XA"], sent.item, "XV", Reach.REFUSED)
        assert await aside(relay["XV"]) == [(10, "DIRECTORY_BELOW_SENDER")]
        await alarmed(relay["XV"], "relay")
        (kept,) = [
            row for row in await relay["XV"].core.database.read(partial(kept_evidence, limit=9)) if row.kind == "relay"
        ]
        checks = check_outdated(read_outdated(kept.file))
        assert [each.result for each in checks] == [Result.HOLDS, Result.WRONG, Result.NOT_CHECKED]


async def test_a_sender_sees_in_the_promise_that_the_relay_dates_its_envelope_back() -> None:
    async with deceived("XA", "XV") as relay:
        relay.tell(BackDated())
        await push(relay["XA"], "XV")
        await alarmed(relay["XA"], "relay")


async def test_a_promise_that_goes_back_in_the_directory_is_refused_with_an_alarm() -> None:
    async with deceived("XA", "XV") as relay:
        sender = relay["XA"]
        first = await push(sender, "XV")
        await receipted(sender, first.item, "XV")
        size = sender.core.trust.now.size
        await relay.world.place("XO")
        for node in relay.nodes.values():
            await until(partial(_grown, node, size), "the directory did not grow")
        second = await push(sender, "XV")
        await receipted(sender, second.item, "XV")
        relay.tell(OnReports("XV", lambda waiting: [promised(waiting, directory_size=size, log_index=10_000)]))
        sender.core.trust._snapshot = _as_it_was(sender.core.trust.now, size)
        third = await push(sender, "XV")
        await reached(sender, third.item, "XV", Reach.REFUSED)
        assert await aside(relay["XV"]) == [(10, "DIRECTORY_DECREASES")]
        await alarmed(relay["XV"], "relay")


def _grown(node: Node, size: int) -> bool:
    return node.core.trust.now.size > size


def _as_it_was(snapshot: Snapshot, size: int) -> Snapshot:
    """Return a snapshot whose head is that of an earlier size: a sender that the relay keeps in the past."""

    class Past(Snapshot):
        @property
        def head(self) -> Any:
            return type(snapshot.head)(size, snapshot.roots[size])

    return Past(snapshot.directory, snapshot.roots, snapshot.views, snapshot.bundles)


async def test_a_promise_that_the_relay_did_not_sign_is_refused() -> None:
    async with deceived("XA", "XV") as relay:
        relay.tell(OnReports("XV", lambda waiting: [with_false_promise(waiting)], times=1))
        sent = await push(relay["XA"], "XV")
        await is_aside(relay["XV"], (1, "BAD_ENVELOPE"))
        await receipted(relay["XA"], sent.item, "XV")


class BackDated(Honest):
    """Answers with promises under an older directory than the log says."""

    def answer(self, to: PartyId, outcome: pb.Outcome) -> pb.Outcome:
        """Change the size, and sign."""
        del to
        promise = signed_promise(signed_from_proto(outcome.answer), directory_size=3)
        return pb.Outcome(answer=signed_to_proto(promise), decision_record=outcome.decision_record)


async def test_a_promise_under_another_directory_than_the_log_says_shows_in_a_full_audit() -> None:
    """Also where nothing was received since: the log takes the directory's head before what is judged under it."""
    async with deceived("XA", "XV") as relay:
        node = relay["XA"]
        await a_sent_report(node)
        assert (await results(node, full=True))["directory heads"] == "ok"
        relay.tell(BackDated())
        await a_sent_report(node)
        assert (await results(node, full=True))["directory heads"] == "failed"
        await alarmed(node, "traffic")


# -- the directory: freezes, forks, answers two nodes differently ------------------------------------------------------


async def test_a_directory_that_is_frozen_for_one_node_is_an_alarm_there_and_what_needs_it_waits() -> None:
    """In a witnessed exchange a freeze shows also where nothing is sent: tests/integration/test_node_freshness.py."""
    async with deceived("XA", "XV", timing=HASTY.model_copy(update={"directory_most_s": 60.0})) as relay:
        sent = await frozen(relay)
        await alarmed(relay["XV"], "directory")
        assert await stored(relay["XV"], sent) is None
        relay.relent()
        await relay.world.place("XN")
        await receipted(relay["XA"], sent, "XV")


async def test_what_needs_a_directory_that_is_never_shown_is_set_aside_and_stays_without_receipt() -> None:
    async with deceived("XA", "XV") as relay:
        sent = await frozen(relay)

        async def is_set_aside() -> bool:
            return (10, "DIRECTORY_NOT_SHOWN") in await aside(relay["XV"])

        await until(is_set_aside, "it holds up what comes behind it")
        await alarmed(relay["XV"], "directory")
        assert await stored(relay["XV"], sent) is None
        row = await reach(relay["XA"], sent, "XV")
        assert row is not None and row.state is not Reach.RECEIPTED


async def frozen(relay: Deceived) -> bytes:
    """Show XV nothing new, let the directory grow for XA, and send XV a report under it."""
    relay.tell(Frozen("XV"))
    size = relay["XA"].core.trust.now.size
    await relay.world.place("XO")
    await until(partial(_grown, relay["XA"], size), "the directory did not grow")
    return (await push(relay["XA"], "XV")).item


async def test_two_nodes_that_are_shown_different_directories_notice_with_the_first_envelope_between_them() -> None:
    """The next stream head carries what the relay signed for its sender: with the recipient's own it is the proof."""
    async with deceived("XA", "XV") as relay:
        relay.tell(await another_directory(relay, lambda entries: [b"another history", *entries[1:]]))
        size = relay["XA"].core.trust.now.size
        await relay.world.place("XO")
        for node in relay.nodes.values():
            await until(partial(_grown, node, size), "the directory did not grow")
        sent = await push(relay["XA"], "XV")
        await alarmed(relay["XV"], "directory")
        assert await stored(relay["XV"], sent.item) is None
        # What XV answers shows XA the same: its head, too, is another one.
        await alarmed(relay["XA"], "directory")
        await until(partial(_proven, relay["XV"]), "what both were shown is no evidence")


async def _proven(node: Node) -> bool:
    """Say whether a file says that the relay signed two histories."""
    return any(found.get("history") is Result.WRONG for found in await verdicts(node))


# -- the traffic log: forks, forgets, breaks promises ------------------------------------------------------------------


@asynccontextmanager
async def audited() -> AsyncIterator[tuple[Deceived, Node, list[bytes]]]:
    """Run a relay that XA has sent a report by, with the entries of its log once they cover it."""
    async with deceived("XA", "XV") as relay:
        yield relay, relay["XA"], await a_sent_report(relay["XA"])


async def a_sent_report(node: Node) -> list[bytes]:
    """Send a report and return the entries of the relay's traffic log once they cover it."""
    sent = await push(node, "XV")
    await receipted(node, sent.item, "XV")
    row = await reach(node, sent.item, "XV")
    assert row is not None
    promise = await node.core.database.read(partial(sending.promise_of, envelope=row.envelope))
    assert promise is not None
    entries: list[bytes] = []

    async def covered() -> bool:
        entries[:] = await node.relay.read_log(Log.TRAFFIC, 0, 4_096)
        note = await node.relay.checkpoint(Log.TRAFFIC)
        return open_checkpoint(note, traffic_origin(EXCHANGE), LOG.public).size > promise.log_index

    await until(covered, "the log does not cover the promise")
    return entries


async def results(node: Node, *, full: bool = False) -> dict[str, str]:
    """Return the result of each step of a verification."""
    return {step.step: step.result async for step in node.auditor.verify(full=full) if step.result}


def later(node: Node) -> None:
    """Let a node's clock be past the time in which a promise must be kept, and as much time have passed for it."""
    clock, elapsed = node.core.clock, node.auditor._elapsed
    object.__setattr__(node.core, "clock", lambda: clock() + 2 * MERGE_MS)
    node.auditor._elapsed = lambda: elapsed() + 2 * MERGE_MS / 1000


async def test_a_forked_traffic_log_is_an_alarm_and_both_checkpoints_are_evidence() -> None:
    async with audited() as (relay, node, entries):
        assert (await results(node))["checkpoint"] == "ok"
        kept = await node.core.database.read(partial(trust.checkpoint_of, log=Log.TRAFFIC))
        assert kept is not None
        relay.tell(OtherTraffic("XA", [bytes(ENTRY_BYTES), *entries[1 : kept[0]]]))
        assert (await results(node))["checkpoint"] == "failed"
        await alarmed(node, "traffic")
        found = {"checkpoints": Result.HOLDS, "history": Result.WRONG, "genesis": Result.NOT_CHECKED}
        assert await verdicts(node) == [found]


async def test_a_promise_that_the_log_does_not_keep_is_an_alarm_and_with_what_stands_there_evidence() -> None:
    async with audited() as (relay, node, entries):
        relay.tell(OtherTraffic("XA", [entry[:1] + bytes(32) + entry[33:] for entry in entries]))
        later(node)
        assert (await results(node))["promises"] == "failed"
        await alarmed(node, "traffic")
        found = {"promise": Result.HOLDS, "log": Result.WRONG, "genesis": Result.NOT_CHECKED}
        assert found in await verdicts(node)


async def test_a_log_that_does_not_continue_the_one_before_is_an_alarm() -> None:
    """Without a proof by the relay two checkpoints of different sizes prove nothing to others; the file says so."""
    async with audited() as (relay, node, entries):
        assert (await results(node))["checkpoint"] == "ok"
        relay.tell(OtherTraffic("XA", [bytes(ENTRY_BYTES), *entries[1:], *entries, *entries]))
        assert (await results(node))["checkpoint"] == "failed"
        await alarmed(node, "traffic")
        assert [each["history"] for each in await verdicts(node)] == [Result.NOT_CHECKED]


async def test_a_log_that_forgets_is_an_alarm() -> None:
    async with audited() as (relay, node, entries):
        assert (await results(node))["checkpoint"] == "ok"
        relay.tell(OtherTraffic("XA", entries[:2]))
        assert (await results(node))["checkpoint"] == "failed"
        await alarmed(node, "traffic")
        assert len(await verdicts(node)) == 1


async def test_a_relay_that_gives_no_proof_of_an_old_promise_is_an_alarm_without_being_asked() -> None:
    async with audited() as (relay, node, entries):
        relay.tell(OtherTraffic("XA", entries[:1]))
        later(node)
        await node.auditor.look_after()
        later(node)
        await node.auditor.look_after()
        await alarmed(node, "traffic")
        assert await node.core.database.read(reports.count_unreceipted) == 0


async def test_a_promise_is_not_broken_because_two_clocks_differ_and_its_alarm_closes_when_it_is_kept_after_all() -> (
    None
):
    async with audited() as (relay, node, entries):
        relay.tell(OtherTraffic("XA", entries[:1]))
        clock = node.core.clock
        object.__setattr__(node.core, "clock", lambda: clock() + 2 * MERGE_MS)
        await node.auditor.look_after()
        await node.auditor.look_after()
        assert await open_alarms(node) == [], "by this node's clock the promise is old, but it was not missed for long"
        later(node)
        await node.auditor.look_after()
        await alarmed(node, "traffic")
        relay.tell(Honest())

        async def kept() -> bool:
            return (await results(node))["promises"] == "ok"

        # What was promised last is in a checkpoint a second later.
        await until(kept, "the promises are not kept after all")
        assert await open_alarms(node) == []


async def test_entries_that_do_not_give_the_checkpoints_root_are_an_alarm() -> None:
    async with audited() as (_, node, entries):

        class OtherEntries(Liar):
            async def read_log(self, _: Log, start: int, count: int) -> Sequence[bytes]:
                return [bytes(ENTRY_BYTES), *entries[1:]][start : start + count] or [bytes(ENTRY_BYTES)] * count

        node.auditor._relay = OtherEntries(node.relay)
        found = await results(node, full=True)
        assert (found["promises"], found["every entry"]) == ("ok", "failed")
        await alarmed(node, "traffic")
