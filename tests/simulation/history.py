# SPDX-License-Identifier: Apache-2.0
"""What happened in one run of the simulation, to be read when it went wrong."""

from collections.abc import Callable

from protocol.limits import DAY, HOUR, MINUTE, SECOND


class History:
    """Notes lines with the time at which they happened."""

    def __init__(self, clock: Callable[[], int], start: int) -> None:
        self._clock = clock
        self._start = start
        self.lines: list[str] = []

    def note(self, who: str, what: str) -> None:
        """Add a line: who did, or suffered, what."""
        since = self._clock() - self._start
        days, rest = divmod(since, DAY)
        hours, rest = divmod(rest, HOUR)
        minutes, rest = divmod(rest, MINUTE)
        self.lines.append(f"day {days:3} {hours:02}:{minutes:02}:{rest / SECOND:06.3f}  {who:14} {what}")

    def text(self) -> str:
        """Return all lines."""
        return "\n".join(self.lines)
