"""Errors and settings are documented as they are."""

import re
from pathlib import Path

import pytest

from exchange.errors import ExchangeError
from exchange.relay.config import RelaySettings
from exchange.runtime.config import Settings, describe
from exchange.runtime.status import STATUS
from nodes.admin.exit_codes import BUG, CONFIGURATION, DENIED, EXIT_CODES, UNAVAILABLE, USAGE, VERIFICATION, exit_code
from nodes.config import NodeConfig
from tests.support.errors import every_error

DOCS = Path(__file__).resolve().parents[4] / "docs"
ROW = re.compile(r"^\| `([A-Z_]+)` \| `([A-Z_]+)` \| (\d+) \| (yes|no) \| (.+?) \| .+ \|$", re.MULTILINE)


def test_every_reason_has_its_row_in_every_table_and_no_table_has_more() -> None:
    reasons = [kind.reason for kind in every_error()]
    assert len(set(reasons)) == len(reasons)
    assert set(STATUS) == set(reasons) == set(EXIT_CODES)


def test_the_page_of_errors_says_what_the_tables_say() -> None:
    page = {row[0]: row[1:] for row in ROW.findall((DOCS / "reference/errors.md").read_text())}
    expected = {
        kind.reason: (
            STATUS[kind.reason].name,
            str(EXIT_CODES[kind.reason]),
            "yes" if kind.retryable else "no",
            kind.public,
        )
        for kind in every_error()
    }
    assert page == expected


@pytest.mark.parametrize("kind", every_error())
def test_families_share_their_exit_code(kind: type[ExchangeError]) -> None:
    families = {
        "BadInput": USAGE,
        "VerificationFailed": VERIFICATION,
        "PolicyDenied": DENIED,
        "Unavailable": UNAVAILABLE,
        "ConfigurationError": CONFIGURATION,
    }
    found = {families[parent.__name__] for parent in kind.__mro__ if parent.__name__ in families}
    assert not found or EXIT_CODES[kind.reason] in found


def test_an_unknown_reason_is_our_bug() -> None:
    class Unheard(ExchangeError):
        reason = "UNHEARD_OF"

    assert exit_code(Unheard()) == BUG


@pytest.mark.parametrize("model, heading", [(RelaySettings, "## Relay"), (NodeConfig, "## Node")])
def test_every_setting_is_documented_with_its_default(model: type[Settings], heading: str) -> None:
    page = (DOCS / "operations/configuration.md").read_text()
    section = page.split(f"\n{heading}\n", maxsplit=1)[1].split("\n## ", maxsplit=1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    expected = []
    for key, default, meaning in describe(model):
        assert meaning, f"{key} has no description"
        shown = default if default in ("required", "none") else f"`{default}`"
        expected.append(f"| `{key}` | {shown} | {meaning} |")
    assert rows == expected
