# SPDX-License-Identifier: Apache-2.0
"""Each move knows its number on the line between its thread's two desks, and which A1 its place follows from."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

OURS = """
UPDATE move SET seq = (
    SELECT recipient.seq FROM recipient JOIN thread ON thread.peer_desk = recipient.desk
    WHERE recipient.message_id = move.message_id AND thread.thread = move.thread
) WHERE direction = 'out' AND event <> 'receive'
"""
THEIRS = """
UPDATE move SET seq = (
    SELECT incoming.seq FROM incoming
    JOIN thread ON thread.peer_desk = incoming.sender_desk AND thread.own_desk = incoming.recipient_desk
    WHERE incoming.message_id = move.message_id AND thread.thread = move.thread
) WHERE direction = 'in' AND event <> 'receive'
"""


def upgrade() -> None:
    """Make the columns, and fill in the numbers; the automatic receipt stands on no line."""
    op.add_column("move", sa.Column("seq", sa.BigInteger()))
    op.add_column("move", sa.Column("opened_by", sa.BigInteger()))
    op.execute(OURS)
    op.execute(THEIRS)


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("move", "opened_by")
    op.drop_column("move", "seq")
