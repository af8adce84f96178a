# SPDX-License-Identifier: Apache-2.0
"""The logs as this process knows them, so that it never builds on a history other than its own (AUD-8).

Another hub process may have appended meanwhile, which is fine; a database that was put back to an older state
while the hub ran, say by moving over to a replica that lagged behind, is not.
"""

from collections.abc import Mapping

from sqlalchemy import Connection

from hub.store import trees
from hub.store.trees import Log, Tree
from protocol.errors import StoreBehind
from protocol.tree import CompactRange

_OTHER = "The database is not the one that this hub has written to. Stop the hub and ask `throughcare-hub doctor`."


class Followed:
    """The newest state of each log that this process has written or verified."""

    def __init__(self) -> None:
        self._states: dict[Log, CompactRange] = {log: CompactRange() for log in Log}
        self._least = dict.fromkeys(Log, 0)

    def start(self, connection: Connection) -> None:
        """Take over what is stored, after it was compared with the guard (AUD-4)."""
        self._states.update(trees.stored_states(connection))

    def expect(self, log: Log, size: int) -> None:
        """Note that `log` has `size` leaves, which this process may show to others before it has hashed them itself."""
        self._least[log] = max(self._least[log], size)

    def check(self, connection: Connection, stored: Mapping[Log, Tree]) -> None:
        """Compare the locked trees with those known here, and take in what other processes appended.

        Raises StoreBehind when leaves are gone or others than before; nothing may be signed on such a database.
        """
        for log, tree in stored.items():
            known = self._states[log]
            if tree.state.size > known.size:
                known = known.copy()
                for hashed in trees.hashes_from(connection, log, known.size):
                    known.append(hashed)
            # Equal states are equal trees, and comparing them costs less than two roots.
            if known.encode() != tree.state.encode() or tree.state.size < self._least[log]:
                raise StoreBehind(_OTHER)
            self._states[log] = known

    def committed(self, stored: Mapping[Log, Tree]) -> None:
        """Take over what this process itself has committed."""
        for log, tree in stored.items():
            self._states[log] = tree.state
