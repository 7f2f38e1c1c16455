"""When each sensor was last given the CAs that it is to pin."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column: until now a sensor was given the first CA alone."""
    with op.batch_alter_table("sensor") as table:
        table.add_column(sa.Column("ca_ms", NUMBER, nullable=False, server_default="0"))
    with op.batch_alter_table("sensor") as table:
        table.alter_column("ca_ms", server_default=None)
