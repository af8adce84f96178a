# SPDX-License-Identifier: Apache-2.0
"""Files that hold secrets: written whole or not at all, readable by their owner only (KEY-3).

What root writes belongs to whoever owns the folder (`keys.folderowner`).
"""

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from keys.folderowner import give_name, open_made, open_unnamed, share
from protocol.errors import ConfigurationError, Conflict, KeystoreError

_READABLE_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_private(
    path: Path,
    limit: int,
    what: str = "key file",
    error: type[KeystoreError] | type[ConfigurationError] = KeystoreError,
) -> bytes:
    """Return the bytes of `path`, at most `limit` of them; `what` is the word for it in the error's text.

    Raises `error` if the file is missing, is larger, is no plain file or may be read or written by anybody but
    its owner (KEY-3; Windows has no such mode bits, there the folder's rights decide).
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
                raise error(f"The {what} {path} is no plain file, or larger than {limit} bytes.")
            if os.name == "posix" and status.st_mode & _forbidden(path):
                raise error(
                    f"The {what} {path} can be read by others. Make it private (chmod 600); on a stick, where that has "
                    "no effect, copy it first (install -m 600)."
                )
            return file.read(limit + 1)
    except FileNotFoundError as missing:
        raise error(f"There is no {what} {path}. Check the path.") from missing
    except OSError as failure:
        raise error(f"The {what} {path} cannot be read. Check who owns it.") from failure


def open_to_others(path: Path) -> bool:
    """Tell whether anybody but its owner may read or write `path` (KEY-3); never so on Windows, see `read_private`."""
    return os.name == "posix" and bool(path.stat().st_mode & _forbidden(path))


def _forbidden(path: Path) -> int:
    """Return the mode bits that a private file must not have.

    A credential of systemd lies in a folder of the unit's own, and its user reads it by an ACL, whose mask shows as
    the group's right to read.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and path.absolute().parent == Path(credentials):
        return _READABLE_BY_OTHERS & ~stat.S_IRGRP
    return _READABLE_BY_OTHERS


def write_private(path: Path, data: bytes, *, shared: bool = False) -> None:
    """Make `path` hold exactly `data`, with mode 0600, or leave what was there before (KEY-3).

    `shared` is for what is no secret between the users of a folder: a group that may write there gets it too.
    When this returns, a power cut cannot undo it. Raises `KeystoreError` if the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            descriptor = open_made(draft, os.O_WRONLY | os.O_EXCL)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if shared:
                    share(file.fileno(), path.parent)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise KeystoreError(f"{path} cannot be written. Check the folder's owner and free space.") from error


def remove_drafts(path: Path) -> None:
    """Remove what a `write_private` of `path` that was cut off has left beside it.

    Call it only where nobody else writes `path` now. Raises `KeystoreError` if the folder cannot be changed.
    """
    draft = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}")
    try:
        for left in [one for one in path.parent.iterdir() if draft.fullmatch(one.name)]:
            left.unlink(missing_ok=True)
    except OSError as error:
        raise KeystoreError(f"{path} cannot be written. Check the folder's owner and free space.") from error


def write_new_private(path: Path, data: bytes) -> None:
    """Make the new file `path` that holds exactly `data`, with mode 0600, or none (KEY-3).

    What is there already stays, a link is not followed. When this returns, a power cut cannot undo it. Raises
    `Conflict` if anything is there, also if it came just now, and `KeystoreError` if the file cannot be written.
    """
    try:
        descriptor = open_made(path, os.O_WRONLY | os.O_EXCL)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except FileExistsError as error:
        raise _taken() from error
    except OSError as error:
        raise KeystoreError(f"{path} cannot be written. Check the folder's owner and free space.") from error


@contextmanager
def new_private_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to be written that is `path`, mode 0600, once the block has ended well, and nothing if it has not.

    Where the disk knows files without a name, nothing is left of one whose process was killed either (BAK-9). Raises
    `Conflict` if anything is at `path`, a link too, before the block or by the time that it has ended.
    """
    if os.path.lexists(path):
        raise _taken()
    unnamed = open_unnamed(path.parent)
    if unnamed is not None:
        descriptor, folder = unnamed
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                try:
                    give_name(file.fileno(), folder, path.name)
                except FileExistsError:
                    raise _taken() from None
            os.fsync(folder)
        finally:
            os.close(folder)
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(open_made(draft, os.O_WRONLY | os.O_EXCL), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _claim(path)
        try:
            draft.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _claim(path: Path) -> None:
    """Make the name ours by an empty file, which the whole one replaces at once: nothing that lies there is lost."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise _taken() from None


def _taken() -> Conflict:
    return Conflict("There is a file of that name already; it is never overwritten.")


def remove_private(path: Path) -> None:
    """Delete `path` for good; that it is gone already is no error."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise KeystoreError(f"{path} cannot be deleted. Check the folder's owner.") from error


def sync_folder(folder: Path) -> None:
    """Make names that were given or taken in `folder` durable; Windows needs and offers nothing for it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
