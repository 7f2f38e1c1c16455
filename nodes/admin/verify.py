"""`concord verify`: check evidence files offline, without a node."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from exchange.errors import VerificationFailed
from exchange.runtime.armour import read_armour
from exchange.tlog.proof import HEADER
from nodes import contradiction, evidence, log_evidence, log_proof, outdated, withheld
from nodes.admin import output
from nodes.admin.options import Json
from nodes.evidence_check import Check, Result, check_evidence
from nodes.log_evidence import LogEvidence, check_together
from nodes.reportfile import naming, read_bounded

FILE_BYTES = 2 * evidence.EVIDENCE_BYTES


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file is about, and what came of it."""

    about: Mapping[str, str]
    checks: Sequence[Check]
    fork: LogEvidence | None = None
    """To be held against others, when it is of the relay's logs."""


def verify(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Evidence, as a node writes it.")],
    as_json: Json = False,
) -> None:
    """Check files that prove something: decisions, what was logged, what a sender or the relay did. No node is asked.

    Decisions are computed again and every signature is verified. `concord report why --out` writes the first kind,
    `concord log export-proof` the second; the others a node keeps in its store when an alarm rings. Exit code 4 when
    anything does not hold. What a file cannot prove by itself is listed as not checked. Of two histories that partners
    were shown, their files together name the witnesses that vouched for both.

    Example: concord verify why.evidence
    """
    found = [(file, _read(file)) for file in files]
    together = check_together([each.fork for _, each in found if each.fork is not None])
    if as_json:
        rows = [
            _plain(check) | ({"file": str(file)} if len(files) > 1 else {})
            for file, each in found
            for check in each.checks
        ]
        output.as_json([*rows, *(map(_plain, together) if len(files) > 1 else ())])
    else:
        for _, each in found:
            output.fields(dict(each.about))
            _show(each.checks)
        if len(files) > 1 and together:
            _show(together)
    failed = [check for _, each in found for check in each.checks if check.result is Result.FAILS]
    if failed:
        raise VerificationFailed(
            f"{len(failed)} checks fail: {failed[0].what}: {failed[0].detail}", hint="do not rely on this file"
        )


def _read(file: Path) -> Checked:
    with naming(file):
        return _checked(read_bounded(file, FILE_BYTES, "evidence"))


def _plain(check: Check) -> dict[str, str]:
    return {"what": check.what, "result": check.result, "detail": check.detail}


def _show(checks: Sequence[Check]) -> None:
    output.table(("check", "result", "what"), [(each.what, each.result, each.detail) for each in checks])


def _checked(data: bytes) -> Checked:
    if data.startswith(HEADER.encode()):
        return _logged(data.decode("utf-8", "replace"))
    text = data.decode("ascii", "replace")
    kind, _ = read_armour(text, set(_KINDS))
    return _KINDS[kind](text)


def _logged(text: str) -> Checked:
    found = log_proof.read_logged(text)
    return Checked({"envelope": found.envelope.hex(), "exchange": found.exchange}, log_proof.check_logged(found))


def _decisions(text: str) -> Checked:
    found = evidence.read_evidence(text)
    about = {"item": found.item.hex(), "made by": f"{found.made_by}, {output.when(found.made_ms)}"}
    return Checked(about, check_evidence(found))


def _sender(text: str) -> Checked:
    found = contradiction.read_contradiction(text)
    about = {"against": found.sender, "made by": f"{found.made_by}, {output.when(found.made_ms)}"}
    return Checked(about, contradiction.check_contradiction(found))


def _relay(text: str) -> Checked:
    found = log_evidence.read_log_evidence(text)
    about = {"against": "the relay", "made by": f"{found.made_by}, {output.when(found.made_ms)}"}
    return Checked(about, log_evidence.check_log_evidence(found), found)


def _loss(text: str) -> Checked:
    found = withheld.read_withheld(text)
    about = {"against": "the relay", "made by": f"{found.made_by}, {output.when(found.made_ms)}"}
    return Checked(about, withheld.check_withheld(found))


def _outdated(text: str) -> Checked:
    found = outdated.read_outdated(text)
    about = {"against": "the relay", "made by": f"{found.made_by}, {output.when(found.made_ms)}"}
    return Checked(about, outdated.check_outdated(found))


_KINDS: Mapping[str, Callable[[str], Checked]] = {
    evidence.KIND: _decisions,
    contradiction.KIND: _sender,
    log_evidence.KIND: _relay,
    withheld.KIND: _loss,
    outdated.KIND: _outdated,
}
