"""Bring a store to this version's schema, with numbered Alembic migrations that come with the program.

`package` names the folder of the migrations: it holds env.py and versions/NNNN_what.py. There is no alembic.ini. All
of env.py is

    from exchange.relay.store.tables import metadata
    from exchange.runtime.migrate import migrate_here

    migrate_here(metadata)

Everything that is missing runs in one transaction: a migration that fails leaves the store as it was. A store that a
newer version wrote is refused, untouched.
"""

import importlib.util
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command, context
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from exchange.errors import ConfigurationError, StoreTooNew
from exchange.runtime.engine import Use, make_engine, our_errors


def upgrade(url: str, package: str) -> None:
    """Run the migrations that the store at `url` lacks; nobody else may be using it (HomeLock, or one relay).

    Raises:
        StoreTooNew: the store has a revision that this version does not know.
        ConfigurationError: no migrations in `package`, or the migrated store breaks its own references.
        Unavailable: the database cannot be used now.
    """
    config = _config(package)
    engine = make_engine(url, Use.MIGRATE)
    try:
        with our_errors(), engine.connect() as connection, connection.begin():
            _refuse_newer(connection, config)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            _check_references(connection)
    finally:
        engine.dispose()


def examine(url: str, package: str) -> bool:
    """Say whether the store at `url` is of this version; an older one is brought to it by the next `upgrade`.

    Nothing is changed, and others may be using it.

    Raises:
        StoreTooNew: the store has a revision that this version does not know.
        ConfigurationError: no migrations in `package`, or the database is damaged.
        Unavailable: the database cannot be used now.
    """
    config = _config(package)
    engine = make_engine(url, Use.READ)
    try:
        with our_errors(), engine.connect() as connection:
            _refuse_damaged(connection)
            _refuse_newer(connection, config)
            heads = set(MigrationContext.configure(connection).get_current_heads())
    finally:
        engine.dispose()
    return heads == set(ScriptDirectory.from_config(config).get_heads())


def refuse_damaged(url: str) -> None:
    """Return when SQLite finds no damage in the database at `url`; ConfigurationError otherwise."""
    engine = make_engine(url, Use.READ)
    try:
        with our_errors(), engine.connect() as connection:
            _refuse_damaged(connection)
    finally:
        engine.dispose()


def migrate_here(metadata: sa.MetaData) -> None:
    """Be the body of a migrations/env.py: run on the connection that `upgrade` opened."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        # SQLite changes a table by rebuilding it.
        render_as_batch=True,
        transactional_ddl=True,
    )
    context.run_migrations()


def differences(url: str, metadata: sa.MetaData) -> list[Any]:
    """Return how the store at `url` differs from `metadata`, for the test that migrations and tables agree.

    Any: Alembic gives tuples of many shapes; an empty list means that nothing differs.
    """
    engine = make_engine(url, Use.MIGRATE)
    try:
        with our_errors(), engine.connect() as connection:
            return list(compare_metadata(MigrationContext.configure(connection), metadata))
    finally:
        engine.dispose()


def _config(package: str) -> Config:
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    places = list(found.submodule_search_locations or ()) if found else []
    if not places or not (Path(places[0]) / "env.py").is_file():
        raise ConfigurationError(f"no migrations in {package}", hint="install the program anew")
    config = Config()
    config.set_main_option("script_location", places[0].replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _refuse_newer(connection: sa.Connection, config: Config) -> None:
    script = ScriptDirectory.from_config(config)
    for revision in MigrationContext.configure(connection).get_current_heads():
        try:
            known = script.get_revision(revision)
        except CommandError:
            known = None
        if known is None or known.revision != revision:
            raise StoreTooNew(
                f"the store is at revision {revision}, which this version does not know",
                hint="install the newer version that wrote it, or restore a backup from before",
            )


def _refuse_damaged(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        (found,) = connection.exec_driver_sql("PRAGMA quick_check(1)").one()
        if found != "ok":
            raise ConfigurationError("the database file is damaged", hint="stop, keep a copy of it, restore a backup")


def _check_references(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise ConfigurationError("the migrated store has references to rows that are not there", hint="report it")
