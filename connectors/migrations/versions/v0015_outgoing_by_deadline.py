# SPDX-License-Identifier: Apache-2.0
"""Our messages are found by their deadline: whoever seals looks for those that nobody opened in time."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_outgoing_deadline", "outgoing", ["deadline"], unique=False)


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_outgoing_deadline", "outgoing")
