"""docs/spec/envelope.md says what is so: its example is the golden delivery, and the tests that it names exist."""

import json
import re
from pathlib import Path

from exchange.envelope.codec import decode_delivery, decode_header
from exchange.envelope.rules import CONTROL_CIPHERTEXT_BYTES

TESTS = Path(__file__).resolve().parents[3]
SPEC = (TESTS.parent / "docs" / "spec" / "envelope.md").read_text()


def test_the_core_in_the_example_is_the_golden_one() -> None:
    golden = json.loads((TESTS / "vectors" / "envelope" / "delivery.json").read_text())
    data = bytes.fromhex(golden["delivery"])
    core = decode_header(decode_delivery(data).header.payload).core
    blocks = ["".join(block.split()) for block in re.findall(r"```\n([0-9a-f \n]+)```", SPEC)]
    assert blocks == [core.hex()]
    assert f"{len(data):,} bytes" in SPEC
    for name in ("core_hash", "envelope_hash", "item_hash", "recipients_root"):
        assert golden[name][:8] in SPEC


def test_every_test_that_is_named_exists() -> None:
    sources = "".join(path.read_text() for path in sorted(TESTS.rglob("test_envelope_*.py")))
    named = set(re.findall(r"`(test_\w+)`", SPEC))
    assert len(named) > 30
    assert not {name for name in named if f"def {name}(" not in sources}


def test_every_numbered_check_is_in_the_table() -> None:
    relay, recipient = SPEC.split("## The relay's checks")[1].split("## The recipient's checks")
    assert re.findall(r"^\| (\d+) \|", relay, re.MULTILINE) == [str(number) for number in range(1, 14)]
    assert re.findall(r"^\| (\d+) \|", recipient, re.MULTILINE) == [str(number) for number in range(1, 12)]
    assert f"{CONTROL_CIPHERTEXT_BYTES:,} bytes" in SPEC
