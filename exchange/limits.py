"""Every shared limit, in one place (PROTOCOL 7). Units are in the names.

A parser of a peer's bytes names the limit that it enforces; a limit of one format only stands beside its parser.
"""

MIB = 1 << 20
GIB = 1 << 30
KIB = 1 << 10

REPORT_BYTES = 1 * MIB
"""Plain content of one report."""

STIX_DEPTH = 64
STIX_OBJECTS = 10_000

LABEL_BYTES = 32 * KIB
RELEASE_BYTES = 32 * KIB
AGREEMENT_TEXT_BYTES = 256 * KIB

SUBMISSION_BYTES = 2 * MIB
DELIVERY_BYTES = SUBMISSION_BYTES + 16 * KIB
"""A submission to one recipient, its inclusion proof and the relay's promise."""

ATTACHMENTS = 64
"""Of one report."""

ATTACHMENT_BYTES = 2 * GIB
"""Plain content of one attachment."""

ATTACHMENTS_BYTES = 4 * GIB
"""Plain content of all attachments of one report."""

BLOB_FRAME_BYTES = 16 * (16 * KIB + 16)
"""Most ciphertext of an attachment in one message on the wire: sixteen sealed chunks."""

CONTROL_BODY_BYTES = 64 * KIB
"""Padded body of a control envelope; its ciphertext is 136 bytes longer."""

RECIPIENTS = 256
"""Of one envelope; also the number of slots."""

SLOTS = 256

FRAME_BYTES = 4 * MIB
"""A submit or deliver frame is cut at this size."""

FRAME_ITEMS = 256
RECEIVE_BYTES = 5 * MIB
"""gRPC receive limit: a frame and its overhead."""

JOIN_BYTES = 32 * KIB
STATEMENT_BYTES = 64 * KIB
"""Serialised Signed of one directory statement."""

BATCH_STATEMENTS = 1_024
"""Leaves under one signature."""

SIGNATURES = 256
"""Signatures on one Signed: one a party of the largest agreement."""

WITNESSES = 24
"""Parties that cosign the logs. With as many, a set of them and a checkpoint's note keep to their limits."""

PREKEY_DAYS_MAX = 40
PREKEY_DAYS_AHEAD = 30

KEY_OVERLAP_MS = 30 * 24 * 60 * 60 * 1000
"""Node keys serve for so long after the certificate of those that follow them begins."""

ROLLOVER_DELAY_MS = 72 * 60 * 60 * 1000
"""A root that the council puts in the place of a lost one counts for nothing earlier: time to object."""

CLOCK_AHEAD_MS = 5 * 60 * 1000
"""A created time may lie this far ahead of the relay's clock."""

CLOCK_BEHIND_MS = 24 * 60 * 60 * 1000
"""A created time may lie this far behind the relay's clock."""

ENVELOPE_LIFE_MS = 30 * 24 * 60 * 60 * 1000
"""Longest time that the relay holds an envelope."""

RECEIPT_LINES = 500
AGREEMENT_TERMS = 64
TARGETS = 256
PARTIES = 512
