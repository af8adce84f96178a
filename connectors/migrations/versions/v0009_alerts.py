# SPDX-License-Identifier: Apache-2.0
"""What somebody must hear of without asking stands in the thread's row."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it is filled when the thread is looked at next."""
    op.add_column("thread", sa.Column("alert", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop the column; alerts follow from the moves."""
    op.drop_column("thread", "alert")
