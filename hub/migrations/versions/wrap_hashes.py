# SPDX-License-Identifier: Apache-2.0
"""The hash of each wrap of an envelope, so that a check covers those that still wait when others are collected."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; envelopes that are there already have none."""
    op.add_column("envelope", sa.Column("wrap_hashes", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    # Not in a batch, which would make the table anew: rows of others point to it.
    op.drop_column("envelope", "wrap_hashes")
