# SPDX-License-Identifier: Apache-2.0
"""Keeps the slice of every sealing of a message that was answered, not of the first alone."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "resealed",
        sa.Column("envelope_id", sa.LargeBinary(), nullable=False),
        sa.Column("incoming_position", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed_slice", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("envelope_id", name=op.f("pk_resealed")),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("resealed")
