# SPDX-License-Identifier: Apache-2.0
"""Attachments: which cannot be fetched, and of which the disk has damaged the file since it was stored (CON-28)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from connectors.attachment_files import FOLDER, AttachmentFiles
from connectors.store import attachedfiles, attachments
from connectors.store.attachments import Expected, OwnAttachment, out_file
from connectors.store.engine import Store, Transaction
from protocol.diagnosis import Finding, fault, fine, warning
from protocol.disk import spares_reserve, spares_share
from protocol.errors import CannotOpen
from protocol.ids import Kind, text
from protocol.sections import Attachment

STUCK_TRIES: Final = 12
"""Tries in a row to fetch an attachment after which somebody should look: they took about an hour."""
READ_MOST: Final = 4 << 30
"""Bytes of files that are read to their end; of the others, the older ones, only the size is looked at."""

_NAMED: Final = 5
"""Damaged files that are named; of the others their number."""


async def examine_fetching(tx: Transaction, data_dir: Path) -> list[Finding]:
    """Judge what cannot be fetched: who sent it sees that its message is not opened, and nobody sees why (ATT-10)."""
    failing = await attachments.failing(tx)
    folder = data_dir / FOLDER
    at = next(one for one in (folder, data_dir) if one.is_dir())
    taken = {
        agency: AttachmentFiles(data_dir).taken(await attachments.files_of(tx, agency))
        for agency in {one.agency for one in failing}
    }
    too_large = [one for one in failing if not _fits(at, one.entry.ciphertext_size, taken[one.agency])]
    if too_large:
        largest = max(one.entry.ciphertext_size for one in too_large) >> 20
        verb = "finds" if len(too_large) == 1 else "find"
        found = f"{_many(too_large)} {verb} no room; the largest has {largest:,} MiB."
        fix = (
            f"Make room on the disk of {at}: beside them it needs a twentieth of it free, 512 MiB at most, and of the "
            "rest a third of what their agency's attachments take then (ATT-11)."
        )
        return [warning("attachments", found, fix)]
    stuck = [one for one in failing if one.tries >= STUCK_TRIES]
    if not stuck:
        return []
    fix = (
        f"Look who owns {folder} and what is in it, and at the disk; the log says why: `part-failed` of part "
        "`attachments`."
    )
    return [warning("attachments", f"{_many(stuck)} could not be fetched for an hour or more.", fix)]


def _fits(folder: Path, size: int, taken: int) -> bool:
    return spares_reserve(folder, size) and spares_share(folder, size, taken)


def _many(ones: Sequence[Expected]) -> str:
    return "One attachment" if len(ones) == 1 else f"{len(ones)} attachments"


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is to be whole: its name, what it must hold, and which attachment of which message that is."""

    name: str
    entry: Attachment = field(repr=False)
    place: int
    of: str


async def examine_files(store: Store, data_dir: Path, most: int = READ_MOST) -> list[Finding]:
    """Look whether the file of every attachment is what was stored; nothing where there is none.

    `most` bytes are read to their end, of the newest files first. What was deleted meanwhile, as it is once a message
    is over, is no damage.
    """
    before, files = await _expected(store), AttachmentFiles(data_dir)
    if not before:
        return []
    bad, unread = await asyncio.to_thread(_look_at, files, before, most)
    if bad:
        still = {one.name for one in await _expected(store)}
        bad = [one for one in bad if one.name in still]
    if not bad:
        rest = f" Of {unread:,} older ones only the size was looked at." if unread else ""
        return [fine("attachment files", f"The file of every attachment is there and whole.{rest}")]
    named = "; ".join(f"{one.of} ({one.name})" for one in bad[:_NAMED])
    more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    fix = (
        f"Look at the disk first (dmesg, SMART), and who owns {data_dir / FOLDER}. Ask the sender of each that came to "
        "send it again; store one of ours anew, and send what names it again. All others are given out. A backup has "
        "them as they were: restore the newest one only if many are damaged or the disk must go."
    )
    verb = "is not as it was" if len(bad) == 1 else "are not as they were"
    return [fault("attachment files", f"{len(bad)} {verb} stored: {named}{more}.", fix)]


async def _expected(store: Store) -> list[_File]:
    async with store.read() as tx:
        theirs, ours = await attachedfiles.theirs(tx), await attachedfiles.ours(tx)
    return [*map(_that_came, theirs), *map(_of_ours, ours)]


def _that_came(one: Expected) -> _File:
    which = f"section {one.section}, attachment {one.place + 1} of {text(Kind.MESSAGE, one.message_id)}"
    return _File(one.file, one.entry, one.place, which)


def _of_ours(one: OwnAttachment) -> _File:
    of = "that no handover names yet" if one.message_id is None else f"of {text(Kind.MESSAGE, one.message_id)}"
    return _File(
        out_file(one.entry.blob_id),
        one.entry,
        one.place,
        f"one of ours {of}, attachment {one.place + 1} of its section",
    )


def _look_at(files: AttachmentFiles, every: Sequence[_File], most: int) -> tuple[list[_File], int]:
    """Return which files are not as they were stored, and of how many only the size was looked at."""
    bad, unread, left = list[_File](), 0, most
    for one in every:
        size = one.entry.ciphertext_size
        try:
            if files.size(one.name) != size:
                raise CannotOpen
            if size > left:
                unread += 1
                continue
            left -= size
            files.check(one.name, one.entry, one.place, part=False)
        except (CannotOpen, OSError):
            bad.append(one)
    return bad, unread
