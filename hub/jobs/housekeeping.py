# SPDX-License-Identifier: Apache-2.0
"""The hub's own rounds: expire, prune, forget, close what is out of time, say what runs out.

Each round is a plain coroutine, so that a test can run it at the time it chooses; `run` only repeats them.
A round that fails is logged and tried again with the next; none takes the hub down.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hub.logs import Event, Log, where
from hub.service.blobs import Blobs
from hub.service.clocktrust import ClockTrust
from hub.service.expiry import Expiry
from hub.service.leases import Lease
from hub.service.nonces import Nonces
from protocol.disk import is_short


@dataclass(frozen=True, slots=True)
class Round:
    """A piece of work and the seconds between its end and its next begin."""

    name: str
    every_s: float
    work: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class HubClock:
    """What is known of the clock: whether it is believed, and whether it has moved as time has."""

    trust: ClockTrust
    is_sound: Callable[[], bool]


class Housekeeping:
    """All rounds of one hub."""

    def __init__(
        self,
        expiry: Expiry,
        nonces: Nonces,
        blobs: Blobs,
        recheck: Callable[[], None],
        evidence_days: int,
        lease: Lease,
        clock: HubClock,
        log: Log,
    ) -> None:
        """`recheck` closes connections of devices whose certificate has ended (HTTP-12).

        What is done to the database is for the process that holds `lease`; nothing is done by time before the `clock`
        is believed (AUD-11).
        """
        self._clock = clock
        self._expiry = expiry
        self._lease = lease
        self._nonces = nonces
        self._blobs = blobs
        self._recheck = recheck
        self._days = evidence_days
        self._log = log

    def rounds(self) -> list[Round]:
        """Return the rounds with their pace."""
        return [
            Round("expire", 1.0, self.expire),
            Round("clock", 5.0, self.keep_time),
            Round("descriptors", 1.0, self.check_descriptors),
            Round("connections", 30.0, self.check_connections),
            Round("blobs", 60.0, self.drop_blobs),
            Round("nonces", 60.0, self.drop_nonces),
            Round("forget", 3_600.0, self.forget),
        ]

    async def expire(self) -> None:
        """Purge what is past its time and tell the senders (HTTP-11)."""
        if self._clock.trust.given and await self._lease.held() and (count := await self._expiry.expire()):
            self._log.info(Event.EXPIRED, count=count)

    async def forget(self) -> None:
        """Delete evidence past the retention time; the leaves stay."""
        if self._clock.trust.given and await self._lease.held() and (count := await self._expiry.forget(self._days)):
            self._log.info(Event.PRUNED, count=count)

    async def drop_blobs(self) -> None:
        """Delete attachments past their time, and those that no envelope came for (ATT-6)."""
        if self._clock.trust.given and (count := await self._blobs.expire()):
            self._log.info(Event.BLOBS_DROPPED, count=count)

    async def drop_nonces(self) -> None:
        """Forget nonces whose signatures are too old anyway."""
        if self._clock.trust.given:
            await self._nonces.prune()

    async def keep_time(self) -> None:
        """See whether the operator has confirmed the time, and note it while it is known to be right (AUD-11)."""
        await self._clock.trust.keep(sound=self._clock.is_sound())

    async def check_descriptors(self) -> None:
        """Say so while none is left: the event loop turns new connections away then, without a word (HTTP-17)."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if not is_short(error):
                raise
            self._log.warning(Event.RESOURCES_SHORT)

    async def check_connections(self) -> None:
        """Close the connections of devices whose certificate has ended."""
        self._recheck()

    async def run(self) -> None:
        """Repeat all rounds until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for one in self.rounds():
                tasks.create_task(self._repeat(one))

    async def _repeat(self, one: Round) -> None:
        while True:
            try:
                await one.work()
            except Exception as error:  # noqa: BLE001 - a round that fails today may work in a minute
                self._log.warning(Event.JOB_FAILED, job=one.name, where=where(error))
            await asyncio.sleep(one.every_s)
