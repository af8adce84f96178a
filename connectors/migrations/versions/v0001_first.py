# SPDX-License-Identifier: Apache-2.0
"""The first form of the store."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "incoming",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sender_desk", sa.Text(), nullable=False),
        sa.Column("recipient_desk", sa.Text(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("klass", sa.Integer(), nullable=False),
        sa.Column("payload_type", sa.Text(), nullable=False),
        sa.Column("envelope_id", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_slice", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_incoming")),
        sa.UniqueConstraint("message_id", "sender_desk", "recipient_desk", name=op.f("uq_incoming_message_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incoming_thread", "incoming", ["thread", "sender_desk", "recipient_desk", "seq"], unique=False)
    op.create_table(
        "mailbox",
        sa.Column("device_id", sa.LargeBinary(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_mailbox")),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "outgoing",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("klass", sa.Integer(), nullable=False),
        sa.Column("payload_type", sa.Text(), nullable=False),
        sa.Column("sender_desk", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_outgoing")),
        sa.UniqueConstraint("message_id", name=op.f("uq_outgoing_message_id")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "prekey",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("logged_at", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_prekey")),
    )
    op.create_table(
        "quarantine",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("item_index", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("sender_desk", sa.Text(), nullable=True),
        sa.Column("envelope_id", sa.LargeBinary(), nullable=True),
        sa.Column("message_id", sa.LargeBinary(), nullable=True),
        sa.Column("reported", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_quarantine")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_quarantine_fingerprint")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "replay",
        sa.Column("envelope_id", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("envelope_id", name=op.f("pk_replay")),
    )
    op.create_table(
        "request",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_request")),
    )
    op.create_table(
        "sequence",
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("thread", sa.LargeBinary(), nullable=False),
        sa.Column("sender_desk", sa.Text(), nullable=False),
        sa.Column("recipient_desk", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_message_id", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint(
            "direction", "thread", "sender_desk", "recipient_desk", "lane", name=op.f("pk_sequence")
        ),
    )
    op.create_table(
        "statement",
        sa.Column("idx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("idx", name=op.f("pk_statement")),
    )
    op.create_table(
        "attempt",
        sa.Column("envelope_id", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("sealed_bytes", sa.LargeBinary(), nullable=True),
        sa.Column("sealed_receipt", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["outgoing.message_id"], name=op.f("fk_attempt_outgoing")),
        sa.PrimaryKeyConstraint("envelope_id", name=op.f("pk_attempt")),
    )
    op.create_index("ix_attempt_digest", "attempt", ["digest"], unique=False)
    op.create_index("ix_attempt_state", "attempt", ["state", "next_try_at"], unique=False)
    op.create_table(
        "recipient",
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("seals", sa.Integer(), nullable=False),
        sa.Column("complaints", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.Column("envelope_id", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["outgoing.message_id"], name=op.f("fk_recipient_outgoing")),
        sa.PrimaryKeyConstraint("message_id", "desk", name=op.f("pk_recipient")),
    )
    op.create_index("ix_recipient_state", "recipient", ["state", "next_try_at"], unique=False)
    op.create_table(
        "attempt_row",
        sa.Column("envelope_id", sa.LargeBinary(), nullable=False),
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("device_id", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["envelope_id"], ["attempt.envelope_id"], name=op.f("fk_attempt_row_attempt")),
        sa.PrimaryKeyConstraint("envelope_id", "desk", name=op.f("pk_attempt_row")),
    )


def downgrade() -> None:
    """Drop every table."""
    op.drop_table("attempt_row")
    op.drop_table("recipient")
    op.drop_table("attempt")
    op.drop_table("statement")
    op.drop_table("sequence")
    op.drop_table("request")
    op.drop_table("replay")
    op.drop_table("quarantine")
    op.drop_table("prekey")
    op.drop_table("outgoing")
    op.drop_table("meta")
    op.drop_table("mailbox")
    op.drop_table("incoming")
