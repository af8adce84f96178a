# SPDX-License-Identifier: Apache-2.0
"""Which case each thread belongs to; the connector fills it from the stored messages when it starts."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "case_thread",
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("case_id", sa.LargeBinary(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("own_person", sa.LargeBinary(), nullable=True),
        sa.Column("other_person", sa.LargeBinary(), nullable=True),
        sa.Column("number", sa.LargeBinary(), nullable=True),
        sa.Column("link", sa.LargeBinary(), nullable=True),
        sa.Column("ours", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("thread", name=op.f("pk_case_thread")),
    )
    for column in ("case_id", "own_person", "other_person", "number", "link"):
        op.create_index(f"ix_case_thread_{column}", "case_thread", [column], unique=False)
    op.create_table(
        "case_name",
        sa.Column("case_id", sa.LargeBinary(), nullable=False),
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_case_name")),
    )


def downgrade() -> None:
    """Drop the tables; all of it follows from the messages, which stay."""
    for name in ("case_name", "case_thread"):
        op.drop_table(name)
