# SPDX-License-Identifier: Apache-2.0
"""A checksum of the tree that a receipt names, so that none is signed of which the disk has changed a bit."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; entries that are there already have none."""
    op.add_column("detail", sa.Column("tree_check", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("detail", "tree_check")
