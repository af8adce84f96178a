# SPDX-License-Identifier: Apache-2.0
"""Finds the recipient of an envelope that the hub accepted without walking through all recipients there ever were."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_recipient_envelope_id", "recipient", ["envelope_id"], unique=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_recipient_envelope_id", table_name="recipient")
