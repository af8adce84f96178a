# SPDX-License-Identifier: Apache-2.0
"""How the drop folder stands: may the connector work in it, what was refused, what nobody takes (DRP-2)."""

import os
import shutil
import stat
import sys
import time
from pathlib import Path
from typing import Final

from connectors.doctor.files import LEAST_FREE
from connectors.dropfolder.files import SUFFIX, Folders, waiting
from connectors.dropfolder.settings import DropSection
from protocol.diagnosis import Finding, fault, fine, starts_connector, warning

LONG_S: Final = 3_600
"""Seconds after which a file that lies in `in` should have been taken."""
_CHECK: Final = "drop folder"


def examine_drop(settings: DropSection, data_dir: Path | None = None) -> Finding:
    """Look into the drop folder; nothing in it is changed.

    Root may do everything, so what the connector may do is told by whose `data_dir` is: that user's it is too.
    """
    if settings.folder is None:
        return fine(_CHECK, "None is configured.")
    folders = Folders(settings.folder)
    used = [folders.incoming, folders.done, folders.refused, *([folders.out] if settings.out else [])]
    hindered = next(filter(None, (_hindered(folder, data_dir) for folder in used)), None)
    if hindered is not None:
        return hindered
    try:
        refused = [one for one in folders.refused.iterdir() if one.name.endswith(f".reason{SUFFIX}")]
        lying = waiting(folders.incoming)
        oldest = max((time.time() - one.stat().st_mtime for one in lying), default=0.0)
        closed = [one for one in lying if not _may(one, data_dir, os.R_OK)]
        free = shutil.disk_usage(settings.folder).free
    except OSError:
        return fault(_CHECK, "The folder cannot be read.", "Start the connector, or mend drop.folder and its owner.")
    if free < LEAST_FREE:
        found = f"Its disk is full ({free >> 20} MiB free): nothing is taken and nothing is given out."
        return fault(_CHECK, found, f"Make room on the disk of {settings.folder}.")
    if closed:
        fix = (
            f"chmod g+r {folders.incoming}/*{SUFFIX}, with the group of that folder, and have the system write so "
            "(umask 027)."
        )
        return fault(_CHECK, "A file in `in` cannot be read by the connector.", fix)
    if oldest > LONG_S:
        fix = f"Let the connector run ({starts_connector()}). Its log says what stands in the way."
        return warning(_CHECK, "A file has lain in `in` for over an hour.", fix)
    if refused:
        fix = f"Read the .reason.json beside each file in {folders.refused}, mend the file and move it back into `in`."
        return warning(_CHECK, f"{len(refused)} file{'s were' if len(refused) > 1 else ' was'} refused.", fix)
    return fine(_CHECK, "Nothing was refused, and nothing waits.")


def _hindered(folder: Path, data_dir: Path | None) -> Finding | None:
    """Name a folder that the connector cannot work in: files are moved out of `in`, and made in the others."""
    name = f"`{folder.name}`"
    if not folder.parent.is_dir():
        return fault(_CHECK, "The folder is not there.", "Make it, or mount its disk, or mend drop.folder.")
    if not folder.is_dir():
        if os.path.lexists(folder):
            return fault(_CHECK, f"{name} is no folder.", f"Move {folder} away, and start the connector: it makes it.")
        return fault(_CHECK, f"{name} is not there.", f"Start the connector again: it makes {folder}.")
    if _only_read(folder):
        fix = f"Mount the disk of {folder} for writing; under systemd name the drop folder in ReadWritePaths= too."
        return fault(_CHECK, f"{name} is on a disk that can only be read.", fix)
    if _may(folder, data_dir, os.R_OK | os.W_OK | os.X_OK):
        return None
    fix = f"chgrp GROUP {folder} && chmod 2770 {folder}, with a group that the connector's user and the system are in."
    return fault(_CHECK, f"The connector may not write in {name}.", fix)


def _only_read(folder: Path) -> bool:
    return sys.platform != "win32" and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _may(path: Path, data_dir: Path | None, wanted: int) -> bool:
    """Tell whether the connector may do to `path` what the bits of `os.access` say."""
    if sys.platform == "win32" or os.geteuid() != 0 or data_dir is None or not data_dir.is_dir():
        return os.access(path, wanted)
    user, status = data_dir.stat(), path.stat()
    if user.st_uid == 0:
        return os.access(path, wanted)
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid == user.st_uid:
        return (mode >> 6) & wanted == wanted
    # Which groups its unit gives the connector cannot be seen from here: that one may is taken for its own.
    return (mode >> 3) & wanted == wanted or mode & wanted == wanted
