"""How many bytes of each sender wait, counted in the transaction that stores or deletes them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

COUNT = """
INSERT INTO held_bytes (sender, bytes)
SELECT a.sender, SUM(LENGTH(e.header) + LENGTH(e.body) + COALESCE(s.bytes, 0))
FROM accepted a
JOIN envelope e ON e.id = a.id
LEFT JOIN (SELECT envelope, SUM(LENGTH(data)) AS bytes FROM slots GROUP BY envelope) s ON s.envelope = a.id
GROUP BY a.sender
"""


def upgrade() -> None:
    """Add the table, and count what is there."""
    op.create_table(
        "held_bytes",
        sa.Column("sender", sa.String(length=64), nullable=False),
        sa.Column("bytes", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("sender", name="pk_held_bytes"),
    )
    op.execute(COUNT)
