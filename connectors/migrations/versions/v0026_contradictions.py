# SPDX-License-Identifier: Apache-2.0
"""What proves that the hub signed two directories has a table of its own, and stays once it is dismissed."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; what a version before kept as a fact is sealed there, and is moved when the program runs."""
    op.create_table(
        "contradiction",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kept_at", sa.BigInteger(), nullable=False),
        sa.Column("stops", sa.Integer(), nullable=False),
        sa.Column("dismissed_at", sa.BigInteger(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_contradiction")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("contradiction")
