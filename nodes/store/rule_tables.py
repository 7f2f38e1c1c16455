"""More tables of node.db: operators, approvals, communities, consent, notices, what never came, decisions.

What stands in clear here is listed in docs/spec/node-store.md.
"""

from sqlalchemy import Boolean, Column, Index, Integer, Table

from nodes.store.columns import data, metadata, number, party, small, text, word

# -- operators ---------------------------------------------------------------------------------------------------------

operator = Table(
    "operator",
    metadata,
    word("name", key=True),
    data("pseudonym"),
    data("key"),
    data("key_id"),
    text("profile"),
    number("until_ms"),
    number("added_ms"),
    word("added_by"),
    number("revoked_ms"),
    number("login_ms"),
    Index("ix_operator_key_id", "key_id"),
)
"""People at this node's socket: public key, and in `profile` what they may do. Revoked ones stay."""

session = Table(
    "session",
    metadata,
    data("digest", key=True),
    word("operator"),
    number("started_ms"),
    number("until_ms"),
    Index("ix_session_operator", "operator"),
)
"""Who is logged in: a digest of each token, never the token."""

audit = Table(
    "audit",
    metadata,
    number("number", key=True),
    number("at_ms"),
    word("operator"),
    word("action"),
    text("subject"),
    text("detail"),
)
"""Changes of operators and calls that were refused. Rows are added and never changed."""

# -- readers -----------------------------------------------------------------------------------------------------------

reader_rule = Table("reader_rule", metadata, data("item", key=True), data("rule"))
"""Who may read each version inside this partner: sealed under the master key, empty when the label has no rule.

It outlives the report's key, so that a tombstone is shown to nobody else. Without a row nobody reads the version.
"""

reader_policy = Table("reader_policy", metadata, party("party", key=True), number("at_ms"), data("statement"))
"""The newest signed reader policy of each partner, and of this one."""

reader_policy_told = Table("reader_policy_told", metadata, party("partner", key=True), number("at_ms"))
"""Which of this partner's policies each other partner was told last."""

# -- partners ----------------------------------------------------------------------------------------------------------

verified = Table("verified", metadata, party("party", key=True), data("root_key_id"), number("at_ms"), word("operator"))
"""Whose fingerprint a person has compared: it counts for that root only."""

# -- approvals ---------------------------------------------------------------------------------------------------------

authorship = Table("authorship", metadata, data("item", key=True), word("name", length=128))
"""Who pushed each report of this node: an operator, or `sensor/NAME`. Nobody approves what he wrote."""

approval = Table(
    "approval",
    metadata,
    data("item", key=True),
    data("operator", key=True),
    word("name"),
    data("key_id"),
    number("at_ms"),
    number("stored_ms"),
    data("proof"),
)
"""Approvals of reports, each with its operator's certificate; those of partners' reports came with them."""

# -- obligations: what left by export ----------------------------------------------------------------------------------

export = Table(
    "export",
    metadata,
    number("number", key=True),
    data("item"),
    number("at_ms"),
    word("who"),
    small("action"),
    small("purpose"),
    word("place", length=8),
    Column("as_evidence", Boolean, nullable=False),
    Index("ix_export_item", "item"),
)
"""Every time that content was handed out: what is outside cannot be destroyed here, and a person must recall it."""

# -- obligations: what partners were asked to hide or to destroy -------------------------------------------------------

recall = Table(
    "recall",
    metadata,
    data("item", key=True),
    party("partner", key=True),
    small("action"),
    word("reason_code", length=32),
    Column("onward", Boolean, nullable=False),
    number("asked_ms"),
    number("retracted_ms"),
    number("purged_ms"),
    data("statement"),
    Index("ix_recall_asked_ms", "asked_ms"),
)
"""Who was asked to withdraw an item of ours, and when it confirmed that. `statement` is the signed retraction where
only some were asked; a withdrawal from all stands in `retraction`."""

# -- communities -------------------------------------------------------------------------------------------------------

community_epoch = Table(
    "community_epoch",
    metadata,
    data("shown", key=True),
    data("community"),
    number("epoch"),
    party("owner"),
    word("state", length=16),
    number("stored_ms"),
    data("statement"),
    Index("ix_community_epoch_community", "community", "epoch"),
)
"""Epochs of communities of which this party is a member, by what the directory shows of them. `statement` is the signed
membership: it holds name, purpose and, where this party may see it, the roster."""

community_delivery = Table("community_delivery", metadata, data("item", key=True), data("shown"))
"""Memberships of own communities on their way: an epoch is announced when they are with the relay."""

community_item = Table(
    "community_item",
    metadata,
    data("community", key=True),
    data("item", key=True),
    number("epoch"),
    Index("ix_community_item_epoch", "community", "epoch"),
)
"""Own reports that name a community, and the epoch for whose members they were last addressed."""

# -- agreements: what happened after the signatures --------------------------------------------------------------------

agreement_change = Table(
    "agreement_change",
    metadata,
    data("hash", key=True),
    data("commitment"),
    number("place"),
    party("party"),
    small("action"),
    number("at_ms"),
    number("stored_ms"),
    number("acknowledged_ms"),
    data("statement"),
    Index("ix_agreement_change_commitment", "commitment", "place"),
)
"""Accessions and notices, by the hash of their payload; `commitment` is of the view as its founders signed it.

`place` counts from 0 in the order in which the directory shows them; -1 until it does.
"""

notice_acknowledgement = Table(
    "notice_acknowledgement",
    metadata,
    data("notice", key=True),
    party("party", key=True),
    number("at_ms"),
    data("statement"),
)
"""Who has acknowledged a notice of this party."""

# -- consent -----------------------------------------------------------------------------------------------------------

consent_request = Table(
    "consent_request",
    metadata,
    data("hash", key=True),
    Column("ours", Boolean, nullable=False),
    data("item"),
    party("asker"),
    number("at_ms"),
    number("until_ms"),
    number("stored_ms"),
    word("state", length=16),
    Column("pass_on", Boolean, nullable=False),
    data("statement"),
    Index("ix_consent_request_item", "item"),
    Index("ix_consent_request_asker", "asker", "state"),
)
"""Requests for consent, asked here and asked of this partner; `hash` is that of the signed payload."""

consent_answer = Table(
    "consent_answer",
    metadata,
    data("request", key=True),
    party("originator", key=True),
    party("recipient", key=True),
    word("state", length=16),
    data("grant"),
    number("answered_ms"),
)
"""Where a request stands, for each originator and each partner that it names; `grant` is the hash of the answer."""

consent_grant = Table(
    "consent_grant",
    metadata,
    data("hash", key=True),
    data("request"),
    data("item"),
    party("originator"),
    party("holder"),
    number("until_ms"),
    Column("granted", Boolean, nullable=False),
    number("stored_ms"),
    data("statement"),
    Index("ix_consent_grant_item", "item", "holder"),
)
"""Signed answers, given and received: grants, which travel with the item, and refusals. Evidence: grants are kept."""

onward = Table(
    "onward",
    metadata,
    data("item", key=True),
    party("recipient", key=True),
    party("holder", key=True),
    small("hop"),
    data("grant"),
    number("until_ms"),
    number("at_ms"),
)
"""At the originator: whom its grants let have an item, from whom, and how many hops away."""

# -- what never came ---------------------------------------------------------------------------------------------------

missing = Table(
    "missing",
    metadata,
    party("sender", key=True),
    number("stream", key=True),
    small("lane", key=True),
    number("seq", key=True),
    word("state", length=16),
    number("since_ms"),
    small("tries"),
    number("due_ms"),
    data("envelope"),
    number("expires_ms"),
    data("promise"),
    data("request"),
    data("answer"),
    number("answered_ms"),
    Index("ix_missing_state", "state", "sender"),
    Index("ix_missing_envelope", "envelope"),
)
"""Numbers of partners' streams under which no envelope was stored here, and what their senders say of them.

`request` and `answer` are hashes of the newest signed statements about a number (`resend_statement`).
"""

asked_again = Table(
    "asked_again",
    metadata,
    party("recipient", key=True),
    number("stream", key=True),
    small("lane", key=True),
    number("seq", key=True),
    Column("waiting", Boolean, nullable=False),
    number("asked_ms"),
    number("answered_ms"),
    data("request"),
    data("answer"),
    Index("ix_asked_again_waiting", "waiting"),
)
"""Own numbers that a partner says never came, and whether that waits for our answer."""

resend_statement = Table(
    "resend_statement", metadata, data("hash", key=True), party("partner"), number("at_ms"), data("statement")
)
"""Signed requests for what never came, and their answers, given and received: evidence."""

sent_control = Table(
    "sent_control",
    metadata,
    data("item", key=True),
    word("type", length=128),
    data("statement"),
    number("added_ms"),
    number("promised_ms"),
    Index("ix_sent_control_promised_ms", "promised_ms"),
)
"""Control statements that the relay has promised to deliver, for a while: a recipient may ask for them again."""

# -- decisions ---------------------------------------------------------------------------------------------------------

decision = Table(
    "decision",
    metadata,
    number("number", key=True),
    data("item"),
    word("stage", length=16),
    number("at_ms"),
    number("directory_size"),
    data("sealed"),
    Index("ix_decision_item", "item"),
    Index("ix_decision_stage", "stage", "at_ms"),
)
"""Decisions that counted, each row sealed under its item's own key (nodes/decisions.py)."""

# -- witnesses ---------------------------------------------------------------------------------------------------------

cosigned_head = Table(
    "cosigned_head",
    metadata,
    small("log", key=True),
    number("size"),
    data("root"),
    text("note"),
    number("at_ms"),
)
"""What this node, as a witness, has cosigned last of each log; written before the cosignature leaves."""

quorum = Table(
    "quorum", metadata, small("log", key=True), number("size"), text("note"), number("quorum_ms"), number("seen_ms")
)
"""The newest checkpoint of each log that a quorum of witnesses has cosigned, and as of when."""

heard_head = Table(
    "heard_head",
    metadata,
    party("party", key=True),
    small("log", key=True),
    number("size"),
    data("root"),
    text("note"),
    number("heard_ms"),
)
"""Heads of the logs that partners have seen and this node has not been able to compare yet, one a partner and log."""

log_evidence = Table(
    "log_evidence",
    metadata,
    data("hash", key=True),
    number("found_ms"),
    word("kind", length=16),
    text("what"),
    text("file"),
)
"""Evidence files against the relay (nodes/log_evidence.py) and against senders (nodes/contradiction.py), by the hash of
their claim. Rows are never deleted."""

# -- envelopes that came, as proof ------------------------------------------------------------------------------------

shown = Table(
    "shown",
    metadata,
    data("envelope", key=True),
    party("sender"),
    data("envelope_id"),
    number("stored_ms"),
    data("header"),
    small("place"),
    data("leaf"),
    data("path"),
    Index("ix_shown_envelope_id", "envelope_id"),
    Index("ix_shown_stored_ms", "stored_ms"),
)
"""Signed header and own slot of each envelope that came, for 90 days: with another one, proof against its sender."""

# -- keys --------------------------------------------------------------------------------------------------------------

provenance = Table(
    "provenance",
    metadata,
    data("item", key=True),
    data("statement_key"),
    data("envelope_key"),
    number("received_ms"),
    number("reviewed_ms"),
    Index("ix_provenance_statement_key", "statement_key", "received_ms"),
    Index("ix_provenance_envelope_key", "envelope_key", "received_ms"),
)
"""Which keys signed each version and the header that it came under, when the relay logged it (an own one: when it was
signed), and when a person has looked at it because such a key was stolen."""

stream_reset = Table(
    "stream_reset",
    metadata,
    party("sender", key=True),
    number("stream"),
    number("log_index"),
    number("at_ms"),
    data("statement"),
)
"""The newest stream reset of each sender: lower streams are over from there on in the relay's log."""

stream_told = Table("stream_told", metadata, party("partner", key=True), number("stream"))
"""Which of this node's streams each partner was told of, after a restore."""

# -- attachments -------------------------------------------------------------------------------------------------------

blob = Table(
    "blob",
    metadata,
    data("file", key=True),
    data("item"),
    small("place"),
    word("way", length=8),
    party("sender"),
    data("blob_id"),
    data("sha256"),
    number("size"),
    number("done"),
    word("state", length=16),
    text("why"),
    Column("tries", Integer, nullable=False),
    number("due_ms"),
    small("lane"),
    number("added_ms"),
    data("sealed_key"),
    Index("ix_blob_item", "item"),
    Index("ix_blob_state", "way", "state"),
)
"""Sealed files of reports, made here (`out`) or fetched from the relay (`in`); `file` names the file on this disk.

`place` is which of the report's attachments it is. The blob's key is sealed under the report's own key; name, type and
size of the plain file stand in the report's statement alone.
"""

blob_wanted = Table("blob_wanted", metadata, data("item", key=True), number("since_ms"))
"""Reports of which somebody is permitted to get the next copy as soon as the relay has their files."""
