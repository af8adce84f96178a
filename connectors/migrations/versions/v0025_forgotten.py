# SPDX-License-Identifier: Apache-2.0
"""Lines on which a sender does not know all that it said."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "forgotten",
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("sender_desk", sa.Text(), nullable=False),
        sa.Column("recipient_desk", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("thread", "sender_desk", "recipient_desk", name=op.f("pk_forgotten")),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("forgotten")
