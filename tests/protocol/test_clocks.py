# SPDX-License-Identifier: Apache-2.0
"""Working days, late arrivals, and clocks that stand still."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.clocks import SPANS, Ack, Calendar, Span, Stop, deadline
from protocol.handover import Priority
from protocol.limits import DAY, HOUR, MINUTE

HOLIDAYS = {date(2027, 1, 1), date(2027, 1, 2), date(2027, 1, 7), date(2027, 2, 15), date(2027, 2, 16)}
CALENDAR = Calendar(ZoneInfo("Europe/Belgrade"), HOLIDAYS.__contains__)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Belgrade")).timestamp() * 1000)


def shown(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(CALENDAR.zone).isoformat(timespec="minutes")[:16]


@pytest.mark.parametrize(
    ("start", "days", "due"),
    [
        ("2027-01-11T10:00", 1, "2027-01-12T17:00"),
        ("2027-01-11T13:00", 1, "2027-01-12T17:00"),
        ("2027-01-11T13:01", 1, "2027-01-13T17:00"),
        ("2027-01-15T10:00", 1, "2027-01-18T17:00"),
        ("2027-01-16T10:00", 1, "2027-01-19T17:00"),
        ("2026-12-31T15:00", 1, "2027-01-05T17:00"),
        ("2027-01-06T10:00", 2, "2027-01-11T17:00"),
        ("2027-03-26T10:00", 10, "2027-04-09T17:00"),
    ],
    ids=[
        "in the morning",
        "at one o'clock",
        "after one o'clock counts from the next day",
        "over a weekend",
        "on a Saturday",
        "before the new year's holidays",
        "over Orthodox Christmas",
        "over the change to summer time",
    ],
)
def test_clk_2_working_days_are_the_recipients(start: str, days: int, due: str) -> None:
    assert shown(deadline(ms(start), Span(working_days=days), CALENDAR, now=ms(start))) == due


def test_clk_1_an_emergency_runs_day_and_night() -> None:
    friday = ms("2027-01-15T22:00")
    assert deadline(friday, SPANS[Priority.EMERGENCY][Ack.A2], CALENDAR, now=friday) == friday + 2 * HOUR


def test_clk_1_no_rung_is_due_before_the_one_below_and_urgency_never_means_later() -> None:
    start = ms("2027-01-11T10:00")
    order = [Priority.EMERGENCY, Priority.HARD_STOP, Priority.URGENT, Priority.NORMAL]
    due = {p: [deadline(start, SPANS[p][ack], CALENDAR, now=start) for ack in Ack] for p in order}
    assert all(rungs == sorted(rungs) for rungs in due.values())
    for rung in range(len(Ack)):
        assert [due[p][rung] for p in (order[0], order[2], order[3])] == sorted(
            due[p][rung] for p in (order[0], order[2], order[3])
        )


def test_clk_3_a_question_puts_the_answer_off_by_the_working_days_it_took() -> None:
    start = ms("2027-01-11T10:00")
    asked, answered = ms("2027-01-12T11:00"), ms("2027-01-14T15:00")
    plain = deadline(start, Span(working_days=3), CALENDAR, now=answered)
    assert (
        shown(plain),
        shown(deadline(start, Span(working_days=3), CALENDAR, [Stop(asked, answered)], now=answered)),
    ) == (
        "2027-01-14T17:00",
        "2027-01-19T17:00",
    )
    assert (
        deadline(start, Span(4 * HOUR), CALENDAR, [Stop(start + HOUR, start + 3 * HOUR)], now=answered)
        == start + 6 * HOUR
    )


def test_span_shares_round_working_days_up() -> None:
    assert Span(working_days=3).times(150) == Span(working_days=5)
    assert Span(HOUR).times(300) == Span(3 * HOUR)


def test_a_calendar_without_working_days_is_no_endless_loop() -> None:
    with pytest.raises(ValueError, match="no working day"):
        deadline(0, Span(working_days=1), Calendar(UTC, lambda _: True), now=0)


TIMES = st.integers(ms("2027-01-01T00:00"), ms("2027-06-01T00:00"))
SPANS_ = st.one_of(st.builds(Span, ms=st.integers(0, 20 * DAY)), st.builds(Span, working_days=st.integers(1, 30)))
STOPS = st.lists(st.tuples(TIMES, st.integers(0, 40 * DAY)).map(lambda s: Stop(s[0], s[0] + s[1])), max_size=5)


@given(TIMES, SPANS_, STOPS, STOPS, TIMES)
def test_clk_3_no_stop_ever_makes_a_deadline_earlier(
    start: int, span: Span, some: list[Stop], more: list[Stop], now: int
) -> None:
    plain = deadline(start, span, CALENDAR, now=now)
    fewer = deadline(start, span, CALENDAR, some, now=now)
    assert plain <= fewer <= deadline(start, span, CALENDAR, [*some, *more], now=now)
    assert deadline(start, span, CALENDAR, list(reversed(some)), now=now) == fewer


@given(TIMES, SPANS_)
def test_clk_2_a_deadline_is_after_its_start_and_in_working_time(start: int, span: Span) -> None:
    due = deadline(start, span, CALENDAR, now=start)
    assert due >= start
    if span.working_days:
        local = datetime.fromtimestamp(due / 1000, UTC).astimezone(CALENDAR.zone)
        assert CALENDAR.works_on(local.date())
        assert local.time() == CALENDAR.closes


@given(TIMES, st.integers(0, 10 * DAY // MINUTE))
def test_clk_3_a_stop_that_lasts_moves_the_deadline_with_the_clock(start: int, minutes: int) -> None:
    now = start + minutes * MINUTE
    assert deadline(start, Span(DAY), CALENDAR, [Stop(start)], now=now) == start + DAY + (now - start)
    assert CALENDAR.first_day(start) + timedelta(0) >= datetime.fromtimestamp(start / 1000, CALENDAR.zone).date()
