# SPDX-License-Identifier: Apache-2.0
"""The first tables. What is written here never changes: a later form is a later migration."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "tree",
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("size", NUMBER, nullable=False),
        sa.Column("compact", sa.LargeBinary(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("at", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("log", name="pk_tree"),
    )
    op.create_table(
        "leaf",
        sa.Column("log", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("idx", NUMBER, autoincrement=False, nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "idx", name="pk_leaf"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "detail",
        sa.Column("idx", NUMBER, autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.Column("tree_size", NUMBER, nullable=False),
        sa.Column("tree_root", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx", name="pk_detail"),
    )
    op.create_table(
        "envelope",
        sa.Column("idx", NUMBER, autoincrement=False, nullable=False),
        sa.Column("envelope_id", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("sender_sig", sa.LargeBinary(), nullable=False),
        sa.Column("sender_device", sa.LargeBinary(), nullable=False),
        sa.Column("common", sa.LargeBinary(), nullable=False),
        sa.Column("row_hashes", sa.LargeBinary(), nullable=False),
        sa.Column("wraps_hash", sa.LargeBinary(), nullable=False),
        sa.Column("section_hashes", sa.LargeBinary(), nullable=False),
        sa.Column("accepted_at", NUMBER, nullable=False),
        sa.Column("purge_at", NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("idx", name="pk_envelope"),
        sa.UniqueConstraint("envelope_id", name="uq_envelope_envelope_id"),
    )
    op.create_index("ix_envelope_accepted_at", "envelope", ["accepted_at"])
    op.create_index("ix_envelope_purge_at", "envelope", ["purge_at"])
    op.create_table(
        "section",
        sa.Column("idx", NUMBER, autoincrement=False, nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["idx"], ["envelope.idx"], name="fk_section_idx"),
        sa.PrimaryKeyConstraint("idx", "number", name="pk_section"),
    )
    op.create_table(
        "delivery",
        sa.Column("device_id", sa.LargeBinary(), nullable=False),
        sa.Column("idx", NUMBER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("row", sa.LargeBinary(), nullable=True),
        sa.Column("wrap", sa.LargeBinary(), nullable=True),
        sa.Column("sections", NUMBER, nullable=False),
        sa.Column("size", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "idx", name="pk_delivery"),
    )
    op.create_index("ix_delivery_idx", "delivery", ["idx"])
    op.create_table(
        "code",
        sa.Column("code_id", sa.LargeBinary(), nullable=False),
        sa.Column("registration", sa.LargeBinary(), nullable=False),
        sa.Column("expires", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("code_id", name="pk_code"),
    )
    op.create_table(
        "key_request",
        sa.Column("code_id", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["code_id"], ["code.code_id"], name="fk_key_request_code_id"),
        sa.PrimaryKeyConstraint("code_id", name="pk_key_request"),
    )
    op.create_table(
        "nonce",
        sa.Column("device_id", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("expires", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("device_id", "nonce", name="pk_nonce"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_nonce_expires", "nonce", ["expires"])


def downgrade() -> None:
    """Drop the tables, those that refer to others first."""
    for name in ("nonce", "key_request", "code", "delivery", "section", "envelope", "detail", "leaf", "tree"):
        op.drop_table(name)
