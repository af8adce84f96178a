# SPDX-License-Identifier: Apache-2.0
"""Messages that wait for an earlier one are found by who sent them: how many one agency has is bounded."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index(
        "ix_incoming_held", "incoming", ["sender_desk"], unique=False, sqlite_where=sa.text("state = 'held'")
    )


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_incoming_held", "incoming")
