# SPDX-License-Identifier: Apache-2.0
"""Whose word the place of a move follows from, and which desks have a new device that lacks what the old one opened."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the columns."""
    op.add_column("move", sa.Column("opened_device", sa.LargeBinary()))
    op.add_column("recipient", sa.Column("new_device", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("recipient", "new_device")
    op.drop_column("move", "opened_device")
