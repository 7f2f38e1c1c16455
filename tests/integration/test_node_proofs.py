"""A proof that an envelope was logged holds for Concord, and for the page of independent code in the guide."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exchange.errors import ExchangeError, NotFound
from exchange.merkle import node_hash
from nodes.admin.main import run
from nodes.evidence_check import Check, Result
from nodes.log_proof import LoggedEnvelope, check_logged, read_logged, write_logged
from nodes.parts import Node
from nodes.proving import Exported
from nodes.relay_port import Log
from tests.integration.test_node_witness import quorum_of
from tests.support.directory_builders import composite
from tests.support.doors import open_socket
from tests.support.node_world import nodes, push, receipted, until

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "check-a-proof.md"


@asynccontextmanager
async def proven() -> AsyncIterator[tuple[Node, bytes]]:
    """Run nodes that a council with another root than the genesis names made witnesses, and that cosigned a report."""
    async with nodes("XA", "XV") as (world, running):
        node = running["XA"]
        await world.roll_over("XA")
        await world.name_witnesses("XA", "XV", quorum=2, root=composite("XA/root/2"))
        sent = await push(node, "XV")
        await receipted(node, sent.item, "XV")

        async def covered() -> bool:
            if not node.watch.witness.named or await quorum_of(node, Log.TRAFFIC) is None:
                return False
            made = await export(node, sent.item)
            return made is not None and made.cosigned

        await until(covered, "no quorum has cosigned it")
        yield node, sent.item


async def export(node: Node, item: bytes) -> Exported | None:
    """Return the proof of a report, or None while the log does not hold it."""
    try:
        return await node.watch.proving.export(item, "")
    except ExchangeError:
        return None


def results(checks: list[Check]) -> dict[str, Result]:
    return {each.what: each.result for each in checks}


def spoilt(logged: LoggedEnvelope) -> list[LoggedEnvelope]:
    """Return files that claim something else."""
    proof = logged.proof
    other = bytes(32)
    path = (node_hash(proof.path[0], other), *proof.path[1:])
    return [
        replace(logged, envelope=other),
        replace(logged, entry=logged.entry[:1] + other + logged.entry[33:], envelope=other),
        replace(logged, entry=logged.entry[:33] + bytes(8)),
        replace(logged, proof=replace(proof, index=proof.index + 1)),
        replace(logged, proof=replace(proof, path=path)),
        replace(logged, proof=replace(proof, note=proof.note.replace("traffic\n", "dir\n", 1))),
    ]


def by_the_guide(proof: Path, policy: Path) -> subprocess.CompletedProcess[str]:
    """Check a proof with the code of the guide, in a Python that knows nothing of Concord."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    command = [sys.executable, "-I", "-c", code, str(proof), str(policy)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


async def test_a_proof_holds_offline_and_by_the_code_of_the_guide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, policy = tmp_path / "alert.tlog-proof", tmp_path / "exchange.policy"
    async with proven() as (node, item), open_socket(node) as opened:
        home = ["--home", str(opened.home)]
        words = ["log", "export-proof", item.hex()[:12], "--partner", "XV", "--out", str(file)]
        assert await asyncio.to_thread(run, [*words, *home]) == 0
        assert "a quorum of witnesses has cosigned that" in capsys.readouterr().err
        assert await asyncio.to_thread(run, ["log", "witness", "--policy", str(policy), *home]) == 0
    logged = read_logged(file.read_text())
    assert results(check_logged(logged)) == {
        "checkpoint": Result.HOLDS,
        "inclusion": Result.HOLDS,
        "witnesses": Result.HOLDS,
        "genesis": Result.NOT_CHECKED,
        "witness set": Result.NOT_CHECKED,
    }
    assert len(logged.anchor.seats) == 4, "how XA came to the root that named the witnesses"
    assert run(["verify", str(file)]) == 0
    checked = by_the_guide(file, policy)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith(f"envelope {logged.envelope.hex()} was logged by 20")
    other = tmp_path / "other.tlog-proof"
    for claim in spoilt(logged):
        assert Result.FAILS in results(check_logged(claim)).values()
        other.write_text(write_logged(claim))
        assert by_the_guide(other, policy).returncode != 0
        assert run(["verify", str(other)]) != 0
    # Without its quorum the guide refuses it; Concord says that nobody vouches for the time.
    text, _, lines = logged.proof.note.rpartition("\n\n")
    alone = f"{text}\n\n" + "".join(line + "\n" for line in lines.splitlines()[:3])
    fewer = replace(logged, proof=replace(logged.proof, note=alone))
    other.write_text(write_logged(fewer))
    assert results(check_logged(fewer))["witnesses"] is Result.NOT_CHECKED
    assert "witnesses cosigned it, and 2 must" in by_the_guide(other, policy).stderr
    lean = policy.read_text().replace("group witnesses 2", "group witnesses 1")
    policy.write_text(lean)
    assert by_the_guide(other, policy).returncode == 0


async def test_there_is_no_proof_of_what_was_never_sent() -> None:
    async with nodes("XA", "XV") as (_, running):
        with pytest.raises(NotFound):
            await running["XA"].watch.proving.export(bytes(32), "")


def test_what_is_no_proof_is_refused() -> None:
    head = "c2sp.org/tlog-proof@v1\n"
    for text in ("", f"{head}\n", f"{head}index 01\n\nx", f"{head}index 1\n\nx", f"{head}index 1\nAA==\n\nx"):
        with pytest.raises(ExchangeError):
            read_logged(text)
