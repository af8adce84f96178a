# SPDX-License-Identifier: Apache-2.0
"""The guard: a small file beside the database that remembers how far the logs had grown (AUD-3, AUD-4).

A database can lose commits without a word: one bad bit in its write-ahead log, an old backup put back, a
second hub started on a copy. If the hub went on from there it would sign a second history. So every group
of changes is noted here, synced, before anything is signed; and at the start the database must contain
everything that stands here.

The file is text, one line for each noted head: a checksum, the log's origin, its size, its root, the time. While a
hub runs, zeros follow, into which the next lines are written: a sync that has no new size to note takes half the time.
Only the last line can be torn by a crash, since each is synced before the next one is written; a torn line was never
followed by a signature.
"""

import errno
import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from keys.folderowner import open_made
from keys.privatefile import sync_folder
from protocol.disk import is_full, is_short
from protocol.errors import StoreBehind, StoreFailed, StoreFull

COMPACT_ABOVE = 256 * 1024
"""Bytes after which the file is rewritten with the newest line of each log."""

_FORMAT = "tc-guard-1"
_ROOM = b"\0"
_WRITING = os.O_WRONLY | getattr(os, "O_BINARY", 0)
"""Without the latter Windows writes two bytes for the end of a line, and every line looks altered."""
_MOVES_OPEN_FILES = os.name == "posix"
"""Whether a file that is open can be given another name, or be replaced; Windows refuses both."""


@dataclass(frozen=True, slots=True)
class GuardedHead:
    """A log's size (leaves) and root (32 bytes) at a time (ms UTC)."""

    origin: str
    size: int
    root: bytes
    at: int

    def line(self) -> bytes:
        """Return the line of the guard file."""
        text = f"{_FORMAT} {self.origin} {self.size} {self.root.hex()} {self.at}"
        return f"{_checksum(text)} {text}\n".encode()


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parse(line: bytes) -> GuardedHead | None:
    """Return the head of a whole and sound line, else None."""
    try:
        checksum, text = line.decode("ascii").removesuffix("\n").split(" ", 1)
        form, origin, size, root, at = text.split(" ")
        head = GuardedHead(origin, int(size), bytes.fromhex(root), int(at))
    except ValueError:
        return None
    return head if form == _FORMAT and line == head.line() and checksum == _checksum(text) else None


class Guard:
    """The open guard file. Its methods block on the disk: the writer calls them in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heads: dict[str, GuardedHead] = {}
        """The newest head of each log, by its origin."""
        self.torn = False
        """Whether the last line was cut short by a crash."""
        self._file = -1
        self._size = 0
        self._compact_above = COMPACT_ABOVE

    def read(self) -> None:
        """Read the file, if there is one; raises StoreBehind when it was altered."""
        try:
            lines = self.path.read_bytes().rstrip(_ROOM).splitlines(keepends=True)
        except FileNotFoundError:
            return
        except OSError:
            raise StoreFailed("The guard file cannot be read. Check who owns it.") from None
        for number, line in enumerate(lines, start=1):
            head = _parse(line)
            if head is None and number == len(lines):
                self.torn = True
                return
            if head is None or head.size < self.heads.get(head.origin, head).size:
                raise StoreBehind(
                    "The guard file was altered. Move it out of the data folder, then `throughcare-hub restore` goes "
                    "on from the newest backup, or from what is left (`--in-place`)."
                )
            self.heads[head.origin] = head

    def start(self, heads: Iterable[GuardedHead]) -> None:
        """Write the file anew with `heads`, and open it for appending."""
        self.heads = {head.origin: head for head in heads}
        try:
            self._rewrite()
        except OSError:
            raise StoreFailed("The guard file cannot be written. Check free space and who owns the folder.") from None

    def size_of(self, origin: str) -> int:
        """Return how many leaves of a log are noted."""
        head = self.heads.get(origin)
        return 0 if head is None else head.size

    def append(self, heads: Sequence[GuardedHead]) -> None:
        """Note `heads`; when this returns they are on the disk (AUD-3).

        Raises StoreFull when there is no room; what is not noted then may be tried again. After any other OSError this
        guard must not be used any more.
        """
        for head in heads:
            self._append(head)
        if self._size > self._compact_above:
            self._compact()

    def _append(self, head: GuardedHead) -> None:
        line = head.line()
        if not _wrote(self._file, line, self._size):
            # What would come after half a line would make the file look altered.
            os.ftruncate(self._file, self._size)
            raise StoreFull
        _sync(self._file)
        self._size += len(line)
        self.heads[head.origin] = head

    def _compact(self) -> None:
        """Make the file small again. What is noted is safe already, so want of room or descriptors puts it off."""
        try:
            self._rewrite()
            self._compact_above = COMPACT_ABOVE
        except OSError as error:
            if not (is_full(error) or is_short(error)):
                raise
            self._compact_above = self._size + COMPACT_ABOVE // 4

    def close(self) -> None:
        """Close the file; the lines are all that is left of it."""
        if self._file >= 0:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            os.close(self._file)
            self._file = -1

    def _rewrite(self) -> None:
        """Replace the file in one step: whoever reads sees the old one or the new one, whole."""
        draft = self.path.with_name(f".{self.path.name}.new")
        data = b"".join(head.line() for head in self.heads.values())
        draft.unlink(missing_ok=True)
        file = open_made(draft, _WRITING | os.O_EXCL)
        try:
            if not _wrote(file, data, 0):
                raise OSError(errno.ENOSPC, "the guard file was not written whole")
            # Written, not only reserved: the first write to a reserved block would have to be noted too.
            if not _wrote(file, _ROOM * COMPACT_ABOVE, len(data)):
                # It grows line by line then.
                os.ftruncate(file, len(data))
            os.fsync(file)
            if _MOVES_OPEN_FILES:
                draft.replace(self.path)
        except BaseException:
            os.close(file)
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        self.close()
        if not _MOVES_OPEN_FILES:
            os.close(file)
            draft.replace(self.path)
            file = os.open(self.path, _WRITING)
        # Elsewhere the draft is the file by the same descriptor; one that is short cannot be in the way.
        self._file, self._size = file, len(data)
        sync_folder(self.path.parent)


def _wrote(file: int, data: bytes, at: int) -> bool:
    """Write `data` from byte `at` on; tell whether there was room for all of it."""
    try:
        os.lseek(file, at, os.SEEK_SET)  # and not pwrite, which Windows lacks
        return os.write(file, data) == len(data)
    except OSError as error:
        if not is_full(error):
            raise
        return False


def _sync(file: int) -> None:
    """Write data and size to the disk; systems without fdatasync do a little more."""
    getattr(os, "fdatasync", os.fsync)(file)
