# SPDX-License-Identifier: Apache-2.0
"""Every thread that is not over is looked at once: there are alerts of which the program before knew nothing."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let time look at each at the next start; its row, its clocks and its events are made anew then."""
    op.execute(
        "INSERT INTO timer (message_id, thread, at, event) "
        "SELECT thread, thread, 0, 'look' FROM thread WHERE live = 1 AND side <> 'observer' "
        "ON CONFLICT (message_id) DO UPDATE SET at = 0"
    )


def downgrade() -> None:
    """Leave it: a look changes nothing."""
