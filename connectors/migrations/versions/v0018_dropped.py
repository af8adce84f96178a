# SPDX-License-Identifier: Apache-2.0
"""Files of the drop folder that were begun and are not put aside yet: their answers are kept so long."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "dropped",
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_dropped"),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("dropped")
