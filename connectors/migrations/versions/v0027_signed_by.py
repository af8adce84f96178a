# SPDX-License-Identifier: Apache-2.0
"""The quarantine knows whose signature stands on an item, so that rubbish pushes out no evidence."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column; these two were only ever said of what its sender's signatures had been verified of."""
    op.add_column("quarantine", sa.Column("signed_by", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE quarantine SET signed_by = 2 WHERE code IN ('sequence-error', 'too-many-held')")


def downgrade() -> None:
    """Drop it."""
    op.drop_column("quarantine", "signed_by")
