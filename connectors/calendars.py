# SPDX-License-Identifier: Apache-2.0
"""Each agency's working days: the public holidays of its country, with what the configuration adds or takes away."""

from collections.abc import Mapping
from datetime import date, time
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from protocol.address import AgencyAddress
from protocol.clocks import Calendar
from protocol.settings import Section

if TYPE_CHECKING:
    from holidays import HolidayBase

ZONES: Final[Mapping[str, str]] = {
    "AL": "Europe/Tirane",
    "BA": "Europe/Sarajevo",
    "ME": "Europe/Podgorica",
    "MK": "Europe/Skopje",
    "RS": "Europe/Belgrade",
    "XK": "Europe/Belgrade",
}
"""The zone of each country code. XK is without prejudice to positions on status; its clocks are those of the zone."""


class CalendarSection(Section):
    """`[calendar]`: which days count."""

    country: str = Field(
        "",
        description="Whose public holidays count: AL, BA, ME, MK, RS or XK (without prejudice to positions on status). "
        "Without it only weekends are free.",
        examples=["RS"],
        pattern=r"^([A-Z]{2})?$",
    )
    subdivision: str = Field(
        "", description="A part of the country with holidays of its own, such as BIH, BRC or SRP in BA.", max_length=10
    )
    zone: str = Field(
        "Europe/Belgrade", description="The time zone in which working hours are meant.", examples=["Europe/Sarajevo"]
    )
    closed_on: tuple[date, ...] = Field(
        (), description="Further days that are not worked, such as a local holiday.", examples=[["2027-05-06"]]
    )
    open_on: tuple[date, ...] = Field((), description="Days of the list that are worked all the same.")
    opens: time = Field(time(9), description="When the working day begins.")
    last_arrival: time = Field(time(13), description="What arrives later counts from the next working day.")
    closes: time = Field(time(17), description="When the working day ends.")

    @model_validator(mode="after")
    def _usable(self) -> "CalendarSection":
        if self.country and self.country not in ZONES:
            raise ValueError("calendar.country is one of AL, BA, ME, MK, RS, XK")
        if not self.opens <= self.last_arrival <= self.closes:
            raise ValueError("calendar.opens, last_arrival and closes must be in this order")
        try:
            ZoneInfo(self.zone)
        except (OSError, ValueError, ZoneInfoNotFoundError):
            raise ValueError("calendar.zone is a name such as Europe/Belgrade") from None
        if self.country:
            _public(self.country, self.subdivision)
        return self


def _public(country: str, subdivision: str) -> "HolidayBase":
    # It takes long to import, and who names no country has no need of it.
    import holidays  # noqa: PLC0415

    try:
        return holidays.country_holidays(country, subdiv=subdivision or None)
    except NotImplementedError:
        raise ValueError("calendar.subdivision is not one of this country") from None


class Calendars:
    """Gives the calendar of any agency. Until jurisdictions publish calendars, all of one hub share one."""

    def __init__(self, section: CalendarSection | None = None) -> None:
        """Read the configuration; without one only weekends are free."""
        section = section or CalendarSection()
        public = _public(section.country, section.subdivision) if section.country else frozenset[date]()
        closed, opened = frozenset(section.closed_on), frozenset(section.open_on)

        def is_holiday(day: date) -> bool:
            return day not in opened and (day in closed or day in public)

        self._calendar = Calendar(
            ZoneInfo(section.zone),
            is_holiday,
            opens=section.opens,
            last_arrival=section.last_arrival,
            closes=section.closes,
        )

    def of(self, agency: AgencyAddress) -> Calendar:
        """Return the working days of `agency`."""
        return self._calendar
