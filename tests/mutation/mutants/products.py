"""Checks of what is made of reports: combined, derived, mapped to other formats, and attached files."""

from exchange.policy.combine import RULES
from exchange.policy.mappings.carry import ENFORCED
from tests.mutation.mutant import POLICY, without

COMBINE = "exchange/policy/combine.py"
ENVELOPE_TESTS = "tests/unit/exchange/envelope"
BLOB = "exchange/envelope/blob.py"
CARRIERS = f"{POLICY}/mappings/test_mapping_carriers.py"

COMBINED = [
    without(
        f"combination.{name}",
        "author",
        COMBINE,
        f'    "{name}": ',
        f'    "{name}": (lambda one, _: one) if True else ',
        f"{POLICY}/test_policy_combine.py",
    )
    for name in RULES
]
"""Each rule of combination gives way to the first source."""

DERIVED = [
    without(
        "label.derived_from",
        "author",
        "nodes/deriving.py",
        "if found:",
        "if False:",
        "tests/unit/nodes/test_deriving.py",
    ),
    without(
        "label.derived_from",
        "author",
        "nodes/deriving.py",
        "if unknown:",
        "if False:",
        "tests/unit/nodes/test_deriving.py",
    ),
    without(
        "label.originators",
        "author",
        "nodes/deriving.py",
        "originators=_sorted(allowed.originators),",
        "originators=label.originators,",
        "tests/unit/nodes/test_deriving.py",
    ),
]

CARRIED = [
    without(
        f"carried.{name}",
        "export",
        "exchange/policy/mappings/carry.py",
        f'    "{name}": lambda',
        f'    "{name}": lambda *_: False if True else lambda',
        CARRIERS,
    )
    for name in ENFORCED
]
"""Each field that software keeps is lost where a report leaves in another format."""

ATTACHED = [
    without("report.attachments", where, file, before, after, f"{ENVELOPE_TESTS}/{test}")
    for where, file, before, after, test in (
        (
            "recipient",
            "exchange/envelope/statement.py",
            "    if report.attachments != attachments_of(body.blobs):\n",
            "    if False:\n",
            "test_envelope_open.py",
        ),
        (
            "everyone",
            "exchange/envelope/rules.py",
            "    if any(blob.size != blob_size(key.size) for key, blob in zip(body.blobs, core.blobs, strict=True)):\n",
            "    if False:\n",
            "test_envelope_seal.py",
        ),
        (
            "everyone",
            "exchange/envelope/rules.py",
            "    if any(not BLOB_LEAST <= blob.size <= BLOB_BYTES for blob in core.blobs):\n",
            "    if False:\n",
            "test_envelope_open.py",
        ),
        ("recipient", BLOB, "padding.count(0) != len(padding)", "False", "test_envelope_blob.py"),
        ("recipient", BLOB, "plain.digest() != key.plain_sha256", "False", "test_envelope_blob.py"),
        ("recipient", BLOB, "return _LABEL + blob_id", "return _LABEL", "test_envelope_blob.py"),
    )
]
"""A file of a report is lost where another could take its place, or more than the file could hide in it."""
