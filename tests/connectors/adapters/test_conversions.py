# SPDX-License-Identifier: Apache-2.0
"""Conversions: declared steps only, refused otherwise, and no reason repeats a value."""

import unicodedata
from datetime import date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.adapters.conversions import Conversion, Refused, convert, fold, tidy
from connectors.adapters.dateforms import date_form
from connectors.adapters.slots import Slot, SlotKind, slots_of
from protocol.bodies import FORMS
from protocol.bodies.needs import ChecklistItem, Need
from protocol.bodies.person import Address, Person
from protocol.bodies.sentence import Condition, FirstAppointment
from protocol.content import MAX_LINE, is_clean

LINE = slots_of(Person)["family_name"]
BORN = slots_of(Person)["date_of_birth"]
PASSAGE = slots_of(Condition)["text"]
ZONE = ZoneInfo("Europe/Belgrade")
CLOCK = slots_of(FirstAppointment)["at"]
YES_NO = slots_of(Address)["no_fixed_abode"]
CODE = slots_of(Need)["pathway"]
LINES = slots_of(ChecklistItem)["documents"]


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: form.__name__)
def test_every_field_of_every_form_is_a_known_kind_of_place(form: Any) -> None:
    for slot in slots_of(form).values():
        assert (slot.item is not None) == (slot.kind is SlotKind.ITEMS)
        assert (slot.choices is not None) == (slot.kind is SlotKind.CHOICE)


@pytest.mark.parametrize(
    ("raw", "slot", "conversion", "expected"),
    [
        ("  Ana \t Marija ", LINE, Conversion(), "Ana Marija"),
        ("e\u0301", LINE, Conversion(), "\u00e9"),
        ("a\r\nb\rc", PASSAGE, Conversion(), "a\nb\nc"),
        ("a\x00b\u202e", PASSAGE, Conversion(), "a\ufffdb\ufffd"),
        (12, LINE, Conversion(), "12"),
        (1.5, LINE, Conversion(), "1.5"),
        (None, LINE, Conversion(), None),
        ("   ", LINE, Conversion(), None),
        ("NULL", LINE, Conversion(absent=frozenset({"null"})), None),
        (["a", None, "", "b"], LINE, Conversion(join=", "), "a, b"),
        ([None], LINE, Conversion(join=", "), None),
        ("Status: Done. More", LINE, Conversion(after=("Status: ",), until=(".",)), "Done"),
        ("x", CODE, Conversion(codes={"x": "health"}), "health"),
        ("  X ", CODE, Conversion(codes={"x": "health"}), "health"),
        ("health", CODE, Conversion(), "health"),
        (True, YES_NO, Conversion(), True),
        ("true", YES_NO, Conversion(codes={"true": True}), True),
        (True, YES_NO, Conversion(codes={"true": False}), False),
        ("2026-12-01", BORN, Conversion(forms=(date_form("iso"),)), date(2026, 12, 1)),
        ("2026-12-01T10:00:00.123456789+01:00", BORN, Conversion(forms=(date_form("iso"),)), date(2026, 12, 1)),
        ("2027-03-14T23:00:00Z", BORN, Conversion(forms=(date_form("iso"),)), date(2027, 3, 15)),
        ("2027-06-14 22:00:00.000+0000", BORN, Conversion(forms=(date_form("iso"),)), date(2027, 6, 15)),
        ("2027-03-14T23:00:00", BORN, Conversion(forms=(date_form("iso"),)), date(2027, 3, 14)),
        ("2027-03-14T22:59:59Z", BORN, Conversion(forms=(date_form("iso"),)), date(2027, 3, 14)),
        ("1981-07-14T23:00:00Z", BORN, Conversion(forms=(date_form("iso"),)), date(1981, 7, 15)),
        ("2027-06-14T23:00Z", CLOCK, Conversion(forms=(date_form("iso"),)), "01:00"),
        ("2027-06-14T23:00", CLOCK, Conversion(forms=(date_form("iso"),)), "23:00"),
        ("1.2.2026", BORN, Conversion(forms=(date_form("d.m.yyyy"),)), date(2026, 2, 1)),
        ("01/12/2026 09:05", CLOCK, Conversion(forms=(date_form("dd/MM/yyyy HH:mm"),)), "09:05"),
        ("01/12/2026 09:05", BORN, Conversion(forms=(date_form("dd/mm/yyyy HH:MM"),)), date(2026, 12, 1)),
        ("PASSPORT", LINES, Conversion(), ("PASSPORT",)),
        (["A", ["B", None]], LINES, Conversion(), ("A", "B")),
        ([], LINES, Conversion(), None),
    ],
)
def test_cnt_7_a_value_becomes_what_the_field_takes(
    raw: Any, slot: Slot, conversion: Conversion, expected: Any
) -> None:
    assert convert(raw, slot, conversion, ZONE) == expected


@pytest.mark.parametrize(
    ("raw", "slot", "conversion"),
    [
        ({"planted": 1}, LINE, Conversion()),
        (["planted"], LINE, Conversion()),
        (True, LINE, Conversion()),
        ("planted" * MAX_LINE, LINE, Conversion()),
        ("planted", BORN, Conversion(forms=(date_form("iso"),))),
        ("2026-02-30", BORN, Conversion(forms=(date_form("iso"),))),
        ("31/12/2026", BORN, Conversion(forms=(date_form("mm/dd/yyyy"),))),
        ("2026-12-01", CLOCK, Conversion(forms=(date_form("iso"),))),
        ("25:00", CLOCK, Conversion(forms=(date_form("hh:mm"),))),
        ("2027-03-14T25:00:00Z", BORN, Conversion(forms=(date_form("iso"),))),
        ("2027-03-14T23:00:00+99:99", BORN, Conversion(forms=(date_form("iso"),))),
        ("9999-12-31T23:30:00Z", BORN, Conversion(forms=(date_form("iso"),))),
        ("0001-01-01T00:00:00+14:00", BORN, Conversion(forms=(date_form("iso"),))),
        ("9999-12-31T23:30:00Z", CLOCK, Conversion(forms=(date_form("iso"),))),
        ("planted", YES_NO, Conversion()),
        (1, YES_NO, Conversion()),
        ("planted", CODE, Conversion()),
        ("planted", CODE, Conversion(codes={"x": "health"})),
        ("planted", LINE, Conversion(after=("Status: ",))),
        ("planted", LINE, Conversion(until=(".",))),
        ([{"planted": 1}], LINES, Conversion()),
        (["planted"] * 3_000, LINES, Conversion()),
    ],
    ids=range(22),
)
def test_err_2_what_is_refused_is_not_repeated(raw: Any, slot: Slot, conversion: Conversion) -> None:
    with pytest.raises(Refused) as refusal:
        convert(raw, slot, conversion, ZONE)
    assert "planted" not in str(refusal.value)
    assert str(refusal.value)


@given(st.text(max_size=50), st.booleans())
def test_tidy_text_is_what_content_may_hold_and_tidying_twice_changes_nothing(text: str, one_line: bool) -> None:
    tidied = tidy(text, one_line=one_line)
    assert is_clean(tidied)
    assert tidy(tidied, one_line=one_line) == tidied
    assert not one_line or "\n" not in tidied


@given(st.text(max_size=50))
def test_tidying_adds_nothing_but_marks_for_what_it_replaced(text: str) -> None:
    written = set(unicodedata.normalize("NFC", text)) | {"\ufffd", " ", "\n"}
    assert set(tidy(text, one_line=False)) <= written


@given(st.dates(min_value=date(1000, 1, 1)), st.sampled_from(["dd/mm/yyyy", "yyyymmdd", "d.m.yyyy.", "yyyy-mm-dd"]))
def test_a_date_is_read_as_it_was_written(day: date, form: str) -> None:
    written = form.replace("dd", f"{day.day:02}").replace("mm", f"{day.month:02}").replace("yyyy", f"{day.year:04}")
    written = written.replace("d.", f"{day.day}.").replace("m.", f"{day.month}.")
    assert date_form(form).date(written, ZONE) == day


@given(
    st.dates(min_value=date(1900, 1, 1), max_value=date(2999, 1, 1)),
    st.times(),
    st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    st.sampled_from(["Europe/Belgrade", "Europe/Tirane", "UTC", "America/New_York", "Pacific/Kiritimati"]).map(
        ZoneInfo
    ),
)
def test_cnt_7_a_moment_is_the_day_and_the_time_of_the_agencys_clock_however_it_is_written(
    day: date, at: time, written_in: timezone, zone: ZoneInfo
) -> None:
    moment, form = datetime.combine(day, at, written_in), date_form("iso")
    there = moment.astimezone(zone)
    assert form.date(moment.isoformat(), zone) == there.date()
    assert form.time(moment.isoformat(), zone) == f"{there.hour:02}:{there.minute:02}"


@pytest.mark.parametrize("text", ["", "dd/mm", "yy-mm-dd", "dd/mm/dddd", "x", "mm", "yyyyy-mm-dd"])
def test_a_form_that_gives_no_date_and_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="dd/mm/yyyy"):
        date_form(text)


@pytest.mark.parametrize("text", ["2026-1-01", "2026-01-01x", " 2026-01-01", "2026-01-01T99:00", "\u0662026-01-01"])
def test_other_spellings_of_a_date_are_not_guessed(text: str) -> None:
    form = date_form("iso")
    assert form.date(text, ZONE) is None or form.time(text, ZONE) is None


def test_codes_are_compared_without_case_and_spacing() -> None:
    assert fold("  DON'T   Know ") == fold("don't know")
