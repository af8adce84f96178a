# SPDX-License-Identifier: Apache-2.0
"""Which message corrects which; those of before are noted at the next start, for nothing is opened here."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "correction",
        sa.Column("corrects", sa.LargeBinary(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("sender_desk", sa.Text(), nullable=False),
        sa.Column("own_desk", sa.Text(), nullable=False),
        sa.Column("ours", sa.Integer(), nullable=False),
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "corrects", "agency", "message_id", "sender_desk", "own_desk", name=op.f("pk_correction")
        ),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("correction")
