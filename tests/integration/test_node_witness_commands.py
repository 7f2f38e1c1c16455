"""`concord log witness` and `concord root witnesses` against nodes: from the keys to the entry that names them."""

import asyncio
import json
from pathlib import Path

import pytest

from exchange.names import party_id
from nodes.admin.main import run
from nodes.root import read_task
from nodes.root_home import Root
from nodes.witness_file import WitnessKey, read_witness_key, write_witness_key
from tests.integration.test_node_doors import doors
from tests.support.directory_builders import EXCHANGE, composite, mldsa44
from tests.support.node_world import until


async def concord(*words: str, home: Path) -> int:
    """Run a command as an operator does, and return its exit code."""
    return await asyncio.to_thread(run, [*words, "--home", str(home)])


async def test_the_council_names_the_witnesses_whose_keys_it_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with doors() as (node, home, running):
        own, other, request = tmp_path / "xa.witness", tmp_path / "xv.witness", tmp_path / "witnesses.request"
        assert await concord("log", "witness", home=home) == 0
        assert "unwitnessed" in capsys.readouterr().out
        assert await concord("log", "witness", "--out", str(own), home=home) == 0
        assert read_witness_key(own.read_text()).key == node.core.keys.witness.public
        key = running["XV"].core.keys.witness.public
        other.write_text(write_witness_key(WitnessKey(EXCHANGE, party_id("XV"), key)))
        naming = ("root", "witnesses", str(own), str(other), "--out", str(request))
        capsys.readouterr()
        assert await concord(*naming, "--quorum", "1", home=home) != 0
        assert "from 2 to 2: two quorums must overlap" in capsys.readouterr().err
        assert await concord(*naming, "--quorum", "2", home=home) == 0
        task = read_task(request.read_text())
        assert {"  quorum          2 of 2 must agree", f"  witness         XV  {key.key_id.hex()}"} < set(task.words())
        signed = tmp_path / "witnesses.signed"
        signed.write_text(task.sign(Root(party_id("XA"), composite("XA/root")), 0))
        assert await concord("partner", "publish", str(signed), home=home) == 0
        trust = running["XV"].core.trust
        await until(lambda: trust.now.directory.witnesses(at_size=trust.now.size) is not None, "nobody was named")
        capsys.readouterr()
        await until(lambda: node.core.trust.now.size == trust.now.size, "XA lags behind")
        assert await concord("log", "witness", "--json", home=home) == 0
        shown = json.loads(capsys.readouterr().out)
        assert ([each["party"] for each in shown["members"]], shown["quorum"]) == (["XA", "XV"], 2)

        async def cosigned() -> bool:
            capsys.readouterr()
            assert await concord("log", "witness", "--json", home=home) == 0
            return len(json.loads(capsys.readouterr().out)["cosigned"]) == 2

        await until(cosigned, "it does not show what it has cosigned")


async def test_a_key_of_another_exchange_or_of_a_stranger_is_not_proposed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with doors() as (_, home, _):
        for exchange, party in (("other.concord.example", "XV"), (EXCHANGE, "XU")):
            file = tmp_path / f"{party}.witness"
            file.write_text(write_witness_key(WitnessKey(exchange, party_id(party), mldsa44("k").public)))  # type: ignore[arg-type]  # names as text
            words = ("root", "witnesses", str(file), "--quorum", "1", "--out", str(tmp_path / "out"))
            assert await concord(*words, home=home) != 0
            said = capsys.readouterr().err
            assert "of another exchange" in said or "no partner XU" in said
        assert not (tmp_path / "out").exists()
