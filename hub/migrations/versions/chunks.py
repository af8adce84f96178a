# SPDX-License-Identifier: Apache-2.0
"""Chunks of attachments, where several hub processes share the database."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "blob_chunk",
        sa.Column("sender_device", sa.LargeBinary(), nullable=False),
        sa.Column("blob_id", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sender_device", "blob_id"],
            ["blob.sender_device", "blob.blob_id"],
            name="fk_blob_chunk_sender_device",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sender_device", "blob_id", "place", name="pk_blob_chunk"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("blob_chunk")
