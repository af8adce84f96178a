# SPDX-License-Identifier: Apache-2.0
"""Which connector runs on an installation, where the system tells: one may, two are a fault."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from connectors.store.engine import DATABASE_FILE, LOCK_FILE
from keys.lockholders import command_of, holders_of
from protocol.diagnosis import Finding, fault, fine

_RUN: Final = ("connector", "run")


def examine_running(folder: Path) -> Iterator[Finding]:
    """Name the process that holds the store of the data folder, and all of them where two connectors run on it.

    One lock keeps a second one out. Where somebody has deleted its file, or a disk in the network does not lock, a
    second one starts all the same, and both talk over one mailbox.
    """
    holds = holders_of(folder / LOCK_FILE) - {os.getpid()}
    runs = holds | {one for one in holders_of(folder / DATABASE_FILE) - {os.getpid()} if _is_connector(one)}
    named = ", ".join(map(str, sorted(runs)))
    if len(runs) > 1:
        fix = f"Stop all of them but one, and leave {LOCK_FILE} alone. Keep the data folder on a local disk."
        yield fault("connector", f"Several connectors run on this store: processes {named}.", fix)
    elif runs:
        what = "A connector runs on" if any(map(_is_connector, runs)) else "A command holds"
        yield fine("connector", f"{what} this store: process {named}.")


def _is_connector(process: int) -> bool:
    return _RUN in pairwise(command_of(process))
