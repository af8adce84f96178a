# SPDX-License-Identifier: Apache-2.0
"""How a command is told a moment, with its zone, `2027-01-05T10:00+01:00`, or a day, `2027-01-05`, and tells one.

People are shown the time of the agency's clocks (`calendar.zone`), as on paper, with its distance from UTC, and may
type it back as it stands. Programs read UTC (`--json`).
"""

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from connectors.api_client import ApiClient
from protocol.errors import InvalidInput, ThroughcareError
from protocol.kinds.base import MOST_INSTANT

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = "write a day as in 2027-01-05: year, month, day."
_SHOWN: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d) \(([+-]\d\d:\d\d)\)")
_ZONE: Final = f"{__name__}.zone"
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


def with_moments(fields: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return a file's `fields`, those of these `names` in ms UTC that are written as people do; `InvalidInput` else."""
    found = dict(fields)
    for name in names:
        said = found.get(name)
        if isinstance(said, str):
            try:
                found[name] = _parsed(said)
            except click.BadParameter:
                raise InvalidInput(f"In the file, at {name}: {_FORM}") from None
    return found


async def keep_zone(client: ApiClient) -> None:
    """Keep for this command by which clocks its connector's agency works; where it does not say, moments are in UTC."""
    context = click.get_current_context(silent=True)
    if context is None or context.params.get("as_json"):
        return
    with suppress(ThroughcareError, ZoneInfoNotFoundError):
        context.meta[_ZONE] = ZoneInfo((await client.status()).zone)


def local_time(at: int) -> str:
    """Return a moment (ms UTC) for people, to the minute, by the agency's clock: `2027-01-05 10:00 (+01:00)`."""
    context = click.get_current_context(silent=True)
    zone: tzinfo = UTC if context is None else context.meta.get(_ZONE, UTC)
    local = (_EPOCH + timedelta(milliseconds=at)).astimezone(zone)
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M} ({offset[:3]}:{offset[3:]})"


def _parsed(said: str) -> int:
    if (pasted := _SHOWN.fullmatch(said)) is not None:
        said = f"{pasted[1]}{pasted[2]}"
    try:
        when = datetime.fromisoformat(said)
    except ValueError:
        raise click.BadParameter(_FORM) from None
    if when.tzinfo is None:
        raise click.BadParameter(_FORM)
    return (when - _EPOCH) // timedelta(milliseconds=1)
