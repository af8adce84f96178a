# SPDX-License-Identifier: Apache-2.0
"""The stored directory replayed from the pinned root, every signature verified."""

from sqlalchemy import Connection

from hub.config import HubSettings, pinned_root
from hub.store import trees
from hub.store.trees import Log
from keys.directory import Directory
from protocol.errors import StoreBehind, ThroughcareError

_PAGE = 500


def replay(connection: Connection, settings: HubSettings) -> Directory:
    """Return the whole stored directory; raises StoreBehind if it does not follow from the pinned root."""
    directory = Directory(pinned_root(settings), settings.hub.domain)
    try:
        while page := trees.leaves(connection, Log.DIRECTORY, directory.size, _PAGE):
            for raw in page:
                directory.apply(raw)
    except ThroughcareError as error:
        raise StoreBehind(
            "The stored directory does not begin with the pinned root, or holds a statement that is not right. Check "
            "hub.root_fingerprint; if it is right, take another backup."
        ) from error
    return directory
