# SPDX-License-Identifier: Apache-2.0
"""Attachments: what goes out, and what is fetched."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "attachment_out",
        sa.Column("blob_id", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=True),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("blob_id", name=op.f("pk_attachment_out")),
    )
    op.create_index("ix_attachment_out_message_id", "attachment_out", ["message_id"], unique=False)
    op.create_table(
        "attachment_in",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("sender_desk", sa.Text(), nullable=False),
        sa.Column("recipient_desk", sa.Text(), nullable=False),
        sa.Column("section", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("envelope_id", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("blob_id", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_attachment_in")),
        sa.UniqueConstraint(
            "message_id",
            "sender_desk",
            "recipient_desk",
            "section",
            "place",
            name=op.f("uq_attachment_in_message_id"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_attachment_in_state", "attachment_in", ["state", "next_try_at"], unique=False)


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("attachment_in")
    op.drop_table("attachment_out")
