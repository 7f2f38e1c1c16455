"""The node store's metadata and its kinds of columns, the same on SQLite and PostgreSQL."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, SmallInteger, String, Text

from exchange.names import PARTY_MAX

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(column_0_label)s",
    }
)


NUMBER = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite makes a single key of this type the row's own number."""


def number(name: str, *, key: bool = False) -> Column[int]:
    """Return a column of whole numbers up to 2^63; times in milliseconds too."""
    return Column(name, NUMBER, primary_key=key, autoincrement=False, nullable=False)


def small(name: str, *, key: bool = False) -> Column[int]:
    """Return a column of small whole numbers."""
    return Column(name, SmallInteger, primary_key=key, autoincrement=False, nullable=False)


def data(name: str, *, key: bool = False) -> Column[bytes]:
    """Return a column of bytes."""
    return Column(name, LargeBinary, primary_key=key, nullable=False)


def party(name: str, *, key: bool = False) -> Column[str]:
    """Return a column of partners' ids."""
    return Column(name, String(PARTY_MAX), primary_key=key, nullable=False)


def word(name: str, *, key: bool = False, length: int = 64) -> Column[str]:
    """Return a column of short text."""
    return Column(name, String(length), primary_key=key, nullable=False)


def text(name: str) -> Column[str]:
    """Return a column of text."""
    return Column(name, Text, nullable=False)
