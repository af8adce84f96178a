# SPDX-License-Identifier: Apache-2.0
"""Drafts of referrals, sealed like everything else."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "draft",
        sa.Column("draft_id", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("thread", sa.LargeBinary(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("draft_id", name=op.f("pk_draft")),
    )
    op.create_index("ix_draft_changed_at", "draft", ["changed_at"], unique=False)


def downgrade() -> None:
    """Drop it; drafts are lost with it."""
    op.drop_table("draft")
