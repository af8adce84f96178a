# SPDX-License-Identifier: Apache-2.0
"""What will not come any more: places of lines that are passed, and moves of ours that have no force."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

OVER = (
    "UPDATE recipient SET told_at = 0 WHERE state IN ('failed', 'expired') AND message_id NOT IN ("
    "SELECT message_id FROM outgoing JOIN thread ON thread.thread = outgoing.thread WHERE thread.live = 1)"
)
"""What was given up in threads that are over stays as it is: a desk that lacks it still asks (SEQ-10)."""
_UNTOLD = "told_at IS NULL AND state IN ('failed', 'expired')"


def upgrade() -> None:
    """Make the table, the columns and the index."""
    op.create_table(
        "lost",
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("sender_desk", sa.Text(), nullable=False),
        sa.Column("recipient_desk", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=True),
        sa.Column("alone", sa.Integer(), nullable=False),
        sa.Column("said_at", sa.BigInteger(), nullable=False),
        sa.Column("passed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("thread", "sender_desk", "recipient_desk", "seq", name=op.f("pk_lost")),
    )
    op.create_index("ix_lost_waiting", "lost", ["thread"], unique=False, sqlite_where=sa.text("passed_at IS NULL"))
    line = ["thread", "sender_desk", "recipient_desk", "seq"]
    op.create_index("ix_incoming_waiting", "incoming", line, unique=False, sqlite_where=sa.text("state = 'held'"))
    op.add_column("recipient", sa.Column("told_at", sa.BigInteger(), nullable=True))
    op.execute(OVER)
    op.create_index("ix_recipient_untold", "recipient", ["state"], unique=False, sqlite_where=sa.text(_UNTOLD))
    op.add_column("move", sa.Column("given_up", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("move", "given_up")
    op.drop_index("ix_recipient_untold", "recipient")
    op.drop_column("recipient", "told_at")
    op.drop_index("ix_incoming_waiting", "incoming")
    op.drop_index("ix_lost_waiting", "lost")
    op.drop_table("lost")
