"""Partners for whom a report was ever sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table, with those whom a report has reached so far."""
    op.create_table(
        "reached",
        sa.Column("recipient", sa.String(length=64), nullable=False),
        sa.Column("first_ms", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("recipient", name="pk_reached"),
    )
    op.execute(
        "INSERT INTO reached (recipient, first_ms)"
        " SELECT slot.recipient, MIN(report.stored_ms) FROM slot JOIN report ON report.item = slot.item"
        " GROUP BY slot.recipient"
    )
