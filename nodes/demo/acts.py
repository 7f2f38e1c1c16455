"""What the demo plays: scenarios s01 to s04, s07 and s08, each checked against what scenarios.json expects.

The others are in nodes/demo/later_acts.py and nodes/demo/rule_acts.py; nodes/demo/play.py has them in order.

An act returns what it has shown, with the figures that it saw; one that does not come out as it should raises Failed.
"""

import re
from collections.abc import Callable, Collection
from pathlib import Path

from exchange.errors import NotFound, VerificationFailed
from exchange.policy.model import Category, Tlp
from exchange.runtime.clock import now_ms
from nodes.client import SensorClient
from nodes.demo import cast
from nodes.demo.enrol import ADMINISTRATOR, RELEASE_DESK
from nodes.demo.exchange import Exchange
from nodes.demo.stage import Proven
from nodes.node_client import connect
from nodes.v1 import node_service_pb2 as pb

DAY_MS = 86_400_000


class Failed(VerificationFailed):
    """The demo saw something else than it should."""

    public = "The demo saw something else than it should."


def expect(holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Go on when `holds`, else stop the demo with what was expected."""
    if not holds:
        raise Failed(f"expected: {what}", hint="the processes still run; look at their log files")


def incident_reaches_its_audience(exchange: Exchange) -> Proven:
    """s01: XA reports a blast to three partners; the observer gets nothing, and XA sees why."""
    stage = exchange.stage
    name = "s01-dasu-flash"
    decisions = exchange.who_gets("XA", name)
    rows = [(d.partner, "yes" if d.permit else "no", _by(d), _why(d)) for d in decisions]
    stage.rows(("partner", "gets it", "by", "why not"), rows, title="concord report who-gets s01-dasu-flash")
    expect({d.partner for d in decisions if d.permit} == {"XV", "XO", "XH"}, "s01 goes to XV, XO and XH alone")
    observer = next(d for d in decisions if d.partner == "XN")
    expect(any(r.step == 5 for r in observer.reasons), "XN is refused because of its ceiling")
    with stage.step("XA pushes the flash report; XV, XO and XH store it and sign receipts"):
        exchange.push("XA", name)
        all_receipted(exchange, name, {"XV", "XO", "XH"})
    holders = exchange.holders(name)
    expect(set(holders) == {"XV", "XO", "XH"}, "nobody else holds s01")
    why = next(r.text for r in observer.reasons if r.step == 5)
    return Proven("software decides who may receive", f"s01 reached {', '.join(holders)}; not XN: {why}")


def audience_stays_hidden(exchange: Exchange) -> Proven:
    """s01 again: what a recipient was given names no other recipient."""
    shown = exchange.shown("XV", "s01-dasu-flash")
    expect(shown is not None, "XV holds s01")
    given = (shown.content.decode() + shown.label_yaml) if shown is not None else ""
    others = [party for party in ("XO", "XH", "XT", "XN") if re.search(rf"\b{party}\b", given)]
    expect(not others, f"what XV was given names no other recipient, not {others}")
    return Proven(
        "nobody learns who else is in the audience", f"{len(given):,} characters at XV name neither XO nor XH"
    )


def correction_follows(exchange: Exchange) -> Proven:
    """s02: the cause was wrong; everyone who got the first version gets the second."""
    first, second = "s01-dasu-flash", "s02-dasu-correction"
    with exchange.stage.step("XA corrects the cause; the three see the new version, the old one is replaced"):
        exchange.push("XA", second, corrects=first)
        all_receipted(exchange, second, {"XV", "XO", "XH"})
    for party in ("XV", "XO", "XH"):
        shown = exchange.shown(party, first)
        expect(shown is not None and shown.summary.state == "replaced", f"{party} shows the first version as replaced")
    with connect(exchange.home.node("XV")) as node:
        asked = pb.ShowReportRequest(id=exchange.items[second], changes=True)
        changes = node.ShowReport(asked).revision.changes
    rows = [(each.field.split(".")[-1], each.before, each.after) for each in changes]
    exchange.stage.rows(("field", "before", "after"), rows, title="concord report show s02-dasu-correction --changes")
    expect(("attack_type", "unknown", "bombing") in rows, "XV sees what the correction changed")
    return Proven(
        "what was sent can be corrected", f"XV, XO and XH keep the first version as replaced; {len(rows)} fields differ"
    )


def host_acknowledges(exchange: Exchange) -> Proven:
    """s03: one bundle for three audiences is refused; split, each part reaches its own."""
    stage = exchange.stage
    mixed = (cast.SCENARIOS / "s03-dasu-ack-rfi.stix.json").read_bytes()
    refused = _refusal(lambda: exchange.check("XH", mixed, cast.report("s03-ack")[1]))
    expect("3 reports in one bundle" in refused, "a bundle for three audiences is refused")
    stage.tell(f"refused: {refused[:110]}…", mark="✓")
    plays = (("XH", "s03-ack", {"XA", "XO"}), ("XV", "s03-rfi", {"XA", "XH"}), ("XH", "s03-answer", {"XA", "XV"}))
    for party, name, audience in plays:
        with stage.step(f"{party} pushes {name}: it reaches {' and '.join(sorted(audience))}"):
            exchange.push(party, name)
            all_receipted(exchange, name, audience)
        expect(set(exchange.holders(name)) == audience, f"only {sorted(audience)} hold {name}")
    return Proven("each part reaches its own audience", "XH's acknowledgement, XV's question (TLP:RED), XH's answer")


def readers_inside(exchange: Exchange) -> Proven:
    """s03 again: TLP:RED is for its named reader, and for nobody else behind the same door."""
    name, home = "s03-rfi", exchange.home
    with exchange.stage.step(
        "XH's duty officer reads XV's question; its release desk asks, and hears what nothing sounds like"
    ):
        shown = exchange.shown("XH", name)
        expect(shown is not None and bool(shown.content), "the duty officer reads it")
        with connect(home.node("XH"), operator_home=home.operator(RELEASE_DESK)) as node:
            seen = {report.item for report in node.ListReports(pb.ListReportsRequest(limit=1000)).reports}
        expect(exchange.items[name] not in seen and bool(seen), "the release desk's list leaves it out")
        answers = {_asked(exchange, item) for item in (exchange.items[name], "0" * 64)}
        expect(len(answers) == 1, "not cleared and not there are one answer")
    return Proven(
        "readers inside a partner are the label's", f"one of two at XH reads {name}; the other is told: {answers.pop()}"
    )


def _asked(exchange: Exchange, item: str) -> str:
    home = exchange.home
    try:
        with connect(home.node("XH"), operator_home=home.operator(RELEASE_DESK)) as node:
            node.ShowReport(pb.ShowReportRequest(id=item))
    except NotFound as error:
        return str(error).replace(item, "ITEM")
    return "shown"


def alert_with_guidance(exchange: Exchange) -> Proven:
    """s04: an alert with guidance in three languages, for four partners."""
    name, audience = "s04-gwadar-alert", {"XV", "XO", "XH", "XT"}
    with exchange.stage.step("XA alerts in English, Chinese and Urdu; four partners store it"):
        exchange.push("XA", name)
        all_receipted(exchange, name, audience)
    shown = exchange.shown("XO", name)
    content = exchange.signed(name)
    expect(shown is not None and shown.content == content, "every byte of the alert arrived, Urdu too")
    return Proven(
        "the originator's exact bytes arrive", f"{len(content):,} bytes in English, Chinese and Urdu, the same at XO"
    )


def sensor_pushes(exchange: Exchange) -> Proven:
    """s07: a machine pushes indicators by itself, within its scope; twice makes one copy."""
    name, home = "s07-cyber-indicators", exchange.home.node("XA")
    scope = pb.SensorScope(
        name="watch-feed",
        categories=[Category.CYBER_INDICATOR.word],
        ceiling=Tlp.GREEN.word,
        per_hour=100,
        until_ms=now_ms() + DAY_MS,
    )
    with connect(home, operator_home=exchange.home.operator(ADMINISTRATOR)) as node:
        sensor = node.AddSensor(pb.AddSensorRequest(scope=scope))
    content, label = cast.report(name)
    everyone = set(cast.PLAYERS) - {"XA"}
    with (
        exchange.stage.step("a sensor at XA pushes indicators twice; all seven partners store one copy"),
        SensorClient(sensor.address, ca=sensor.ca_certificate.encode(), token=sensor.token) as client,
    ):
        first, second = client.push(content, label=label), client.push(content, label=label)
        expect((first.item, second.repeated) == (second.item, True), "the second push is a repeat of the first")
        exchange.remember(name, "XA", first.item)
        all_receipted(exchange, name, everyone)
        alert, alert_label = cast.report("s04-gwadar-alert")
        refused = _refusal(lambda: client.push(alert, label=alert_label))
    expect(refused != "", "the sensor may not push an alert")
    exchange.stage.tell(f"the sensor tries an alert: {refused}", mark="✓")
    return Proven(
        "machines push by themselves", "two pushes of one sensor made one copy at seven partners; its alert was refused"
    )


def spool_pushes(exchange: Exchange) -> Proven:
    """s08: XO's feed drops a report into a directory; the node takes it."""
    name, spool = "s08-retraction", exchange.home.node("XO") / "spool"
    scope = pb.SensorScope(
        name="spool", categories=["unrest", "site_threat"], ceiling="amber", per_hour=10, until_ms=now_ms() + DAY_MS
    )
    with connect(exchange.home.node("XO"), operator_home=exchange.home.operator(ADMINISTRATOR)) as node:
        node.AddSensor(pb.AddSensorRequest(scope=scope))
    with exchange.stage.step("XO's feed drops a report into spool/; XA, XV and XT store it"):
        _drop(spool, "roadblock", *cast.report(name))
        taken = spool / "sent" / "roadblock.item"
        exchange.until(taken.exists, "the spool")
        exchange.remember(name, "XO", taken.read_text().strip())
        all_receipted(exchange, name, {"XA", "XV", "XT"})
    return Proven(
        "a directory is enough", f"roadblock.json became item {exchange.items[name][:12]}, receipted by three partners"
    )


def retraction_goes_out(exchange: Exchange) -> Proven:
    """s08: the source withdrew it; every holder hides it and says so."""
    name, holders = "s08-retraction", {"XA", "XV", "XT"}
    with exchange.stage.step("XO withdraws it; XA, XV and XT hide it and confirm"):
        recipients = exchange.retract("XO", name, "Source withdrew the report; no roadblock took place.")
        expect(set(recipients) == holders, "the retraction goes to all who hold it")
        exchange.until(
            lambda: {r.partner for r in exchange.trace(name).recipients if r.state == "retracted"} == holders,
            "the confirmations of the retraction",
        )
    for party in sorted(holders):
        shown = exchange.shown(party, name)
        expect(
            shown is not None and shown.summary.state == "withdrawn" and not shown.content,
            f"{party} hides the withdrawn report",
        )
    return Proven("what was sent can be withdrawn", "XA, XV and XT hide it, and signed that they do")


def all_receipted(exchange: Exchange, name: str, audience: Collection[str]) -> None:
    """Wait for the receipts of a report, and go on when exactly these partners have signed one."""
    states = exchange.settled(name)
    expect(states == dict.fromkeys(audience, "receipted"), f"{sorted(audience)} sign receipts for {name}, not {states}")


def _refusal(push: Callable[[], object]) -> str:
    try:
        push()
    except Exception as error:  # noqa: BLE001 - whatever it is, its words are shown
        return str(error)
    return ""


def _drop(spool: Path, name: str, content: bytes, label: bytes) -> None:
    """Write both files under dot-names, then give them their final names, the report last."""
    for suffix, data in ((".label.yaml", label), (".json", content)):
        scratch = spool / f".{name}{suffix}"
        scratch.write_bytes(data)
        scratch.rename(spool / f"{name}{suffix}")


def _by(decision: pb.PartnerDecision) -> str:
    return f"{decision.agreement}, {decision.clause}" if decision.permit else "-"


def _why(decision: pb.PartnerDecision) -> str:
    return "" if decision.permit else " ".join(reason.text for reason in decision.reasons)
