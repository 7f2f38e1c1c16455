"""Sharing rules: communities."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add tables."""
    op.create_table(
        "community_epoch",
        sa.Column("shown", sa.LargeBinary(), nullable=False),
        sa.Column("community", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", NUMBER, autoincrement=False, nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("stored_ms", NUMBER, autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shown", name="pk_community_epoch"),
    )
    op.create_index("ix_community_epoch_community", "community_epoch", ["community", "epoch"], unique=False)
    op.create_table(
        "community_delivery",
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("shown", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("item", name="pk_community_delivery"),
    )
    op.create_table(
        "community_item",
        sa.Column("community", sa.LargeBinary(), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", NUMBER, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("community", "item", name="pk_community_item"),
    )
    op.create_index("ix_community_item_epoch", "community_item", ["community", "epoch"], unique=False)
