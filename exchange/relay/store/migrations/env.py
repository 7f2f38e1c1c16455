"""Where Alembic begins."""

from exchange.relay.store.tables import metadata
from exchange.runtime.migrate import migrate_here

migrate_here(metadata)
