# SPDX-License-Identifier: Apache-2.0
"""Restorations: when this hub was restored from a backup, and which generation of its logs began then."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "restoration",
        sa.Column("at", NUMBER, nullable=False, autoincrement=False),
        sa.Column("backup_at", NUMBER, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("directory_size", NUMBER, nullable=False),
        sa.Column("audit_size", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("at", name="pk_restoration"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("restoration")
