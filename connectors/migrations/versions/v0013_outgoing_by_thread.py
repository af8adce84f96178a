# SPDX-License-Identifier: Apache-2.0
"""Our messages are found by their thread too: each message that comes asks to whom we wrote there."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_outgoing_thread", "outgoing", ["thread", "payload_type"], unique=False)


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_outgoing_thread", "outgoing")
