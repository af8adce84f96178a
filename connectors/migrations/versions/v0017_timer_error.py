# SPDX-License-Identifier: Apache-2.0
"""A thread to which time could not do what was due is looked at later, and its clock says why."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("timer", sa.Column("error", sa.Text()))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("timer", "error")
