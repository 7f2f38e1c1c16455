"""What each party has used up of its rates and daily quotas, counted for all processes on one database."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "spent",
        sa.Column("party", sa.String(length=64), nullable=False),
        sa.Column("what", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("full_us", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("party", "what", name="pk_spent"),
        sqlite_with_rowid=False,
    )
