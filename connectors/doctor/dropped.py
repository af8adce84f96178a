# SPDX-License-Identifier: Apache-2.0
"""How the drop folder stands: whether it is there, what was refused, what nobody takes (DRP-2)."""

import time
from typing import Final

from connectors.dropfolder.files import SUFFIX, Folders, waiting
from connectors.dropfolder.settings import DropSection
from protocol.diagnosis import Finding, fault, fine, warning

LONG_S: Final = 3_600
"""Seconds after which a file that lies in `in` should have been taken."""
_CHECK: Final = "drop folder"


def examine_drop(settings: DropSection) -> Finding:
    """Look into the drop folder; nothing in it is read or changed."""
    if settings.folder is None:
        return fine(_CHECK, "None is configured.")
    folders = Folders(settings.folder)
    try:
        refused = [one for one in folders.refused.iterdir() if one.name.endswith(f".reason{SUFFIX}")]
        oldest = max((time.time() - one.stat().st_mtime for one in waiting(folders.incoming)), default=0.0)
    except OSError:
        return fault(_CHECK, "The folder cannot be read.", "Start the connector, or mend drop.folder and its owner.")
    if oldest > LONG_S:
        fix = "Let the connector run: throughcare connector run --config FILE. Its log says what stands in the way."
        return warning(_CHECK, "A file has lain in `in` for over an hour.", fix)
    if refused:
        fix = f"Read the .reason.json beside each file in {folders.refused}, mend the file and move it back into `in`."
        return warning(_CHECK, f"{len(refused)} file{'s were' if len(refused) > 1 else ' was'} refused.", fix)
    return fine(_CHECK, "Nothing was refused, and nothing waits.")
