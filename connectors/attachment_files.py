# SPDX-License-Identifier: Apache-2.0
"""Attachments as files at a connector: always ciphertext, under keys that only the vault opens (CON-5, ATT-7).

Nothing is ever written in clear: what is checked is opened in memory, a piece at a time, and forgotten.
"""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from keys.blobopening import BlobOpener
from keys.folderowner import make_folder, open_made
from keys.privatefile import sync_folder
from protocol.disk import spares_reserve, spares_share
from protocol.errors import CannotOpen, KeystoreError, StoreFull
from protocol.sections import Attachment

FOLDER: Final = "attachments"
PIECE: Final = 1 << 20

_PART: Final = ".part"
_NAME: Final = re.compile("(in-[0-9]+|out)-[0-9a-f]+")
"""The names of finished files. Whatever else lies in the folder (`lost+found`) is not ours, and left alone (ATT-9)."""


class AttachmentFiles:
    """The folder of one installation. Every method may take as long as the disk does: call it in a thread."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER

    def find_room(self, size: int) -> None:
        """Raise `StoreFull` unless `size` more bytes leave the rest of the connector its reserve (ATT-10)."""
        make_folder(self._folder, exist_ok=True)
        if not spares_reserve(self._folder, size):
            raise StoreFull("There is no room for an attachment. The operator must free space.")

    def has_share(self, size: int, taken: int) -> bool:
        """Tell whether `size` more bytes beside the `taken` bytes of an agency are its to take (ATT-11)."""
        make_folder(self._folder, exist_ok=True)
        return spares_share(self._folder, size, taken)

    def taken(self, names: Collection[str]) -> int:
        """Return how many bytes the files `names` take here, finished or not (ATT-11)."""
        if not names or not self._folder.is_dir():
            return 0
        with os.scandir(self._folder) as entries:
            return sum(one.stat().st_size for one in entries if one.name.removesuffix(_PART) in names)

    def append(self, name: str, data: bytes) -> None:
        """Append to an unfinished file, made with mode 0600 at the first time; raises as `find_room` does."""
        self.find_room(len(data))
        descriptor = open_made(self._part(name), os.O_WRONLY | os.O_APPEND)
        with os.fdopen(descriptor, "ab") as file:
            file.write(data)

    def part_size(self, name: str) -> int:
        """Return the bytes of an unfinished file, 0 without one."""
        try:
            return self._part(name).stat().st_size
        except FileNotFoundError:
            return 0

    def size(self, name: str) -> int:
        """Return the bytes of a finished file, 0 without one."""
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return 0

    def finish(self, name: str) -> None:
        """Sync an unfinished file and give it its name: from now on it counts as whole."""
        part = self._part(name)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(self._folder / name)
        sync_folder(self._folder)

    def finished(self) -> Iterator[tuple[str, Path]]:
        """Yield the name and path of every finished file, for a backup."""
        if self._folder.is_dir():
            yield from ((path.name, path) for path in sorted(self._folder.iterdir()) if _is_ours(path, path.name))

    def place_for(self, name: str) -> Path:
        """Return where a finished file of that name belongs; `KeystoreError` for a name that none of ours has."""
        if _NAME.fullmatch(name) is None:
            raise KeystoreError("The backup names a file that no connector has.")
        make_folder(self._folder, exist_ok=True)
        return self._folder / name

    def discard(self, name: str) -> None:
        """Delete a file, finished or not."""
        for path in (self._part(name), self._folder / name):
            path.unlink(missing_ok=True)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return `length` bytes at `offset` of a finished file."""
        with (self._folder / name).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def check(self, name: str, entry: Attachment, place: int, *, part: bool) -> None:
        """Open a whole file and let go of nothing; raises `CannotOpen` unless it is what was signed for (ATT-2)."""
        for _ in self.plaintext(name, entry, place, part=part):
            pass

    def plaintext(self, name: str, entry: Attachment, place: int, *, part: bool = False) -> Iterator[bytes]:
        """Yield the plaintext, not to be believed before the end; raises `CannotOpen` (ATT-2).

        The last piece is held back until every check has passed, so that who counts bytes never counts them all before.
        """
        opener, held = BlobOpener(entry, place), b""
        try:
            with (self._part(name) if part else self._folder / name).open("rb") as file:
                while piece := file.read(PIECE):
                    if opened := opener.update(piece):
                        yield held
                        held = opened
        except FileNotFoundError:
            raise CannotOpen from None
        end = opener.finish()
        yield held
        yield end

    def sweep(self, wanted: Collection[str]) -> None:
        """Delete every file of ours that belongs to no attachment; called while nothing is being stored.

        One that cannot be deleted keeps no other; it is told at the end.
        """
        failed: OSError | None = None
        for path in list(self._folder.iterdir()) if self._folder.is_dir() else []:
            name = path.name.removesuffix(_PART)
            if name not in wanted and _is_ours(path, name):
                try:
                    path.unlink()
                except OSError as error:
                    failed = error
        if failed is not None:
            raise failed

    def _part(self, name: str) -> Path:
        return self._folder / (name + _PART)


def _is_ours(path: Path, name: str) -> bool:
    return _NAME.fullmatch(name) is not None and path.is_file()
