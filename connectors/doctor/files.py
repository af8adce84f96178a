# SPDX-License-Identifier: Apache-2.0
"""What lies on the disk of an installation: who may read it, whether it opens, whether there is room for more."""

import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connectors.access import TOKEN_FILE
from connectors.app import read_passphrase
from connectors.backup import left_behind
from connectors.config import ConnectorSection
from connectors.installation import ENROLMENT_FILE, KEYSTORE_FOLDER, Installation, open_installation
from connectors.migrations import NEWEST
from connectors.store.engine import DATABASE_FILE
from connectors.store.refusals import Refusal, refusal_of
from keys.folderfinding import examine_folder
from keys.privatefile import open_to_others
from protocol.diagnosis import Finding, fault, fine, starts_connector, warning
from protocol.errors import ConfigurationError, ThroughcareError

LEAST_FREE: Final = 64 << 20
"""Bytes of free disk below which the next message may not be stored."""
LITTLE_FREE: Final = 1 << 30
"""Bytes of free disk below which it is time to make room."""

_BUSY_S: Final = 10.0
_NAMED: Final = 5
"""Keys that are named."""


def examine_secrets(settings: ConnectorSection) -> Iterator[Finding]:
    """Look at who may read the files that nobody else may read (KEY-3), and whether the connector may use them."""
    folder = settings.data_dir
    if not folder.is_dir():
        yield fault(
            "data folder", "connector.data_dir does not exist.", "Type throughcare enrol, or mend connector.data_dir."
        )
        return
    own = [folder / name for name in (ENROLMENT_FILE, TOKEN_FILE, DATABASE_FILE)]
    # Key files and the index; the lock beside them holds nothing.
    own += sorted(path for path in (folder / KEYSTORE_FOLDER).glob("[!.]*") if path.name != "lock")
    if hindered := examine_folder(folder, own, "connector.data_dir"):
        yield hindered
    if not settings.passphrase_file.is_file():
        yield fault(
            "passphrase",
            "connector.passphrase_file does not exist.",
            "Put the passphrase there (chmod 600), or mend connector.passphrase_file.",
        )
    exposed = [path for path in (settings.passphrase_file, *own) if path.is_file() and open_to_others(path)]
    if exposed:
        yield fault(
            "permissions",
            f"Others can read {exposed[0].name}{f' and {len(exposed) - 1} more' if exposed[1:] else ''}.",
            f"chmod 600 {' '.join(str(path) for path in exposed)}",
        )
    else:
        yield fine("permissions", "Nobody but the owner can read keys, token and store.")


def examine_disk(folder: Path) -> Finding:
    """Look at the room on the disk of `folder`, or of the nearest folder above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    said = f"{free / (1 << 30):.1f} GiB free."
    fix = f"Make room on the disk of {folder}."
    if free < LEAST_FREE:
        return fault("disk", said, fix)
    return warning("disk", said, fix) if free < LITTLE_FREE else fine("disk", said)


def examine_left(folder: Path) -> Iterator[Finding]:
    """Name what a backup, or the check of one, that was killed has left (BAK-9)."""
    if left := left_behind(folder):
        fix = f"Make or check a backup: the next of its kind removes it. By hand: rm -r {shlex.join(map(str, left))}"
        yield warning("working copy", "A backup, or the check of one, that was cut off has left its copy.", fix)


def examine_keys(settings: ConnectorSection) -> tuple[Finding, Installation | None]:
    """Open enrolment and keystore; takes about a second, because Argon2id does."""
    try:
        installation = open_installation(settings.data_dir, read_passphrase(settings))
    except ConfigurationError as error:
        return fault("keys", error.detail, "Mend what is named, or restore the backup."), None
    except ThroughcareError as error:
        fix = "Check connector.passphrase_file. If the passphrase is right, restore the backup."
        return fault("keys", error.detail, fix), None
    lost = installation.keystore.unreadable()
    if lost:
        said = f"The keys of {installation.enrolment.agency} open, except {', '.join(lost[:_NAMED])}."
        fix = "Look at the disk. A prekey is made anew by itself; for an agency key restore the newest backup."
        return fault("keys", said, fix), installation
    return fine("keys", f"The keys of {installation.enrolment.agency} open."), installation


def _refused(error: sqlite3.Error, path: Path) -> Finding:
    """Tell a store that this user cannot look at from one that is damaged: only that one needs its backup."""
    match refusal_of(error, path):
        case Refusal.PASSING:
            return warning("store", "Another program keeps the store busy.", "Type the same command again.")
        case Refusal.CLOSED:
            fix = f"Look who owns {path.parent} and its files, or type this as the connector's user. Restore no backup."
            return fault("store", "The store cannot be read by this user.", fix)
        case Refusal.FAILING | Refusal.FULL:
            fix = "Look at the disk (dmesg, SMART, free room), then type the same command again. Restore no backup yet."
            return fault("store", "The disk fails at the store.", fix)
        case _:
            return _DAMAGED


_DAMAGED: Final = fault("store", "The store is damaged.", "Stop the connector and restore the newest backup.")


def examine_store(folder: Path) -> Finding:
    """Look at the database: is it there, is it whole, does this program understand it."""
    path = folder / DATABASE_FILE
    if not path.exists():
        return warning("store", "There is no store yet.", f"Start it once: {starts_connector()}")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
        try:
            (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or ("",)
        finally:
            connection.close()
    except sqlite3.Error as error:
        return _refused(error, path)
    except TypeError:
        sound, revision = "unreadable", ""
    if sound != "ok":
        return _DAMAGED
    if revision > NEWEST:
        fix = "Install that version or a newer one."
        return fault("store", "The store was made by a newer version of Throughcare.", fix)
    if revision < NEWEST:
        fix = "Make a backup, then start the connector: it brings the store up to date."
        return warning("store", "The store is of an older version of Throughcare.", fix)
    return fine("store", "The store is whole and up to date.")
