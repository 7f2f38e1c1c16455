"""Where Alembic begins."""

from exchange.runtime.migrate import migrate_here
from nodes.store import rule_tables, tables
from nodes.store.columns import metadata

__all__ = ["rule_tables", "tables"]  # the modules that fill the metadata

migrate_here(metadata)
