"""Tables of node.db for the sharing rules: operators, approvals, communities, consent, notices, decisions.

What stands in clear here is listed in docs/spec/node-store.md.
"""

from sqlalchemy import Boolean, Column, Index, Table

from nodes.store.columns import data, metadata, number, small, word

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
