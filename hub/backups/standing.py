# SPDX-License-Identifier: Apache-2.0
"""How a backup stands to what its hub has signed since, as far as guard files show (BAK-5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from hub.backups.stream import Facts
from hub.config import GUARD_NAME, HubSettings
from hub.service.guard import Guard, GuardedHead
from hub.service.logcheck import check_log, origins_of
from hub.store.trees import Log
from protocol.errors import ConfigurationError, StoreBehind


@dataclass(frozen=True, slots=True)
class Found:
    """What a backup holds, once all of it was verified."""

    facts: Facts
    heads: dict[Log, GuardedHead]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a backup stands to what the hub signed, as far as guard files show; `known` are the newest heads shown."""

    found: Found
    known: dict[Log, GuardedHead]
    certain: bool
    """Whether the guard shows that nothing newer was ever signed."""


def read_guards(folder: Path, more: Sequence[Path]) -> list[Guard]:
    """Return the guards that survived: one in the data folder and those in `more`."""
    guards = []
    for path in (folder / GUARD_NAME, *more):
        guard = Guard(path)
        guard.read()
        if guard.heads:
            guards.append(guard)
        elif path != folder / GUARD_NAME:
            raise ConfigurationError(f"{path} is no guard file of a hub.")
    return guards


def compare(connection: Connection, found: Found, guards: Sequence[Guard], settings: HubSettings) -> Standing:
    """Compare the backup with what guards know; raises StoreBehind for guards of another history or hub."""
    known = dict(found.heads)
    origins = origins_of(settings)
    for guard in guards:
        if guard.heads.keys() - set(origins.values()):
            raise StoreBehind("A guard file belongs to another hub. Look for this hub's own.")
        for log, origin in origins.items():
            head = guard.heads.get(origin)
            if head is not None and head.size <= found.heads[log].size:
                # It may be an older copy of the guard; but what it knows must be in the backup.
                check_log(connection, log, origin, head)
            elif head is not None and head.size > known[log].size:
                known[log] = head
    alone = settings.store.url is None
    same = all(one.heads[origin].size == found.heads[log].size for one in guards for log, origin in origins.items())
    newer = any(known[log].size > found.heads[log].size for log in origins)
    return Standing(found, known, certain=alone and bool(guards) and same and not newer)
