# SPDX-License-Identifier: Apache-2.0
"""How an export writes dates and times, as an officer would describe it: `dd/mm/yyyy HH:MM`."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo

ISO = "iso"

_TOKEN = re.compile(r"(y+|m+|d+|h+|s+)", re.IGNORECASE)
_ISO = re.compile(
    r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"
    r"(?:[T ](?P<h>[0-9]{2}):(?P<n>[0-9]{2})(?::[0-9]{2}(?:[.,][0-9]{1,12})?)?(?P<o>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_WIDTHS = {"y": (4,), "m": (1, 2), "n": (1, 2), "d": (1, 2), "h": (1, 2), "s": (1, 2)}


@dataclass(frozen=True, slots=True)
class DateForm:
    """One way of writing a date, with or without a time of day."""

    text: str
    _pattern: re.Pattern[str] = field(repr=False)

    @property
    def has_date(self) -> bool:
        """Tell whether it gives year, month and day."""
        return {"y", "m", "d"} <= set(self._pattern.groupindex)

    @property
    def has_time(self) -> bool:
        """Tell whether it gives hours and minutes."""
        return {"h", "n"} <= set(self._pattern.groupindex)

    def date(self, text: str, zone: tzinfo) -> date | None:
        """Return the date that `text` writes, or None; where it says its distance from UTC, that in `zone` (CNT-7)."""
        found = self._pattern.fullmatch(text)
        try:
            if found and _says_offset(found):
                return _moment(text, zone).date()
            return date(int(found["y"]), int(found["m"]), int(found["d"])) if found else None
        except (OverflowError, ValueError):
            return None

    def time(self, text: str, zone: tzinfo) -> str | None:
        """Return the time of day that `text` writes, as HH:MM, or None; in `zone`, as `date` (CNT-7)."""
        found = self._pattern.fullmatch(text)
        try:
            if found and _says_offset(found):
                return f"{_moment(text, zone):%H:%M}"
        except (OverflowError, ValueError):
            return None
        if not found or found["h"] is None or int(found["h"]) > 23 or int(found["n"]) > 59:
            return None
        return f"{int(found['h']):02}:{int(found['n']):02}"


def _says_offset(found: re.Match[str]) -> bool:
    return found.groupdict().get("o") is not None


def _moment(text: str, zone: tzinfo) -> datetime:
    # Databases write a local midnight as 23:00 or 22:00 of the day before, in UTC.
    return datetime.fromisoformat(text).astimezone(UTC).astimezone(zone)


def date_form(text: str) -> DateForm:
    """Return the form that `text` describes, or raise `ValueError` with one line for the mapping's author.

    `y`, `m`, `d`, `h`, `s` stand for digits, in either case; `m` after `h` is minutes. Two letters mean two
    digits, one letter one or two, years have four. Everything else stands for itself. `iso` is ISO 8601, and the
    only form that knows a distance from UTC.
    """
    if text.lower() == ISO:
        return DateForm(ISO, _ISO)
    pattern, seen = "", set[str]()
    for part in _TOKEN.split(text):
        letter = part[:1].lower()
        if not _TOKEN.fullmatch(part):
            pattern += re.escape(part)
            continue
        if letter == "m" and "h" in seen:
            letter = "n"
        if letter in seen or len(part) not in _WIDTHS[letter]:
            raise ValueError("a date's form is written like dd/mm/yyyy, dd/mm/yyyy HH:MM or iso")
        seen.add(letter)
        digits = str(len(part)) if len(part) > 1 else "1,2"
        pattern += f"(?P<{letter}>[0-9]{{{digits}}})"
    form = DateForm(text, re.compile(pattern))
    if not form.has_date and not form.has_time:
        raise ValueError("a date's form is written like dd/mm/yyyy, dd/mm/yyyy HH:MM or iso")
    return form
