# SPDX-License-Identifier: Apache-2.0
"""Threads, their moves, and what time will do to them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "thread",
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("own_desk", sa.Text(), nullable=False),
        sa.Column("peer_desk", sa.Text(), nullable=False),
        sa.Column("begun_by", sa.LargeBinary(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        sa.Column("officer", sa.LargeBinary(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("thread", name=op.f("pk_thread")),
    )
    op.create_index("ix_thread_live", "thread", ["live", "side", "changed_at"], unique=False)
    op.create_index("ix_thread_due", "thread", ["live", "due_at"], unique=False)
    op.create_table(
        "move",
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), nullable=True),
        sa.Column("settled", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("thread", "message_id", name=op.f("pk_move")),
    )
    op.create_table(
        "timer",
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("ack", sa.Text(), nullable=True),
        sa.Column("level", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_timer")),
    )
    op.create_index("ix_timer_at", "timer", ["at"], unique=False)
    op.create_index("ix_timer_thread", "timer", ["thread"], unique=False)


def downgrade() -> None:
    """Drop the tables; the messages themselves stay."""
    for name in ("timer", "move", "thread"):
        op.drop_table(name)
