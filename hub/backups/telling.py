# SPDX-License-Identifier: Apache-2.0
"""What an operator is told before and after a restore, in sentences."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hub.backups.standing import Found, Standing
from hub.service.backupkey import known_backup_keys
from hub.store.trees import Log
from keys.backuptrust import backup_words
from protocol.errors import KeystoreError
from protocol.http.fields import format_time

_NAMES = {Log.DIRECTORY: "directory", Log.AUDIT: "audit log"}


def leaves(count: int) -> str:
    """Return how many leaves there are, in words."""
    return "1 leaf" if count == 1 else f"{count} leaves"


def verified(found: Found) -> Iterator[str]:
    """Yield what a backup was found to hold."""
    yield f"backup of    {found.facts.domain}, as of {format_time(found.facts.made_at)}"
    for log, head in found.heads.items():
        yield f"{_NAMES[log]:<12} {leaves(head.size)}, all sound"
    if found.attachments or found.left_out:
        yield f"attachments  {found.attachments}, all sound"
    if found.left_out:
        yield f"left out     attachments: {found.left_out}, collected while the backup was made or damaged at the hub"


def transcript(standing: Standing) -> Iterator[str]:
    """Yield what the backup is of, what was signed since, and what the restore will do."""
    yield from verified(standing.found)
    for log, head in standing.found.heads.items():
        brought = standing.brought if log == Log.DIRECTORY else 0
        back = head.size - brought - next(one.size for one in standing.found.facts.heads if one.origin == head.origin)
        if brought:
            yield f"brought back {_NAMES[log]}: {leaves(brought)} of the authority's folder, about who signs"
        if back:
            yield f"handed back  {_NAMES[log]}: {leaves(back)} that connectors hold and the backup did not"
        gone = standing.lost(log)
        if gone:
            lost = f"leaves {gone[0]} to {gone[-1]}" if len(gone) > 1 else f"leaf {gone[0]}"
            yield f"lost         {_NAMES[log]}: {lost}, signed after the backup"
    if standing.certain:
        yield "The guard file shows that nothing newer was ever signed. The hub goes on where the backup ends."
        return
    if not any(standing.lost(log) for log in standing.found.heads):
        yield "Nobody has shown more, but more may have been signed."
    generation = standing.found.directory.generation + 1
    yield f"The hub will begin generation {generation} of both logs, which its authority has to sign first. Then every"
    yield "connector hands back the statements that it holds, and seals anew what it sent and nobody has opened yet."
    yield "Enrolment codes that nobody has used end, and have to be made anew."


def sealed_to(folder: Path) -> Iterator[str]:
    """Yield to which key the backups of the hub in `folder` are sealed from now on, if it knows one (BAK-10)."""
    with suppress(KeystoreError):  # damaged: the doctor says it
        for identity in known_backup_keys(folder):
            yield f"Backups go on being sealed to the key of the words: {' '.join(backup_words(identity))}"
