# SPDX-License-Identifier: Apache-2.0
"""Each sealing knows whether a try to send it was ever begun; those of before count as tried, for nobody knows."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column."""
    op.add_column("attempt", sa.Column("here_only", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("attempt", "here_only")
