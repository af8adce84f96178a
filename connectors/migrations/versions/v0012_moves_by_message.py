# SPDX-License-Identifier: Apache-2.0
"""A move is found by its message too: each receipt asks whose it is."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_move_message_id", "move", ["message_id"], unique=False)


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_move_message_id", "move")
