# SPDX-License-Identifier: Apache-2.0
"""Whether a service can work in its data folder, as its doctor says it; root, who types that, can do so in any."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from protocol.diagnosis import Finding, fault

CHECK = "data folder"


def examine_folder(folder: Path, files: Iterable[Path], setting: str) -> Finding | None:
    """Return what hinders the owner of `folder` from writing there and into `files` of it; None if nothing does.

    `setting` is what the configuration calls the folder.
    """
    if sys.platform == "win32":
        return None
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        fix = f"Mount the disk of {folder} for writing. Where the system did that by itself, the disk fails (dmesg)."
        return fault(CHECK, f"The disk of {setting} can only be read.", fix)
    if not os.access(folder, os.W_OK | os.X_OK):
        fix = f"Look who owns {folder}, or type this as the service's user or as root."
        return fault(CHECK, f"This user may not write in {setting}.", fix)
    owner = folder.stat().st_uid
    foreign = [path for path in files if owner != 0 and path.exists() and path.stat().st_uid != owner]
    if foreign:
        more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
        found = f"The program cannot use {foreign[0].name}{more} in {setting}: another user owns it."
        return fault(CHECK, found, f"chown --reference={folder} {' '.join(map(str, foreign))}")
    return None
