# SPDX-License-Identifier: Apache-2.0
"""Records that were asked for and preparations that were begun in the last half-year are waited for like later ones."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_RECENT = "(CAST(strftime('%s', 'now') AS INTEGER) - 180 * 86400) * 1000"
_KINDS = "('record.request', 'prerelease.start')"
_INTO = "INSERT INTO awaited (ours, position, desk, message_id, thread, look_at) "


def upgrade() -> None:
    """Note them; a row is only a reason to look, so what was answered goes out of it by itself."""
    op.execute(
        _INTO + "SELECT 1, o.position, r.desk, o.message_id, o.thread, 0 FROM outgoing AS o "  # noqa: S608 - names of this file
        "JOIN recipient AS r ON r.message_id = o.message_id "
        f"WHERE o.payload_type IN {_KINDS} AND o.created_at > {_RECENT} ON CONFLICT DO NOTHING"
    )
    op.execute(
        _INTO + "SELECT 0, position, recipient_desk, message_id, thread, 0 FROM incoming "  # noqa: S608 - as above
        f"WHERE payload_type IN {_KINDS} AND accepted_at > {_RECENT} ON CONFLICT DO NOTHING"
    )


def downgrade() -> None:
    """Leave it: a look changes nothing."""
