# SPDX-License-Identifier: Apache-2.0
"""Each sealing keeps what it held for each desk, and whether that desk opened it."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

ONLY_ONE = """
UPDATE attempt_row SET taken_in = 1, opened_at = (
    SELECT recipient.opened_at FROM recipient
    WHERE recipient.envelope_id = attempt_row.envelope_id AND recipient.desk = attempt_row.desk
) WHERE EXISTS (
    SELECT 1 FROM recipient
    WHERE recipient.envelope_id = attempt_row.envelope_id AND recipient.desk = attempt_row.desk
        AND recipient.opened_at IS NOT NULL AND recipient.seals = 1
)
"""
"""Which sealing a desk opened is known for certain where there was never another; for the others A1 did not keep it."""


def upgrade() -> None:
    """Make the columns, and fill in what is certain."""
    op.add_column("attempt_row", sa.Column("sealed", sa.LargeBinary(), nullable=True))
    op.add_column("attempt_row", sa.Column("opened_at", sa.BigInteger(), nullable=True))
    op.add_column("attempt_row", sa.Column("taken_in", sa.Integer(), nullable=False, server_default="0"))
    op.create_index("ix_attempt_message_id", "attempt", ["message_id"], unique=False)
    op.add_column("recipient", sa.Column("opened_again_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE recipient SET opened_again_at = opened_at")
    op.execute(ONLY_ONE)


def downgrade() -> None:
    """Drop them."""
    op.drop_column("recipient", "opened_again_at")
    op.drop_index("ix_attempt_message_id", "attempt")
    op.drop_column("attempt_row", "taken_in")
    op.drop_column("attempt_row", "opened_at")
    op.drop_column("attempt_row", "sealed")
