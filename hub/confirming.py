# SPDX-License-Identifier: Apache-2.0
"""`throughcare-hub clock`: says what time this machine and this hub believe it is, and takes the operator's word."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import Connection

from hub.config import CLOCK_NAME, DATABASE_NAME, HubSettings
from hub.migrations import revision_of
from hub.service.clocktrust import is_unsure, note_time, noted_time
from hub.service.leases import last_shown
from hub.store import trees
from hub.store.opening import look
from protocol.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Times:
    """What this machine says, and what this hub last knew to be right, or 0; in ms UTC."""

    now: int
    known: int
    unsure: bool

    def lines(self) -> list[str]:
        """Return it for the operator."""
        found = [f"This machine's clock says {told(self.now)}."]
        if self.known:
            found.append(f"The hub last knew the time to be right at {told(self.known)}.")
        if self.unsure:
            found.append(
                "It takes no mail and deletes none before the connectors of two agencies show the same time, or you "
                "confirm it."
            )
        else:
            found.append("Nothing has to be confirmed.")
        return found


def told(at: int) -> str:
    """Return a time for people: `2026-11-27 13:40 UTC`."""
    return f"{datetime.fromtimestamp(at / 1_000, UTC):%Y-%m-%d %H:%M} UTC"


async def read_times(settings: HubSettings, now: int) -> Times:
    """Return what is known of the time, also beside a running hub; raises what `look` does."""
    folder, newest, shown = settings.hub.data_dir, 0, 0
    if settings.store.url is not None or (folder / DATABASE_NAME).exists():
        newest, shown = await look(folder, settings.store, _stored)
    noted = max(noted_time(folder / CLOCK_NAME), shown)
    return Times(now, max(newest, noted), is_unsure(now, newest, noted))


def _stored(connection: Connection) -> tuple[int, int]:
    """Return the newest time of the logs, and the newest that any process has shown."""
    return (trees.newest_time(connection), last_shown(connection)) if revision_of(connection) else (0, 0)


def confirm(settings: HubSettings, today: date, now: int) -> None:
    """Note that the time is right, if `today`, as the operator has it from a calendar, is what this machine says.

    Raises ConfigurationError if it is not: then the clock is to be set first.
    """
    here = datetime.fromtimestamp(now / 1_000, UTC)
    if today not in (here.date(), here.astimezone().date()):
        raise ConfigurationError(
            f"This machine's clock says {told(now)}, which is another day. Nothing was confirmed. Set the clock, and "
            "keep it set (NTP); then start the hub anew."
        )
    note_time(settings.hub.data_dir / CLOCK_NAME, now)
