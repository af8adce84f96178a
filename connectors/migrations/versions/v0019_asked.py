# SPDX-License-Identifier: Apache-2.0
"""What is missing is asked for: how often it was, and which of our messages others asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the column."""
    op.create_table(
        "asked",
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("sender_desk", sa.Text(), nullable=False),
        sa.Column("recipient_desk", sa.Text(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("thread", "sender_desk", "recipient_desk", name=op.f("pk_asked")),
    )
    op.add_column("recipient", sa.Column("asked_at", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("recipient", "asked_at")
    op.drop_table("asked")
