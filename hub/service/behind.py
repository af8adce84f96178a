# SPDX-License-Identifier: Apache-2.0
"""What a process has seen of a database that then went back, kept for its next start (AUD-8).

A process may know of what others have committed before its own guard does. Once it has ended only this file remembers
that leaves are gone which were shown with signed receipts, and a supervisor starts the process again at once.
"""

from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Final

from hub.service.damage import GO_BACK
from keys.privatefile import remove_private, write_private
from protocol.errors import KeystoreError, StoreBehind

BEHIND_NAME: Final = "store-behind"

_MOST_DIGITS: Final = 5

_SEEN: Final = f"While this hub ran, its database went back or was put in another's place ({BEHIND_NAME})."


async def noting(writing: Awaitable[None], folder: Path, generation: int) -> None:
    """Wait for `writing`; where it ends since the logs of `generation` went back, note that in the data folder.

    Raises what `writing` does, also where the note finds no room: then the next start knows what its guard knows.
    """
    try:
        await writing
    except StoreBehind:
        with suppress(KeystoreError):
            write_private(folder / BEHIND_NAME, str(generation).encode())
        raise


def check_not_behind(folder: Path, generation: int) -> None:
    """Raise StoreBehind where a process has seen the logs of the database's `generation` go back (AUD-8).

    What was seen before a restore that began another generation counts no more. A note that cannot be read counts until
    such a restore has ended in this folder.
    """
    try:
        seen = (folder / BEHIND_NAME).read_bytes()
    except FileNotFoundError:
        return
    except OSError:
        seen = b""
    if not (seen.isdigit() and len(seen) <= _MOST_DIGITS and int(seen) < generation):
        raise StoreBehind(f"{_SEEN} {GO_BACK}")


def forget_behind(folder: Path) -> None:
    """Forget what was seen, once a restore has dealt with it; raises `KeystoreError` if it cannot be deleted."""
    remove_private(folder / BEHIND_NAME)
