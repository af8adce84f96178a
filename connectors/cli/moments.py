# SPDX-License-Identifier: Apache-2.0
"""How a command is told a moment, with its zone, `2027-01-05T10:00+01:00`, or a day, `2027-01-05`."""

from datetime import UTC, date, datetime, timedelta
from typing import Final

import click

from protocol.kinds.base import MOST_INSTANT

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = "write a day as in 2027-01-05: year, month, day."
_FORM: Final = "write a time with its zone, as in 2027-01-05T10:00+01:00, or with Z for UTC."


def moment(_: click.Context, __: click.Parameter, said: str | None) -> int | None:
    """Return the moment that an option names, in ms UTC; a program may give that number itself.

    Without a zone it is refused: the machine that a command is typed on may keep another time than the office.
    """
    if said is None:
        return None
    found = int(said) if said.isascii() and said.isdigit() and len(said) == 13 else _parsed(said)
    if not 0 <= found <= MOST_INSTANT:
        raise click.BadParameter(_FORM)
    return found


def day(_: click.Context, __: click.Parameter, said: str | None) -> str | None:
    """Return the day that an option names, as it was written."""
    if said is not None:
        try:
            date.fromisoformat(said)
        except ValueError:
            raise click.BadParameter(_DAY) from None
        if len(said) != len("2027-01-05"):
            raise click.BadParameter(_DAY)
    return said


def _parsed(said: str) -> int:
    try:
        when = datetime.fromisoformat(said)
    except ValueError:
        raise click.BadParameter(_FORM) from None
    if when.tzinfo is None:
        raise click.BadParameter(_FORM)
    return (when - _EPOCH) // timedelta(milliseconds=1)
