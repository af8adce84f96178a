# SPDX-License-Identifier: Apache-2.0
"""Whether this hub may believe its clock after a start, and the file by which it knows when it last did (AUD-11).

A machine whose battery is empty starts in a wrong year. By such a clock all mail would have expired, and the log's time
would go where it never comes back from. A hub that was off for weeks looks just the same from inside. So a clock that
is more than a day ahead of what the hub last knew to be right is believed when others show the same time: connectors
of two agencies by the requests that they sign, or the operator by a date that he types. Of several processes on one
database one is enough: it commits nothing before it believes its clock, so what it commits shows the time to the rest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from hub.logs import Event, Log
from keys.privatefile import write_private
from protocol.clockwatch import Clock
from protocol.errors import KeystoreError, Unavailable
from protocol.limits import DAY, HOUR

LEAP: Final = DAY
"""How far ahead of the last time that was known to be right a clock is believed at a start, in ms."""
AGENCIES: Final = 2
"""How many agencies have to show the same time: one alone may lie, and a message needs two all the same."""
NOTED_EVERY: Final = HOUR
"""Ms between two notes of the time."""

_FORMAT: Final = "tc-clock-1"
_LONGEST: Final = 100


class ClockWrong(Unavailable):
    """The clock cannot be right (AUD-7)."""

    default = "The hub's clock is wrong, so it accepts nothing. The operator must set it and start the hub anew."


class ClockUnsure(ClockWrong):
    """The clock may be right, and nobody has shown it yet (AUD-11)."""

    default = (
        "The hub was off for over a day, or its clock is wrong. It accepts mail as soon as two agencies' connectors "
        "show the same time, or its operator confirms it."
    )


def is_only_unsure(check: Callable[[], None]) -> bool:
    """Tell whether `check` finds nothing wrong with the clock but that nobody has shown it yet (AUD-11)."""
    try:
        check()
    except ClockWrong as error:
        return isinstance(error, ClockUnsure)
    return False


async def _nothing() -> int:
    return 0


def noted_time(path: Path) -> int:
    """Return the time (ms UTC) that was noted in `path`; 0 if there is none that can be read."""
    try:
        with path.open("rb") as file:
            form, at = file.read(_LONGEST).decode("ascii").split()
        return int(at) if form == _FORMAT and at.isdecimal() else 0
    except (OSError, ValueError):
        return 0


def note_time(path: Path, at: int) -> None:
    """Note in `path` that `at` (ms UTC) was known to be right, durably; raises KeystoreError if it cannot be."""
    write_private(path, f"{_FORMAT} {at}\n".encode(), shared=True)


def is_unsure(now: int, newest: int, noted: int) -> bool:
    """Tell whether a clock that says `now` must be shown to be right first (all in ms UTC).

    `newest` is the newest time of the logs, 0 for a hub that has none yet and hence nothing to lose; `noted` that of
    the file.
    """
    return newest > 0 and now > max(newest, noted) + LEAP


class ClockTrust:
    """Knows whether the clock is believed; once it is, it stays so until the process ends."""

    def __init__(
        self, path: Path, newest: int, clock: Clock, log: Log, shown: Callable[[], Awaitable[int]] = _nothing
    ) -> None:
        """Judge the clock as it is now; `newest` is the newest time of the logs.

        `shown` gives the newest time that another process on the same database has shown; both in ms UTC.
        """
        self._path = path
        self._shown = shown
        self._newest = newest
        self._clock = clock
        self._log = log
        self._seen = set[str]()
        self._noted = noted_time(path)
        self._tried: int | None = None
        self.given = not is_unsure(clock(), newest, self._noted)
        """Whether the clock is believed. Until then nothing is written, deleted or signed."""
        if not self.given:
            log.error(Event.CLOCK_UNSURE)

    def seen(self, agency: str) -> None:
        """Note that a device in force of `agency` signed a request at this very time (HTTP-2)."""
        if not self.given:
            self._seen.add(agency)
            self._give(len(self._seen) >= AGENCIES)

    async def keep(self, *, sound: bool) -> None:
        """See whether the operator, or another process, has shown the time; once it is believed, note it every hour.

        It is noted only while it is `sound`. Raises KeystoreError if it cannot be; it is tried again after an hour.
        """
        if not self.given:
            noted = max(await self._shown(), await asyncio.to_thread(noted_time, self._path))
            self._give(not is_unsure(self._clock(), self._newest, noted))
        now = self._clock()
        if self.given and sound and (self._tried is None or abs(now - self._tried) >= NOTED_EVERY):
            self._tried = now
            await asyncio.to_thread(note_time, self._path, now)

    async def end(self, *, sound: bool) -> None:
        """Note the time once more, at the end of the process, as far as it can be."""
        self._tried = None
        if self.given:
            with suppress(KeystoreError):
                await self.keep(sound=sound)

    def _give(self, given: bool) -> None:
        if given and not self.given:
            self.given = True
            self._log.info(Event.CLOCK_CONFIRMED, count=len(self._seen))
