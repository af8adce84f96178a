# SPDX-License-Identifier: Apache-2.0
"""The stored directory replayed from the pinned root: the one way from rows to a `Directory`."""

from collections.abc import Sequence

from sqlalchemy import Connection

from hub.config import HubSettings, pinned_root
from hub.service.damage import NEXT
from hub.store import trees
from hub.store.trees import Log
from keys.directory import Directory
from protocol.errors import StoreBehind, ThroughcareError

_PAGE = 500


def replay(connection: Connection, settings: HubSettings, *, verified: bool = True) -> Directory:
    """Return the whole stored directory; raises StoreBehind that names the statement that does not follow.

    Signatures were checked before a statement became a leaf. Where it is not shown that the leaves are those of then,
    as in a backup, `verified` is False and they are checked again.
    """
    directory = Directory(pinned_root(settings), settings.hub.domain)
    while page := trees.leaves(connection, Log.DIRECTORY, directory.size, _PAGE):
        take(directory, page, verified=verified)
    return directory


def take(directory: Directory, statements: Sequence[bytes], *, verified: bool = True) -> None:
    """Apply the stored statements that follow those in `directory`; raises as `replay` does."""
    for raw in statements:
        try:
            directory.apply(raw, verified=verified)
        except ThroughcareError as error:
            raise StoreBehind(
                f"Statement {directory.size} of the directory does not follow from the pinned root. Check "
                f"hub.root_fingerprint; if that is right, the statement is damaged. {NEXT}"
            ) from error
