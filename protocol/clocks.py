# SPDX-License-Identifier: Apache-2.0
"""Until when somebody has to act: priorities, working days of the recipient's calendar, and stopped clocks (CLK).

Three acknowledgements have a clock each: A1 (opened), A2 (taken up by a named officer) and A3 (answered). Emergency
clocks run day and night; all others count working days. While the recipient waits for an answer to its question the
clock of A3 stands still. Nothing here knows what time it is: callers say.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

from protocol.handover import Priority
from protocol.limits import DAY, HOUR, MINUTE

MOST_DAYS = 3_660
"""Days that a calendar is searched for a working day before it is called broken."""


class Ack(StrEnum):
    """The rungs of the acknowledgement ladder; each has its own signer, time and receipt."""

    A1 = "opened"
    A2 = "acknowledged"
    A3 = "answered"


@dataclass(frozen=True, slots=True)
class Span:
    """How long: either so many ms of plain time, or so many working days."""

    ms: int = 0
    working_days: int = 0

    def times(self, hundredths: int) -> "Span":
        """Return this span times `hundredths` / 100; working days are rounded up."""
        return Span(self.ms * hundredths // 100, -(-self.working_days * hundredths // 100))


SPANS: Mapping[Priority, Mapping[Ack, Span]] = {
    Priority.EMERGENCY: {Ack.A1: Span(15 * MINUTE), Ack.A2: Span(2 * HOUR), Ack.A3: Span(DAY)},
    Priority.URGENT: {Ack.A1: Span(HOUR), Ack.A2: Span(working_days=1), Ack.A3: Span(working_days=3)},
    Priority.NORMAL: {Ack.A1: Span(working_days=1), Ack.A2: Span(working_days=2), Ack.A3: Span(working_days=10)},
    Priority.HARD_STOP: {Ack.A1: Span(HOUR), Ack.A2: Span(4 * HOUR), Ack.A3: Span(working_days=1)},
}
"""The proposed defaults of each priority; a jurisdiction sets its own in the configuration (CLK-1)."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """One agency's working time: its zone, its holidays, its hours.

    What comes after `last_arrival`, or on a day that is not worked, counts from `opens` of the next working day; a
    span of working days ends at `closes`.
    """

    zone: tzinfo
    is_holiday: Callable[[date], bool]
    weekend: frozenset[int] = frozenset({5, 6})
    """Weekdays that are not worked; Monday is 0."""
    opens: time = time(9)
    last_arrival: time = time(13)
    closes: time = time(17)

    def works_on(self, day: date) -> bool:
        """Tell whether `day` is a working day here."""
        return day.weekday() not in self.weekend and not self.is_holiday(day)

    def first_day(self, at: int) -> date:
        """Return the working day from which something that arrived at `at` (ms UTC) counts."""
        local = datetime.fromtimestamp(at / 1000, UTC).astimezone(self.zone)
        day = local.date()
        if not self.works_on(day) or local.time() > self.last_arrival:
            day = self._next(day)
        return day

    def add(self, day: date, working_days: int) -> date:
        """Return the working day that is `working_days` after the working day `day`."""
        for _ in range(working_days):
            day = self._next(day)
        return day

    def between(self, begin: int, end: int) -> int:
        """Return how many working days have begun in the time from `begin` to `end` (ms UTC), the first included."""
        first = datetime.fromtimestamp(begin / 1000, UTC).astimezone(self.zone).date()
        last = datetime.fromtimestamp(end / 1000, UTC).astimezone(self.zone).date()
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        return sum(1 for day in days if self.works_on(day))

    def close_of(self, day: date) -> int:
        """Return the end of working time on `day`, in ms UTC."""
        return int(datetime.combine(day, self.closes, self.zone).timestamp() * 1000)

    def _next(self, day: date) -> date:
        for _ in range(MOST_DAYS):
            day += timedelta(days=1)
            if self.works_on(day):
                return day
        raise ValueError("the calendar has no working day in ten years")


@dataclass(frozen=True, slots=True)
class Stop:
    """A time in which a clock stood still, in ms UTC; `end` is None while it lasts."""

    begin: int
    end: int | None = None


def deadline(start: int, span: Span, calendar: Calendar, stops: Iterable[Stop] = (), *, now: int) -> int:
    """Return until when (ms UTC) something that began at `start` is due (CLK-2).

    A stop never makes a deadline earlier (CLK-3): plain time is put off by as much as the clock stood, working days by
    every working day that a stop touched. A stop that lasts counts until `now`.
    """
    stood = [(max(start, stop.begin), now if stop.end is None else stop.end) for stop in stops]
    stood = [(begin, end) for begin, end in _merged(stood) if end > begin]
    if not span.working_days:
        return start + span.ms + _put_off(start, span.ms, stood)
    day = calendar.add(calendar.first_day(start), span.working_days)
    due = calendar.close_of(day)
    for begin, end in stood:
        if begin >= due:
            break
        day = calendar.add(day, calendar.between(begin, end))
        due = calendar.close_of(day)
    return due


def _put_off(start: int, length: int, stood: list[tuple[int, int]]) -> int:
    put_off = 0
    for begin, end in stood:
        if begin >= start + length + put_off:
            break
        put_off += end - begin
    return put_off


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
