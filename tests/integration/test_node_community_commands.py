"""`concord community` against a running node: what it does, what it shows, and what it refuses."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from nodes.admin.exit_codes import NOT_FOUND, USAGE
from nodes.admin.main import run
from nodes.parts import Node
from nodes.v1 import community_pb2 as pb
from nodes.v1 import node_service_pb2 as node_pb
from tests.integration.test_node_doors import ask, doors
from tests.support.convening import convene, known, publish
from tests.support.node_world import receipted, until
from tests.support.reports import a_report


async def concord(home: Path, *words: str) -> int:
    """Run a command as an operator does, and return its exit code."""
    return await asyncio.to_thread(run, ["community", *words, "--home", str(home)])


async def told(home: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Return what a command says in JSON."""
    capsys.readouterr()
    assert await concord(home, *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def agreement_of(node: Node) -> str:
    """Return the beginning of the id of the node's one agreement."""
    (view,) = node.core.trust.now.views.values()
    return view.agreement_id.hex()[:12]


async def test_the_whole_life_of_a_community(capsys: pytest.CaptureFixture[str]) -> None:
    async with doors() as (node, home, running):
        create = ("create", "--name", "Road watch", "--agreement", agreement_of(node), "--member", "XV")
        made = await told(home, capsys, *create, "--category", "alert", "--history", "2026-01-31", "--about", "PK")
        assert (made["status"], made["epoch"], made["members"], made["visibility"]) == ("active", 1, 2, "owner_only")
        assert (made["history"], made["categories"], made["about"]) == ("from_date", ["alert"], ["PK"])
        assert [each["party"] for each in made["roster"]] == ["XA", "XV"]
        (held,) = node.core.trust.now.communities[bytes.fromhex(made["id"])]
        await known(held, running["XV"])
        item = await publish(node, held)
        await receipted(node, item, "XV")
        (listed,) = await told(home, capsys, "list")
        assert listed["id"] == made["id"]
        assert await concord(home, "show", made["id"][:6]) == 0
        shown = capsys.readouterr().out
        assert "Road watch" in shown and f"from directory entry {made['shown_at'] - 1} on" in shown
        second = await told(home, capsys, "add", "Road watch", "--publisher", "XV")
        assert (second["epoch"], second["publishers"]) == (2, ["XA", "XV"])
        assert await concord(home, "remove", "Road watch", "XV") == 0
        captured = capsys.readouterr()
        assert captured.out.strip() == made["id"]
        assert "epoch 3 holds from directory entry" in captured.err
        await until(lambda: node.core.trust.now.size > second["shown_at"], "the directory did not grow")
        assert (await told(home, capsys, "end", "Road watch"))["status"] == "ended"
        assert (await told(home, capsys, "list"))[0]["status"] == "ended"


async def test_a_member_sees_of_a_hidden_roster_its_own_place_alone() -> None:
    async with doors() as (node, home, running):
        other = running["XV"]
        (view,) = other.core.trust.now.views.values()
        held = await convene(other, ["XA"])
        await known(held, node)
        shown = (await ask(home, "ShowCommunity", pb.ShowCommunityRequest(id="Road watch"))).community
        assert (shown.owner, shown.role, shown.members, shown.status) == ("XV", "member", 0, "active")
        assert [each.party for each in shown.roster] == ["XA"]
        assert list(shown.warnings) == []
        assert view.agreement_id.hex() == shown.agreement


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["create", "--name", "x", "--agreement", "00000000"], NOT_FOUND, "no agreement"),
        (["create", "--name", "x", "--agreement", "ID", "--member", "XX"], USAGE, "XX is no party of the agreement"),
        (["create", "--name", "x", "--agreement", "ID", "--member", "xv"], USAGE, "not a partner id"),
        (["create", "--name", "", "--agreement", "ID"], USAGE, "community: name"),
        (["create", "--name", "x", "--agreement", "ID", "--visibility", "all"], USAGE, "one of owner_only"),
        (["create", "--name", "x", "--agreement", "ID", "--category", "al"], USAGE, "one of terror_attack"),
        (["create", "--name", "x", "--agreement", "ID", "--about", "pk"], USAGE, "country code"),
        (["create", "--name", "x", "--agreement", "ID", "--history", "soon"], USAGE, "not a time"),
        (["create", "--name", "x", "--agreement", "ID", "--until", "soon"], USAGE, "not a time"),
        (["create", "--name", "x", "--agreement", "ID", "--until", "2020-01-01"], USAGE, "end before it begins"),
        (
            ["create", "--name", "x", "--agreement", "ID", "--member", "XV", "--publisher", "XV"],
            USAGE,
            "member and publisher at once",
        ),
        (["add", "Road", "--member", "XV"], NOT_FOUND, "no community 'Road'"),
        (["add", "Road"], USAGE, "nobody to add"),
        (["remove", "Road", "XV"], NOT_FOUND, "concord community list"),
        (["end", "Road"], NOT_FOUND, "no community"),
        (["show", "Road"], NOT_FOUND, "no community"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
async def test_what_does_not_do_is_refused_with_its_cause(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with doors() as (node, home, _):
        given = [agreement_of(node) if word == "ID" else word for word in words]
        assert await concord(home, *given) == code
        assert said in capsys.readouterr().err
        assert node.core.trust.now.communities == {}


async def test_an_own_community_refuses_what_changes_nothing_and_who_is_no_member(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with doors() as (node, home, _):
        assert await concord(home, "create", "--name", "Road", "--agreement", agreement_of(node)) == 0
        assert await concord(home, "create", "--name", "Road", "--agreement", agreement_of(node)) != 0
        assert "choose another name" in capsys.readouterr().err
        assert await concord(home, "remove", "Road", "XV") == NOT_FOUND
        assert "XV is no member" in capsys.readouterr().err
        assert await concord(home, "remove", "Road", "XA") == USAGE
        assert "the owner is always a publisher" in capsys.readouterr().err
        assert await concord(home, "add", "Road", "--publisher", "XA") != 0
        assert "nothing would change" in capsys.readouterr().err
        assert await concord(home, "add", "Road", "--member", "XA") == USAGE
        assert await concord(home, "end", "Road") == 0
        assert await concord(home, "add", "Road", "--member", "XV") != 0
        assert "has ended" in capsys.readouterr().err


async def test_a_label_names_a_community_of_this_node_or_is_refused_with_a_hint() -> None:
    async with doors() as (node, home, _):
        label = (
            b"tlp: amber\ncategories: [alert]\npurposes: [protect_life]\nabout: [PK]\npersonal_data: none\n"
            b'onward: none\nbasis: {kind: mou, citation: "m"}\nrelease: {to: [{community: Road}]}\n'
        )
        file = node_pb.ReportFile(content=a_report(), label_yaml=label)
        with pytest.raises(Exception, match="no community to publish in now"):
            await ask(home, "CheckReport", node_pb.CheckReportRequest(report=file))
        assert await concord(home, "create", "--name", "Road", "--agreement", agreement_of(node), "--member", "XV") == 0
        checked = await ask(home, "CheckReport", node_pb.CheckReportRequest(report=file))
        assert "epoch: 1" in checked.label_yaml
        decided = await ask(home, "WhoGets", node_pb.WhoGetsRequest(report=file))
        assert [(each.partner, each.permit, each.community) for each in decided.decisions] == [("XV", True, "Road")]
        later = file.label_yaml.replace(b"{community: Road}", b"{community: " + b"ab" * 16 + b", epoch: 1}")
        strange = node_pb.ReportFile(content=a_report(), label_yaml=later)
        with pytest.raises(Exception, match="no community to publish in now"):
            await ask(home, "CheckReport", node_pb.CheckReportRequest(report=strange))
