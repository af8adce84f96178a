# SPDX-License-Identifier: Apache-2.0
"""Each thread knows every alert that stands in it, so that a newer one beside an older one is told."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column; what stands already is told once more, at the next change of its thread."""
    op.add_column("thread", sa.Column("alerts", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("thread", "alerts")
