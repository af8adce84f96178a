# SPDX-License-Identifier: Apache-2.0
"""By which names and numbers a thread is found, as keyed hashes; filled from the stored messages at the next start."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "found_by",
        sa.Column("word", sa.LargeBinary(), nullable=False),
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("word", "thread", name=op.f("pk_found_by")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop the table; all of it follows from the messages, which stay."""
    op.drop_table("found_by")
