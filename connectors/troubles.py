# SPDX-License-Identifier: Apache-2.0
"""Troubles on purpose, for whoever builds against a sandbox: what networks and busy servers do, as a file says.

Only the demo profile reads one, again and again. Each line names a trouble and how often it comes or how long it lasts:

    delay 500ms       every call to the hub, and every request here, takes so much longer
    drop 0.1          a call to the hub is lost on its way, or its answer on the way back
    duplicate 0.2     what goes to the hub goes twice, and what comes from there comes twice
    reorder 0.3       an envelope is overtaken by those behind it
    429 0.1           a request here is answered with too-many-requests
    503 0.1           a request here is answered with unavailable: before anything was done, or after

Nothing is lost by any of them: what was sent arrives once, later.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from connectors.hub_client import HubLink, Outcome
from protocol.errors import ConfigurationError, HubUnreachable, TooManyRequests, Unavailable
from protocol.frames import Item

NAMES: Final = {"drop": "drop", "duplicate": "duplicate", "reorder": "reorder", "429": "busy", "503": "away"}
RETRY_AFTER_S: Final = 1
_MOST_DELAY_S: Final = 60.0
_DELAY: Final = re.compile(r"delay\s+([0-9]{1,6})(ms|s)")
_SHARE: Final = re.compile(rf"({'|'.join(NAMES)})\s+(0|1|[01]?\.[0-9]{{1,4}})")


@dataclass(frozen=True, slots=True)
class Troubles:
    """How long everything is delayed, in seconds, and which share of calls or requests has each trouble."""

    delay: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    busy: float = 0.0
    away: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "Troubles":
        """Read the lines of a file; `ConfigurationError` names the first that says nothing."""
        found = cls()
        for number, line in enumerate(text.splitlines(), start=1):
            said = line.partition("#")[0].strip()
            if not said:
                continue
            if delay := _DELAY.fullmatch(said):
                seconds = int(delay[1]) / (1_000 if delay[2] == "ms" else 1)
                found = replace(found, delay=min(seconds, _MOST_DELAY_S))
            elif (share := _SHARE.fullmatch(said)) and float(share[2]) <= 1:
                found = replace(found, **{NAMES[share[1]]: float(share[2])})
            else:
                raise ConfigurationError(
                    f"Line {number} of the faults file names no trouble. Write `delay 500ms`, or `drop`, `duplicate`, "
                    "`reorder`, `429` or `503` with a share from 0 to 1."
                )
        return found


@dataclass(slots=True)
class TroubleFile:
    """Says which troubles there are now; without the file, none.

    What cannot be read changes nothing, and `tell` is called, once until it can be read again.
    """

    file: Path
    chance: random.Random = field(default_factory=random.SystemRandom)
    tell: Callable[[], None] = lambda: None
    _known: Troubles = field(default_factory=Troubles)
    _told: bool = False

    def now(self) -> Troubles:
        """Return the troubles of this moment."""
        try:
            self._known = Troubles.parse(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._known = Troubles()
        except (OSError, UnicodeDecodeError, ConfigurationError):
            if not self._told:
                self._told = True
                self.tell()
            return self._known
        self._told = False
        return self._known

    def comes(self, share: float) -> bool:
        """Tell whether a trouble that comes to `share` of all comes to this one."""
        return self.chance.random() < share


class TroubledLink:
    """A way to the hub on which there are troubles."""

    def __init__(self, link: HubLink, troubles: TroubleFile) -> None:
        self._link = link
        self._troubles = troubles

    async def reach(self) -> None:
        """Reach the hub as the link does: what troubles there are come to what is sent."""
        await self._link.reach()

    async def submit(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        """Submit, perhaps late, twice, or in vain; an envelope that is overtaken has to be submitted again."""
        there = self._troubles.now()
        await self._way(there)
        passing = [envelope for envelope in envelopes if not self._troubles.comes(there.reorder)]
        answers: list[Outcome] = await self._link.submit(passing) if passing else []
        if passing and self._troubles.comes(there.duplicate):
            answers = await self._link.submit(passing)
        await self._back(there)
        answered = dict(zip(passing, answers, strict=True))
        return [answered.get(envelope, _overtaken()) for envelope in envelopes]

    async def receive(self, cursor: int) -> tuple[Item, ...]:
        """Receive, perhaps late, twice, or not at all: then the connection is lost."""
        items = await self._link.receive(cursor)
        there = self._troubles.now()
        await asyncio.sleep(there.delay)
        if items:
            await self._back(there)
            if self._troubles.comes(there.duplicate):
                return (*items, *items)
        return items

    async def acknowledge(self, up_to: int) -> None:
        """Acknowledge, perhaps late or in vain."""
        there = self._troubles.now()
        await self._way(there)
        await self._link.acknowledge(up_to)
        await self._back(there)

    async def _way(self, there: Troubles) -> None:
        await asyncio.sleep(there.delay)
        # Half of what is lost is lost on the way there, the other half on the way back.
        if self._troubles.comes(there.drop / 2):
            raise HubUnreachable

    async def _back(self, there: Troubles) -> None:
        if self._troubles.comes(there.drop / 2):
            raise HubUnreachable


def _overtaken() -> Unavailable:
    late = Unavailable()
    late.retry_after = RETRY_AFTER_S
    return late


def trouble(app: web.Application, troubles: TroubleFile) -> None:
    """Answer requests to `app`, whose operations are bound, late or with refusals, as the file says."""

    @web.middleware
    async def troubled(request: web.Request, handler: Callable[[web.Request], Awaitable[Any]]) -> Any:
        there = troubles.now()
        await asyncio.sleep(there.delay)
        if troubles.comes(there.busy):
            busy = TooManyRequests()
            busy.retry_after = RETRY_AFTER_S
            raise busy
        away = troubles.comes(there.away)
        if away and troubles.comes(0.5):
            raise _overtaken()
        response = await handler(request)
        if away:
            raise _overtaken()
        return response

    app.middlewares.append(troubled)
