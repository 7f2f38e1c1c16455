"""The demo's acts about what others can check: a decision, four eyes, a community whose members change, a log's proof.

An act returns what it has shown, as in nodes/demo/acts.py.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from exchange.errors import InternalError
from nodes.demo import cast
from nodes.demo.acts import all_receipted, expect
from nodes.demo.enrol import DUTY_OFFICER, RELEASE_DESK, command
from nodes.demo.exchange import Exchange
from nodes.demo.stage import Proven
from nodes.node_client import connect
from nodes.v1 import agreements_pb2, community_pb2
from nodes.v1.log_proof_pb2 import ExportProofRequest

LESSONS = b"""\
# Lessons for everybody; a second pair of eyes looks before they go.
tlp: clear
categories: [lesson]
purposes: [training]
release: {to: ["*"]}
onward: free
personal_data: none
basis: {kind: mou, citation: "Regional Lessons and Warnings Charter, clause 2"}
approvals: 1
"""

ROAD_WATCH = b"""\
tlp: green
categories: [travel]
purposes: [protect_life]
release: {to: [{community: Road watch}]}
personal_data: none
basis: {kind: mou, citation: "Indus Corridor Mutual Security Memorandum, clause 4.1"}
"""
PROOF = Path("files") / "first-report.tlog-proof"
"""Below the demo's home."""

CORRIDOR = "Indus Corridor Mutual Security Memorandum"


def decision_is_explained(exchange: Exchange) -> Proven:
    """s01: XA tells why XN got nothing, and anybody can compute that again from a file, without a node."""
    name, home = "s01-dasu-flash", exchange.home
    file, item = home.path / "files" / "why.evidence", exchange.items[name]
    with exchange.stage.step("XA writes down as evidence why XN got nothing; it is computed again without any node"):
        node = ("--home", home.node("XA"))
        told = json.loads(command("report", "why", item, "XN", "--out", file, "--json", *node))
        checks = json.loads(command("verify", file, "--json"))
    computed = [each for each in checks if each["result"] == "holds"]
    expect(bool(computed) and not _failing(checks), "every check of the evidence holds")
    denied = [f["text"] for decision in told["decisions"] for f in decision["findings"] if f["outcome"] == "fail"]
    expect(bool(denied), "XN was denied")
    expect(_is_refused(file), "evidence in which one byte was changed is refused")
    return Proven(
        "anybody can check a decision",
        f"concord verify: {len(computed)} checks hold, one byte off is refused; XN: {denied[0]}",
    )


def proof_is_handed_on(exchange: Exchange) -> Proven:
    """s01: a file shows when its envelope was logged; the witnesses' quorum is counted from the genesis on, offline."""
    home, item = exchange.home, exchange.items["s01-dasu-flash"]
    asked, file = ExportProofRequest(id=item, partner="XV"), home.path / PROOF

    def cosigned() -> bool:
        with connect(home.node("XA")) as node:
            return node.ExportProof(asked).cosigned

    with exchange.stage.step("XA writes a proof that its first report was logged; it is checked without any node"):
        exchange.until(cosigned, "a quorum of witnesses")
        command("log", "export-proof", item, "--partner", "XV", "--out", file, "--home", home.node("XA"))
        checks = json.loads(command("verify", file, "--json"))
    (vouched,) = [each for each in checks if each["what"] == "witnesses"]
    expect(vouched["result"] == "holds" and not _failing(checks), "a quorum of witnesses vouches for it")
    expect(_is_refused(file), "a proof in which one byte was changed is refused")
    return Proven("anybody can check when it was sent", f"concord verify: {vouched['detail']}; one byte off is refused")


def release_takes_two(exchange: Exchange) -> Proven:
    """s09: what goes to everybody waits until somebody who did not write it has signed for exactly these bytes."""
    name, home, everyone = "lessons", exchange.home, set(cast.PLAYERS) - {"XA"}
    exchange.written[name] = (cast.SCENARIOS / "s09-lessons-learned.stix.json").read_bytes(), LESSONS
    approve = ("report", "approve", "--yes", "--home", home.node("XA"), *home.passphrase)
    with exchange.stage.step("XA's duty officer pushes lessons for everybody; they wait for a second pair of eyes"):
        item = exchange.push("XA", name)
        waiting = {row.state for row in exchange.trace(name).recipients}
        expect(waiting == {"waiting"} and not exchange.holders(name), "nothing has left")
        mine = _refusal(*approve, item, "--operator-home", home.operator(DUTY_OFFICER))
        expect("releaser" in mine, "nobody approves what he wrote")
    with exchange.stage.step("its release desk looks, and signs for exactly these bytes; all seven store them"):
        command(*approve, item, "--operator-home", home.operator(RELEASE_DESK))
        all_receipted(exchange, name, everyone)
    (by,) = [event.detail for event in exchange.trace(name).events if event.event == "approved"]
    return Proven("release takes two people", f"waited at XA; approved {by}, then stored by {len(everyone)} partners")


def members_change(exchange: Exchange) -> Proven:
    """A community: who joins gets what is new, who is removed gets nothing more; no label changes."""
    stage, node = exchange.stage, exchange.home.node("XA")
    with stage.step("XA makes a community of XV and XO, and addresses an alert to it"):
        with connect(node) as ours:
            agreements = ours.ListAgreements(agreements_pb2.ListAgreementsRequest()).agreements
            rests_on = next(each.id for each in agreements if each.title == CORRIDOR)
            request = community_pb2.CreateCommunityRequest(
                name="Road watch",
                agreement=rests_on,
                members=["XV", "XO"],
                visibility="owner_only",
                history="none",
            )
            made = ours.CreateCommunity(request).community
        _address(exchange, "landslide", "Landslide on the corridor road", ["XV", "XO"])
    with stage.step("XH joins and XV is removed; the next alert under the same label reaches XO and XH"):
        with connect(node) as ours:
            changed = community_pb2.ChangeCommunityRequest(id=made.id, members=["XH"], remove=["XV"])
            now = ours.ChangeCommunity(changed).community
        _address(exchange, "cleared", "The corridor road is open again", ["XO", "XH"])
    expect(exchange.shown("XV", "cleared") is None, "XV gets nothing more")
    expect(exchange.shown("XH", "landslide") is None, "XH gets nothing from before")
    return Proven(
        "who is in a group can change", f"epoch {made.epoch} reached XV and XO, epoch {now.epoch} XO and XH; one label"
    )


def _address(exchange: Exchange, name: str, title: str, audience: Sequence[str]) -> None:
    """Write a report with `concord report new`, address it to the community, and wait for the audience's receipts."""
    path = exchange.home.path / "files" / name
    command("report", "new", path, "--kind", "alert", "--title", title)
    exchange.written[name] = path.with_suffix(".json").read_bytes(), ROAD_WATCH
    exchange.push("XA", name)
    all_receipted(exchange, name, audience)


def _is_refused(evidence: Path) -> bool:
    damaged, data = evidence.with_suffix(".damaged"), bytearray(evidence.read_bytes())
    middle = len(data) // 2
    data[middle] = ord("A") if data[middle] != ord("A") else ord("B")
    damaged.write_bytes(data)
    return bool(_refusal("verify", damaged))


def _refusal(*words: str | Path) -> str:
    try:
        command(*words)
    except InternalError as error:
        return str(error)
    return ""


def _failing(checks: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    return [each for each in checks if each["result"] == "fails"]
