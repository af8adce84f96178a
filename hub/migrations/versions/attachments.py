# SPDX-License-Identifier: Apache-2.0
"""Attachments: what is uploaded, and which row of which envelope names it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "blob",
        sa.Column("sender_device", sa.LargeBinary(), nullable=False),
        sa.Column("blob_id", sa.LargeBinary(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("size", NUMBER, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("received", NUMBER, nullable=False),
        sa.Column("complete", sa.SmallInteger(), nullable=False),
        sa.Column("expires", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("sender_device", "blob_id", name="pk_blob"),
    )
    op.create_index("ix_blob_agency", "blob", ["agency"])
    op.create_index("ix_blob_expires", "blob", ["expires"])
    op.create_table(
        "blob_row",
        sa.Column("device_id", sa.LargeBinary(), nullable=False),
        sa.Column("idx", NUMBER, autoincrement=False, nullable=False),
        sa.Column("blob_id", sa.LargeBinary(), nullable=False),
        sa.Column("sender_device", sa.LargeBinary(), nullable=False),
        sa.Column("expires", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "idx", "blob_id", name="pk_blob_row"),
    )
    op.create_index("ix_blob_row_expires", "blob_row", ["expires"])
    op.create_index("ix_blob_row_sender_device", "blob_row", ["sender_device", "blob_id"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("blob_row")
    op.drop_table("blob")
