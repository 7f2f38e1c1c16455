"""The twelve scenarios over real processes: every partner holds what scenarios.json says, and nothing else.

One relay and eight nodes serve all tests of this file. A test reads who gets what from the file wherever the file says
it in words that a program can read; the other partners of the eight must hold nothing.
"""

import time
from collections.abc import Iterator
from functools import partial

import pytest

from exchange.errors import BadReport, NotAllowed, PolicyDenied, Unavailable
from exchange.policy.model import Category, Tlp
from exchange.runtime.clock import now_ms
from nodes.client import SensorClient
from nodes.demo import cast, enrol, proofs
from nodes.demo.exchange import Exchange
from nodes.node_client import connect
from nodes.v1.consent_pb2 import GrantConsentRequest, RehearseConsentRequest, RequestConsentRequest
from tests.support import incident_rows
from tests.support.scenarios import (
    DAY_MS,
    a_sensor,
    approve,
    away,
    changes,
    consents,
    delivered,
    forge,
    full,
    held,
    reaches,
    standing,
    stands,
    state,
    the_eight,
    told,
    until_stands,
    vary,
    withdrawn,
)

pytestmark = pytest.mark.processes

EVERYBODY = set(cast.PLAYERS)
EVERYBODY_ELSE = EVERYBODY - {"XA"}


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The relay and eight nodes, for every scenario of this file."""
    with the_eight(tmp_path_factory.mktemp("scenarios")) as running:
        yield running


def test_s01_a_flash_report_reaches_its_three_partners_and_the_relay_cannot_read_it(exchange: Exchange) -> None:
    words = told("s01-dasu-flash")
    decisions = {decision.partner: decision for decision in exchange.who_gets("XA", "s01-dasu-flash")}
    assert {party for party, decision in decisions.items() if decision.permit} == full("s01-dasu-flash")
    assert words["XN"] == "nothing (above its ceiling)"
    assert "TLP_ABOVE_PARTNER" in {reason.code for reason in decisions["XN"].reasons}
    assert words["XT"] == "nothing (not in the audience)"
    assert "NOT_IN_AUDIENCE" in {reason.code for reason in decisions["XT"].reasons}
    exchange.push("XA", "s01-dasu-flash")
    delivered(exchange, "s01-dasu-flash", *full("s01-dasu-flash"))
    proofs.relay_reads_nothing(exchange.home)


def test_s02_a_correction_follows_and_the_newest_version_wins_in_whatever_order_they_come(exchange: Exchange) -> None:
    first = vary(exchange, "s02-first", "s01-dasu-flash", lane="priority")
    second = vary(exchange, "s02-second", "s02-dasu-correction")
    exchange.push("XA", first)
    delivered(exchange, first, *full("s02-dasu-correction"))
    exchange.push("XA", second, corrects=first)
    delivered(exchange, second, *full("s02-dasu-correction"))
    early, late = vary(exchange, "s02-early", first, lane="routine"), vary(exchange, "s02-late", second, lane="flash")
    with away(exchange, "XV"):
        exchange.push("XA", early)
        until_stands(exchange, early, "promised", "XV")
        exchange.push("XA", late, corrects=early)
        until_stands(exchange, late, "promised", "XV")
    delivered(exchange, late, *full("s02-dasu-correction"))
    exchange.settled(early)
    arrived = [report.item for report in held(exchange, "XV")]
    assert arrived.index(exchange.items[late]) > arrived.index(exchange.items[early]), "the flash lane came first"
    for older, newer in ((first, second), (early, late)):
        for party in full("s02-dasu-correction"):
            shown = exchange.shown(party, older)
            assert shown is not None and shown.summary.state == "replaced"
            assert [version.item for version in shown.versions] == [exchange.items[older], exchange.items[newer]]
            assert [version.state for version in shown.versions] == ["replaced", "current"]
            before, fields = changes(exchange, party, newer)
            assert before == exchange.items[older]
            assert fields >= {
                ("modified", "2021-07-14T05:30:00.000Z", "2021-07-15T10:00:00.000Z"),
                ("attack_type", "unknown", "bombing"),
                ("info", "3", "2"),
            }


def test_s03_a_bundle_for_three_audiences_is_refused_and_each_part_reaches_its_own(exchange: Exchange) -> None:
    assert told("s03-dasu-ack-rfi")["XV"] == "RFI and answer (it asked)"
    mixed = (cast.SCENARIOS / "s03-dasu-ack-rfi.stix.json").read_bytes()
    with pytest.raises(BadReport, match="3 reports in one bundle"):
        exchange.check("XH", mixed, exchange.report("s03-ack")[1])
    exchange.push("XH", "s03-ack")
    delivered(exchange, "s03-ack", "XA", "XO")
    exchange.push("XV", "s03-rfi")
    delivered(exchange, "s03-rfi", "XA", "XH")
    for party in ("XA", "XH"):
        shown = exchange.shown(party, "s03-rfi")
        assert shown is not None and shown.summary.tlp == "red" and "named: [duty-officer]" in shown.label_yaml
    exchange.push("XH", "s03-answer")
    delivered(exchange, "s03-answer", "XA", "XV")


def test_s04_an_alert_in_three_languages_arrives_and_may_go_to_own_organisations_only(exchange: Exchange) -> None:
    exchange.push("XA", "s04-gwadar-alert")
    delivered(exchange, "s04-gwadar-alert", *full("s04-gwadar-alert"))
    content = exchange.signed("s04-gwadar-alert").decode()
    assert all(word in content for word in ("Shelter", "zh", "ur"))
    for party in full("s04-gwadar-alert"):
        shown = exchange.shown(party, "s04-gwadar-alert")
        assert shown is not None and "Passing it on: dependants." in shown.obligations


def test_s05_the_detail_of_a_source_is_not_in_the_bytes_that_xo_gets(exchange: Exchange) -> None:
    whole, variant = "s05-quetta-assessment", "s05-quetta-assessment-xo"
    exchange.push("XV", whole)
    exchange.push("XV", variant)
    delivered(exchange, whole, "XA")
    delivered(exchange, variant, "XO")
    given, cut = exchange.shown("XA", whole), exchange.shown("XO", variant)
    assert given is not None and b"do not disclose" in given.content
    assert cut is not None and b"ource detail" not in cut.content and b"source_detail" not in cut.content
    assert cut.summary.originator == "XV"
    assert b'"derived-from"' in cut.content


def test_s05_an_assessment_is_destroyed_when_it_expires(exchange: Exchange) -> None:
    name = vary(exchange, "s05-short", "s05-quetta-assessment-xo", time="{expires_at: +8s, on_expiry: purge}")
    exchange.push("XV", name)
    delivered(exchange, name, "XO")
    until_stands(exchange, name, "purged", "XO")
    shown = exchange.shown("XO", name)
    assert shown is not None and shown.summary.state == "purged" and not shown.content and not shown.summary.title


def test_s06_a_kidnapping_is_told_at_once_to_one_and_to_two_more_when_the_embargo_ends(exchange: Exchange) -> None:
    at_once, later = "s06-mali-kidnapping", "s06-mali-kidnapping-later"
    begun_ms = now_ms()
    exchange.push("XA", at_once)
    exchange.push("XA", later)
    delivered(exchange, at_once, "XM")
    # XV pulls anew, and gets nothing before its time.
    with away(exchange, "XV"):
        pass
    while now_ms() < begun_ms + 20_000:
        assert {state(exchange, later, party) for party in ("XV", "XO")} == {"waiting"}
        time.sleep(1)
    delivered(exchange, later, "XV", "XO")
    for name, to in ((at_once, {"XM"}), (later, {"XV", "XO"})):
        story = exchange.trace(name)
        assert story.events[0].detail == f"by duty-officer, for {len(to)} recipients"
        assert {row.partner for row in story.recipients if row.receipted_ms} == to
    sealed = [event for event in exchange.trace(later).events if event.event == "sealed"]
    assert min(event.at_ms for event in sealed) >= begun_ms + 24_000
    shown = exchange.shown("XV", later)
    assert shown is not None and shown.summary.tlp == "amber+strict"


def test_s07_a_feed_pushes_twice_and_makes_one_copy_and_a_sighting_comes_back(exchange: Exchange) -> None:
    name = "s07-cyber-indicators"
    assert full(name) == EVERYBODY_ELSE - {"XM"}
    content, label = exchange.report(name)
    sensor = a_sensor(exchange, "XA", Category.CYBER_INDICATOR, ceiling=Tlp.GREEN)
    ca = sensor.ca_certificate.encode()
    with SensorClient(sensor.address, ca=ca, token=sensor.token) as client:
        first, second = client.push(content, label=label), client.push(content, label=label)
        with pytest.raises(PolicyDenied):
            alert, its_label = exchange.report("s04-gwadar-alert")
            client.push(alert, label=its_label)
    assert (first.item, second.repeated) == (second.item, True)
    exchange.remember(name, "XA", first.item)
    delivered(exchange, name, *EVERYBODY_ELSE)
    for party in EVERYBODY_ELSE:
        assert sum(report.item == first.item for report in held(exchange, party)) == 1
    exchange.push("XN", "s07-sighting")
    delivered(exchange, "s07-sighting", "XA")


def test_s08_a_withdrawn_report_is_hidden_everywhere_and_never_shows_where_it_comes_late(exchange: Exchange) -> None:
    name, holders = "s08-retraction", {"XA", "XV", "XT"}
    late = vary(exchange, "s08-late", name, lane="routine")
    assert set(told(name)) == holders
    exchange.push("XO", name)
    delivered(exchange, name, *holders)
    with pytest.raises(NotAllowed):
        exchange.retract("XA", name, "It was wrong.")
    with away(exchange, "XT"):
        exchange.push("XO", late)
        until_stands(exchange, late, "promised", "XT")
        # XT is suspended since: it gets the retractions all the same.
        enrol.by_council(exchange.home, "partner", "suspend", "XT")
        exchange.until(lambda: standing(exchange, "XO", "XT") == "suspended", "XO knows it")
        for each in (name, late):
            assert set(exchange.retract("XO", each, "Source withdrew the report.")) == holders
    for each in (name, late):
        until_stands(exchange, each, "retracted", *holders)
    assert exchange.shown("XT", late) is None
    enrol.by_council(exchange.home, "partner", "suspend", "XT", "--lift")
    exchange.until(lambda: exchange.shown("XT", late) is not None, "what waited for XT")
    for each in (name, late):
        for party in holders:
            shown = exchange.shown(party, each)
            assert shown is not None and shown.summary.state == "withdrawn" and not shown.content
            assert shown.retraction == "source-withdrawn: Source withdrew the report."


def test_s08_a_retraction_reaches_whom_a_holder_passed_it_on_to_by_consent(exchange: Exchange) -> None:
    name = vary(exchange, "s08-passed-on", "s08-retraction")
    exchange.push("XO", name)
    delivered(exchange, name, "XA", "XV", "XT")
    asked = RequestConsentRequest(
        id=exchange.items[name],
        to=["XH"],
        purposes=["protect_life"],
        until_ms=now_ms() + DAY_MS,
        reason="Its staff use that road.",
    )
    with connect(exchange.home.node("XV")) as node:
        looked = node.RehearseConsent(RehearseConsentRequest(ask=asked))
        asked.confirmed.extend(hint.accept for hint in looked.hints)
        request = node.RequestConsent(asked).request
    exchange.until(lambda: request in consents(exchange, "XO"), "the request for consent")
    assert exchange.shown("XH", name) is None
    with connect(exchange.home.node("XO")) as node:
        grant = GrantConsentRequest(request=request)
        looked = node.RehearseConsent(RehearseConsentRequest(grant=grant))
        assert [(each.partner, each.gets_it) for each in looked.going] == [("XH", "yes")]
        grant.confirmed.extend(hint.accept for hint in looked.hints)
        node.GrantConsent(grant)
    exchange.until(lambda: exchange.shown("XH", name) is not None, "what was passed on")
    shown = exchange.shown("XH", name)
    assert shown is not None and shown.content == exchange.signed(name) and shown.summary.originator == "XO"
    exchange.retract("XO", name, "Source withdrew the report.")
    for party in ("XA", "XV", "XT", "XH"):
        exchange.until(partial(withdrawn, exchange, name, party), f"the retraction at {party}")
    assert all(exchange.shown(party, name) is None for party in ("XM", "XN", "XQ"))


def test_s09_lessons_reach_everybody(exchange: Exchange) -> None:
    assert full("s09-lessons-learned") == {"XV", "XN", "XQ", "XH"}
    exchange.push("XA", "s09-lessons-learned")
    delivered(exchange, "s09-lessons-learned", *EVERYBODY_ELSE)


def test_s10_who_was_away_during_a_drill_gets_all_of_it_once_and_in_order(exchange: Exchange) -> None:
    begin, end = "s10-evacuation-drill", "s10-drill-over"
    with away(exchange, "XO"):
        back = time.monotonic() + 6.0  # six hours
        for name in (begin, end):
            exchange.push("XA", name)
            until_stands(exchange, name, "receipted", "XV", "XN")
        time.sleep(max(0.0, back - time.monotonic()))
    for name in (begin, end):
        delivered(exchange, name, "XV", "XN", "XO")
    items = [exchange.items[end], exchange.items[begin]]
    assert [report.item for report in held(exchange, "XO") if report.item in items] == items


@pytest.mark.skipif(not incident_rows.ROWS.exists(), reason="the incident rows are not beside the project")
def test_s11_a_bulk_feed_makes_one_report_a_row_and_exactly_what_a_releaser_approved_is_passed_on(
    exchange: Exchange,
) -> None:
    rows = list(incident_rows.reports())
    assert len(rows) == 328
    sensor = a_sensor(exchange, "XN", Category.LESSON, ceiling=Tlp.GREEN)
    label = incident_rows.LABEL
    with SensorClient(sensor.address, ca=sensor.ca_certificate.encode(), token=sensor.token) as client:
        first = [client.push(row, label=label) for row in rows]
        again = [client.push(row, label=label) for row in rows]
    items = [pushed.item for pushed in first]
    assert len(set(items)) == len(rows)
    assert [(pushed.item, pushed.repeated) for pushed in again] == [(item, True) for item in items]
    recipients = set(told("s11-bulk-feed"))
    assert stands(exchange, "XN", items) == {item: dict.fromkeys(recipients, "waiting") for item in items}
    for party in EVERYBODY - {"XN"}:
        assert not set(items) & {report.item for report in held(exchange, party)}
    reviewed = items[::80]
    for item, row in zip(reviewed, rows[::80], strict=True):
        exchange.written[item] = row, label
        exchange.remember(item, "XN", item)
        approve(exchange, "XN", item)
        delivered(exchange, item, *recipients)
        story = [(event.event, event.detail) for event in exchange.trace(item).events]
        assert story[0] == ("signed", "by sensor/feed, for 2 recipients")
        assert ("approved", "by release-desk") in story
    assert stands(exchange, "XN", items) == {
        item: dict.fromkeys(recipients, "receipted" if item in reviewed else "waiting") for item in items
    }
    for party in EVERYBODY - {"XN"}:
        got = set(items) & {report.item for report in held(exchange, party)}
        assert got == (set(reviewed) if party in recipients else set())


def test_s12_a_suspended_member_gets_retractions_alone_and_one_whose_key_is_revoked_gets_nothing(
    exchange: Exchange,
) -> None:
    before, after = (vary(exchange, name, "s12-liaison-note") for name in ("s12-before", "s12-after"))
    known, queued = (vary(exchange, name, "s04-gwadar-alert") for name in ("s12-known", "s12-queued"))
    exchange.push("XT", before)
    delivered(exchange, before, "XA", "XV")
    # A thief with XT's keys is XT to everybody, until somebody says otherwise.
    notes = len(held(exchange, "XA"))
    assert forge(exchange, "XT", "s12-liaison-note", to="XA") == ""
    exchange.until(lambda: len(held(exchange, "XA")) == notes + 1, "what the thief sends")
    exchange.push("XA", known)
    delivered(exchange, known, *full("s04-gwadar-alert"))
    with away(exchange, "XT"):
        exchange.push("XA", queued)
        until_stands(exchange, queued, "promised", "XT")
        enrol.by_council(exchange.home, "partner", "suspend", "XT")
        cut_off = time.monotonic()
        others = set(cast.PLAYERS) - {"XT"}
        exchange.until(lambda: {standing(exchange, party, "XT") for party in others} == {"suspended"}, "it is known")
        assert time.monotonic() < cut_off + 60
    exchange.until(lambda: standing(exchange, "XT", "XT") == "suspended", "XT knows it")
    exchange.push("XT", after)
    assert forge(exchange, "XT", "s12-liaison-note", to="XA") == "SENDER_SUSPENDED"
    exchange.retract("XA", known, "It was for the members of then.")
    until_stands(exchange, known, "retracted", *full("s04-gwadar-alert"))
    enrol.by_council(exchange.home, "key", "revoke", "statement", "--party", "XT", "--reason", "compromised")
    exchange.until(lambda: "copies dropped" in (exchange.home.relay / "log").read_text(), "what waits to be dropped")
    assert state(exchange, queued, "XT") == "promised"
    assert exchange.shown("XT", queued) is None
    assert reaches(exchange, after, "waiting") == {"XA", "XV"}
    for party in ("XA", "XV"):
        assert exchange.shown(party, after) is None
        shown = exchange.shown(party, before)
        assert shown is not None and shown.summary.state == "current" and shown.content == exchange.signed(before)
    # The relay does not even let in whoever has the key.
    with pytest.raises(Unavailable):
        forge(exchange, "XT", "s12-liaison-note", to="XA")
    assert len(held(exchange, "XA")) == notes + 1
