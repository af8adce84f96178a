# SPDX-License-Identifier: Apache-2.0
"""The database's form, step by step (Alembic). `throughcare-hub run` brings it up to date before it serves."""

from importlib.resources import files

from sqlalchemy import Connection, inspect, select, table
from sqlalchemy.sql import column

from protocol.errors import StoreBehind

NEWEST = "0008"
"""The newest revision; a test holds it equal to the newest file in `versions`."""

_VERSION = table("alembic_version", column("version_num"))


def revision_of(connection: Connection) -> str | None:
    """Return the database's revision, or None for an empty database."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    found: str | None = connection.execute(select(_VERSION.c.version_num)).scalar()
    return found


def migrate(connection: Connection) -> bool:
    """Bring the database to the newest revision inside the caller's transaction; tell whether anything was done.

    Raises StoreBehind for a database made by a newer program: this one could damage it.
    """
    current = revision_of(connection)
    if current == NEWEST:
        return False
    if current is not None and current > NEWEST:
        raise StoreBehind("The database was made by a newer version of Throughcare. Install that version or newer.")
    move(connection, NEWEST)
    return True


def move(connection: Connection, revision: str) -> None:
    """Move the database up or down to `revision` ("base" for no tables at all)."""
    # Alembic takes a third of a second to import and is needed once per release.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(files(__name__)))
    config.attributes["connection"] = connection
    current = revision_of(connection) or ""
    if revision == "base" or revision < current:
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)
