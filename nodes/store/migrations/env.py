"""Where Alembic begins."""

from exchange.runtime.migrate import migrate_here
from nodes.store.tables import metadata

migrate_here(metadata)
