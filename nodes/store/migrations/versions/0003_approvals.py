"""Sharing rules: what waits for the directory or for approvals, and who wrote what."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of authors, and a column: what waits is decided on again as soon as something changes."""
    op.create_table(
        "authorship",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("item", name="pk_authorship"),
    )
    with op.batch_alter_table("audience") as audience:
        audience.add_column(sa.Column("on_change", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("audience") as audience:
        audience.alter_column("on_change", server_default=None)
