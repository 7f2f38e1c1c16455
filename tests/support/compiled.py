"""Statements for SQLite, compiled once for a session: each node of a test has engines of its own, which compile anew.

SQLAlchemy keeps what a statement compiled to under its engine's dialect. All engines for SQLite get one place to keep
it, and their dialects, which are made alike, count as one.
"""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

KEPT = 5_000
"""Statements that are kept."""


def share(patch: pytest.MonkeyPatch) -> None:
    """Let all engines that are made while `patch` holds share what they compile."""
    make, kept = sa.create_engine, LRUCache[Any, Any](KEPT)

    def create_engine(url: sa.URL | str, **options: Any) -> sa.Engine:
        """Be sqlalchemy.create_engine. Any: as there."""
        engine = make(url, **options)
        if type(engine.dialect) is not SQLiteDialect_pysqlite:
            return engine
        engine.update_execution_options(compiled_cache=kept)
        return engine

    patch.setattr(sa, "create_engine", create_engine)
    patch.setattr(SQLiteDialect_pysqlite, "__eq__", lambda self, other: type(self) is type(other), raising=False)
    patch.setattr(SQLiteDialect_pysqlite, "__hash__", lambda self: hash(type(self)), raising=False)
