# SPDX-License-Identifier: Apache-2.0
"""What an operator is told before and after a restore, in sentences."""

from collections.abc import Iterator

from hub.backups.standing import Found, Standing
from hub.store.trees import Log
from protocol.errors import StoreBehind
from protocol.http.fields import format_time

_NAMES = {Log.DIRECTORY: "directory", Log.AUDIT: "audit log"}


def verified(found: Found) -> Iterator[str]:
    """Yield what a backup was found to hold."""
    yield f"backup of    {found.facts.domain}, as of {format_time(found.facts.made_at)}"
    for log, head in found.heads.items():
        yield f"{_NAMES[log]:<12} {head.size} leaves, all sound"


def transcript(standing: Standing) -> Iterator[str]:
    """Yield what the backup is of, what was signed since, and what the restore will do."""
    yield from verified(standing.found)
    for log, head in standing.found.heads.items():
        newest = standing.known[log].size
        if newest > head.size:
            yield f"signed since {_NAMES[log]}: leaves {head.size} to {newest - 1} are not in this backup"
    if standing.certain:
        yield "The guard file shows that nothing newer was ever signed. The hub goes on where the backup ends."


def check_possible(standing: Standing) -> None:
    """Raise StoreBehind if something newer was signed, or nobody can tell whether it was."""
    if standing.certain:
        return
    if any(standing.known[log].size > head.size for log, head in standing.found.heads.items()):
        raise StoreBehind("This hub has signed more than the backup holds. Take a newer backup.")
    raise StoreBehind("No guard file shows whether this hub has signed more than the backup holds.")
