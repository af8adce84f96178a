# SPDX-License-Identifier: Apache-2.0
"""The public key that each log was begun with."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; the next start fills it."""
    op.create_table(
        "log_key",
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", name="pk_log_key"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("log_key")
