# SPDX-License-Identifier: Apache-2.0
"""Messages that somebody has to note or to answer; of those of before, the alerts of the last thirty days."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_RECENT = "(CAST(strftime('%s', 'now') AS INTEGER) - 30 * 86400) * 1000"
_KINDS = "('alert.risk', 'alert.safeguarding')"


def upgrade() -> None:
    """Make the table; a row is only a reason to look, so what was noted long ago goes out of it by itself."""
    op.create_table(
        "awaited",
        sa.Column("ours", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("look_at", sa.BigInteger(), nullable=True),
        sa.Column("told_until", sa.BigInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("ours", "position", "desk", name=op.f("pk_awaited")),
    )
    for column in ("message_id", "thread", "look_at"):
        op.create_index(op.f(f"ix_awaited_{column}"), "awaited", [column])
    op.execute(
        "INSERT INTO awaited (ours, position, desk, message_id, thread, look_at) "  # noqa: S608 - names of this file
        "SELECT 1, o.position, r.desk, o.message_id, o.thread, 0 FROM outgoing AS o "
        "JOIN recipient AS r ON r.message_id = o.message_id "
        f"WHERE o.payload_type IN {_KINDS} AND o.created_at > {_RECENT}"
    )
    op.execute(
        "INSERT INTO awaited (ours, position, desk, message_id, thread, look_at) "  # noqa: S608 - as above
        "SELECT 0, position, recipient_desk, message_id, thread, 0 FROM incoming "
        f"WHERE payload_type IN {_KINDS} AND accepted_at > {_RECENT}"
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("awaited")
