# SPDX-License-Identifier: Apache-2.0
"""Files one after the other in the stream of a connector's backup, with bounded memory.

file = length of its name(1) || name || size(8) || bytes;  the end is a name of 255 bytes that does not follow
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from keys.backupfile import CHUNK
from keys.folderowner import open_made
from protocol.errors import KeystoreError

END: Final = b"\xff"
_NAME: Final = 1
_SIZE: Final = 8
_MAX_NAME: Final = 200
_CUT: Final = "The backup is of another version of Throughcare, or incomplete."


def write_file(write: Callable[[bytes], None], name: str, path: Path) -> None:
    """Write the file at `path` under `name`, as large as it is now; one that is gone by now is left out."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        left = os.fstat(file.fileno()).st_size
        text = name.encode()
        write(len(text).to_bytes(_NAME, "big") + text + left.to_bytes(_SIZE, "big"))
        while left:
            piece = file.read(min(left, CHUNK))
            if not piece:
                raise OSError("a file became shorter while it was read")
            write(piece)
            left -= len(piece)


class FileStream:
    """Reads such files from pieces as they are unsealed. Nothing counts before `end` has returned (BAK-2)."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = bytearray()

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes; raises `KeystoreError` if there are not so many."""
        while len(self._held) < size:
            self._more()
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def next_file(self) -> str | None:
        """Return the name of the next file, which `copy_to` must take then, or None at the end."""
        length = self.take(_NAME)
        if length == END:
            return None
        if length[0] > _MAX_NAME:
            raise KeystoreError(_CUT)
        try:
            return self.take(length[0]).decode("ascii")
        except UnicodeDecodeError:
            raise KeystoreError(_CUT) from None

    def copy_to(self, path: Path) -> None:
        """Write the file's bytes to the new file `path`, mode 0600, and sync it."""
        left = int.from_bytes(self.take(_SIZE), "big")
        with os.fdopen(open_made(path, os.O_WRONLY | os.O_EXCL), "wb") as file:
            while left:
                piece = self.take(min(left, CHUNK))
                file.write(piece)
                left -= len(piece)
            file.flush()
            os.fsync(file.fileno())

    def end(self) -> None:
        """Make sure that nothing follows; raises `KeystoreError` for anything that is not right up to here."""
        if self._held or any(self._pieces):
            raise KeystoreError(_CUT)

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise KeystoreError(_CUT)
        self._held += piece
