# SPDX-License-Identifier: Apache-2.0
"""The public keys that the logs were begun with: a hub that signs with others would contradict what it signed."""

from collections.abc import Mapping

from sqlalchemy import Connection, insert, select

from hub.store.tables import log_key
from hub.store.trees import Log
from protocol.errors import StoreBehind


def stored_keys(connection: Connection) -> dict[Log, bytes]:
    """Return the public key that each log was begun with."""
    return {Log(row.log): row.key for row in connection.execute(select(log_key.c.log, log_key.c.key))}


def hold_to_keys(connection: Connection, keys: Mapping[Log, bytes]) -> None:
    """Store the public key (32 bytes) of each log at the first start; raises StoreBehind for others at a later one."""
    known = stored_keys(connection)
    for log, key in keys.items():
        if known.get(log, key) != key:
            raise StoreBehind(
                "The signing keys are not those that this database's logs were signed with. Put back this hub's own "
                "keys, or restore its newest backup, which holds them (`throughcare-hub restore`)."
            )
    if new := [{"log": log, "key": key} for log, key in keys.items() if log not in known]:
        connection.execute(insert(log_key), new)
