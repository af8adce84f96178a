# SPDX-License-Identifier: Apache-2.0
"""Every thread that is not over is looked at once: clocks run in states where there were none, and on both sides."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let time look at each at the next start; its row and its clocks are made anew then."""
    op.execute(
        "INSERT INTO timer (message_id, thread, at, event) "
        "SELECT thread, thread, 0, 'look' FROM thread WHERE live = 1 AND side <> 'observer' "
        "AND NOT EXISTS (SELECT 1 FROM timer AS known WHERE known.message_id = thread.thread)"
    )


def downgrade() -> None:
    """Leave it: a look changes nothing."""
