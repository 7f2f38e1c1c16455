"""Accessions and notices."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "agreement_change",
        sa.Column("number", NUMBER, autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("change", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_agreement_change"),
        sa.UniqueConstraint("hash", name="uq_agreement_change_hash"),
    )
    op.create_index("ix_agreement_change_commitment", "agreement_change", ["commitment", "number"])
