# SPDX-License-Identifier: Apache-2.0
"""A clock for demos, which a file puts ahead of the machine's: so that weeks can be skipped, by all programs at once.

Only the demo profile reads one. A real programme lives by the machine's clock alone.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from protocol.limits import DAY, HOUR, MINUTE, SECOND

_UNITS: Final = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "": 1}
_WRITTEN: Final = re.compile(rb"([0-9]{1,12})([dhms]?)\s*")
_MOST: Final = 3_660 * DAY
LOOK_EVERY_S: Final = 0.1
"""Seconds after which a program that lives by such a clock looks whether it has skipped."""


class SkippingClock:
    """Tells the time in ms, as far ahead of `machine` as the file says: `14d`, `36h`, `90m`, `5s`, or plain ms.

    Without the file it is the machine's time. It never goes back: a smaller number, or what is no number, changes
    nothing.
    """

    def __init__(self, file: Path, machine: Callable[[], int]) -> None:
        """Nothing is read before the first call."""
        self._file = file
        self._machine = machine
        self._ahead = 0

    def __call__(self) -> int:
        """Return the time in ms."""
        return self._machine() + self.ahead()

    def ahead(self) -> int:
        """Return by how many ms it is ahead of the machine's clock."""
        try:
            written = _WRITTEN.fullmatch(self._file.read_bytes())
        except OSError:
            written = None
        if written is not None:
            self._ahead = max(self._ahead, min(int(written[1]) * _UNITS[written[2].decode()], _MOST))
        return self._ahead


def skip_to(file: Path, ahead: int) -> None:
    """Put all clocks that read `file` to `ahead` ms before the machine's, at once."""
    # Whoever reads half of the number reads a smaller one, which changes nothing; so it is written in place.
    file.write_text(f"{ahead}\n", encoding="ascii")
