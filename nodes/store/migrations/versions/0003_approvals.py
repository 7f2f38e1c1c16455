"""Sharing rules: what waits for the directory or for approvals, who wrote what and who approved it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables of authors and approvals, and a column: what waits is decided on again on a change."""
    op.create_table(
        "authorship",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("item", name="pk_authorship"),
    )
    op.create_table(
        "approval",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("operator", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("stored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("item", "operator", name="pk_approval"),
    )
    with op.batch_alter_table("audience") as audience:
        audience.add_column(sa.Column("on_change", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("audience") as audience:
        audience.alter_column("on_change", server_default=None)
