"""`concord verify`: check an evidence file offline, without a node."""

from pathlib import Path
from typing import Annotated

import typer

from exchange.errors import VerificationFailed
from nodes.admin import output
from nodes.admin.options import Json
from nodes.evidence import EVIDENCE_BYTES, read_evidence
from nodes.evidence_check import Result, check_evidence
from nodes.reportfile import naming, read_bounded

FILE_BYTES = 2 * EVIDENCE_BYTES


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Evidence, as `concord report why --out` writes it.")],
    as_json: Json = False,
) -> None:
    """Compute the decisions in an evidence file again, and verify every signature in it. Nothing is asked of a node.

    Exit code 4 when anything does not hold. What the file cannot prove by itself is listed as not checked.

    Example: concord verify why.evidence
    """
    with naming(file):
        evidence = read_evidence(read_bounded(file, FILE_BYTES, "evidence").decode("ascii", "replace"))
    checks = check_evidence(evidence)
    if as_json:
        output.as_json([{"what": each.what, "result": each.result, "detail": each.detail} for each in checks])
    else:
        output.fields({"item": evidence.item.hex(), "made by": f"{evidence.made_by}, {output.when(evidence.made_ms)}"})
        output.table(("check", "result", "what"), [(each.what, each.result, each.detail) for each in checks])
    failed = [each for each in checks if each.result is Result.FAILS]
    if failed:
        raise VerificationFailed(
            f"{len(failed)} checks fail: {failed[0].what}: {failed[0].detail}", hint="do not rely on this file"
        )
