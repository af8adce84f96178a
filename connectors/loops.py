# SPDX-License-Identifier: Apache-2.0
"""The loops of a connector: one reads the mailbox, one seals and sends, others keep what changes by itself up to date.

Each survives whatever the network does, with growing, jittered pauses; what it cannot do is shown by the status and
the log, and nothing is ever given up silently (CON-2).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import stamina

from connectors.config import ConnectorSection
from connectors.dropfolder.folder import DropFolder
from connectors.incoming_mail import QUIET_S, IncomingMail
from connectors.logs import Log
from connectors.parts import Parts
from connectors.tidying import Tidying
from connectors.timing import Clock, system_chance
from connectors.upkeep import upkeep
from protocol.disk import is_full
from protocol.errors import StoreFull, ThroughcareError, TooManyRequests
from protocol.http.skipping import LOOK_EVERY_S, SkippingClock
from protocol.limits import SECOND

FIRST_LOOK_S: Final = 10.0
"""Seconds that the start waits for the hub; without it the connector begins with what it has."""
CANCEL_AGAIN_S: Final = 1.0
LONGEST_REST_S: Final = 30.0
"""Seconds after which the sending loop looks again even if nothing woke it."""
WEBHOOKS_EVERY_S: Final = 2.0
"""Seconds between two looks for events that others are to be told of."""
DROP_EVERY_S: Final = 2.0
"""Seconds between two looks into the drop folder."""
LEAST_REST_S: Final = 0.05
WANTED_EVERY_S: Final = 5.0
"""Seconds between two looks at the directory that somebody asked for."""
TRANSFER_EVERY_S: Final = 2.0
"""Seconds between two looks for attachments to carry, if nothing tells of any."""
RETRY_FIRST_S: Final = 0.5
RETRY_MOST_S: Final = 60.0


class Loops:
    """Keeps the parts of one connector going."""

    def __init__(
        self, parts: Parts, settings: ConnectorSection, clock: Clock, log: Log, *, drop: DropFolder | None = None
    ) -> None:
        """Nothing runs before `run`; without `drop` no folder is looked into."""
        self._drop = drop
        self._parts = parts
        self._tidying = Tidying(parts, drop, clock, log)
        self._directory_every_s = float(settings.directory_every_s)
        self._clock = clock
        self._skipped = asyncio.Event()
        self._log = log
        self._mail = IncomingMail(parts, clock)
        self._followed = -1
        self._sealed = asyncio.Event()

    async def look_once(self) -> None:
        """Try to bring directory and prekeys up to date before anybody is served; the hub may be away."""
        try:
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._look()
        except TimeoutError:
            self._log.event("hub-unreachable", part="directory", outcome="timeout")
        except Exception as error:  # noqa: BLE001 # the loop tries again; who can be served is served
            self._failed("directory", error)

    async def run(self, stop: asyncio.Event) -> None:
        """Run all loops until `stop` is set; a loop that fails is started again, never dropped silently."""
        async with asyncio.TaskGroup() as tasks:
            loops = [
                tasks.create_task(self._keep("mail", self._collect)),
                tasks.create_task(self._keep("send", self._send)),
                tasks.create_task(self._keep("uploads", self._upload)),
                tasks.create_task(self._keep("downloads", self._download)),
                tasks.create_task(self._keep("directory", self._follow)),
                tasks.create_task(self._keep("clock", self._tick)),
                tasks.create_task(self._keep("gaps", self._ask)),
            ]
            # A task for each address: one that does not answer keeps nobody else waiting (EVT-5).
            for address in self._parts.courier.addresses or (None,):
                loops.append(tasks.create_task(self._keep("webhooks", partial(self._tell, address))))
            if self._drop is not None:
                loops.append(tasks.create_task(self._keep("drop", self._look_into)))
            if isinstance(self._clock, SkippingClock):
                loops.append(tasks.create_task(self._notice_skips(self._clock)))
            try:
                await stop.wait()
            finally:
                await _end(loops)

    async def _keep(self, part: str, work: Callable[[], Awaitable[None]]) -> None:
        def failed(error: Exception) -> bool | float:
            if not isinstance(error, Exception):
                return False  # cancelled: the retries pass everything by here, and a stop is no failure
            self._failed(part, error)
            if isinstance(error, TooManyRequests):
                # The hub has said how long (HTTP-14); not all who were told the same come back at once.
                return (error.retry_after or 1) * (1 + system_chance())
            return True

        while True:
            async for attempt in stamina.retry_context(
                on=failed,
                attempts=None,
                timeout=None,
                wait_initial=RETRY_FIRST_S,
                wait_max=RETRY_MOST_S,
                wait_jitter=RETRY_FIRST_S,
            ):
                with attempt:
                    await work()

    def _failed(self, part: str, error: Exception) -> None:
        if isinstance(error, ThroughcareError):
            if part != "send":
                self._parts.connection.failed(error)
            self._log.event(self._parts.connection.event(error), part=part, code=error.code, outcome=error.reason)
        elif isinstance(error, OSError) and is_full(error):
            # An attachment or a key that found no room: what the store says of itself.
            self._failed(part, StoreFull())
        else:
            # A mistake of ours or of the machine: told at once, tried again, visible as long as it lasts.
            self._log.event("part-failed", part=part, code=type(error).__name__)

    async def _collect(self) -> None:
        """Take mail over one link; ends when the link does."""
        ended = await self._mail.collect()
        if ended is not None:
            # The link worked and ended: that is no reason to wait longer each time, only a moment.
            self._failed("mail", ended)
            await asyncio.sleep(RETRY_FIRST_S)

    async def _send(self) -> None:
        """Seal and send what is due, then rest until something is."""
        parts = self._parts
        parts.work.clear()
        refused: ThroughcareError | None = None
        try:
            if await parts.sealer.step():
                self._sealed.set()
        except ThroughcareError as error:
            # Nothing may be sealed now; what is sealed already still goes out.
            refused = error
        answered = await parts.outbox.step(parts.connection)
        if refused is not None:
            raise refused
        if answered == 0:
            await self._rest()

    async def _rest(self) -> None:
        due = await self._parts.outbox.next_due()
        try:
            async with asyncio.timeout(self._rest_until(due)):
                await self._parts.work.wait()
        except TimeoutError:
            return

    async def _upload(self) -> None:
        """Bring attachments to the hub before their envelopes (ATT-4), then rest until there are some."""
        self._sealed.clear()
        if await self._parts.uploads.step():
            self._parts.work.set()
        else:
            await _until(self._sealed, TRANSFER_EVERY_S)

    async def _download(self) -> None:
        """Fetch the attachments of what has come (ATT-7), then rest until more comes."""
        self._mail.arrived.clear()
        if await self._parts.downloads.step():
            self._parts.work.set()
        else:
            await _until(self._mail.arrived, TRANSFER_EVERY_S)

    async def _tick(self) -> None:
        """Make the moves of time that are due (CLK-4), hear what is late (KIND-7), then rest until the next is."""
        clockwork, directory, mail_read = self._parts.clockwork, self._parts.directory, self._mail.is_read()
        if await self._parts.pauses.step():
            for wakened in (self._parts.work, self._sealed, self._mail.arrived):
                wakened.set()
        moved = await clockwork.step(mail_read=mail_read)
        heard = 0 if directory.clock_is_wrong else await self._parts.hearing.step()
        if moved:
            self._parts.work.set()
        if moved or heard:
            return
        due = [] if directory.clock_is_wrong else [await self._parts.hearing.next_due()]
        if not mail_read and self._mail.was_opened:
            due.append(self._clock() + QUIET_S * SECOND)
        elif directory.clock_is_sound and mail_read:
            due.append(await clockwork.next_due())
        await _until(self._skipped, self._rest_until(min((at for at in due if at is not None), default=None)))

    async def _ask(self) -> None:
        """Ask for what is missing (SEQ-10) and say what will not come (SEQ-11), then rest until there is more."""
        if await self._parts.owing.step() + await self._parts.asking.step():
            self._parts.work.set()
            return
        await _until(self._skipped, self._rest_until(await self._parts.asking.next_due()))

    def _rest_until(self, due: int | None) -> float:
        """Return for how many seconds nothing has to be looked at, if the next thing is due at `due` (ms UTC)."""
        seconds = LONGEST_REST_S if due is None else (due - self._clock()) / 1_000
        return min(max(seconds, LEAST_REST_S), LONGEST_REST_S)

    async def _notice_skips(self, clock: SkippingClock) -> None:
        """Wake all that rests whenever a demo's clock has gone ahead: things are due at once, and others are old."""
        known = clock.ahead()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if clock.ahead() != known:
                known = clock.ahead()
                self._wake_resting()
                self._parts.directory.wanted.set()
                self._parts.work.set()

    def _wake_resting(self) -> None:
        skipped, self._skipped = self._skipped, asyncio.Event()
        skipped.set()

    async def _tell(self, address: str | None) -> None:
        """Tell an address of events that it has not confirmed (EVT-5), then rest until there may be more."""
        if not await self._parts.courier.step(address):
            await asyncio.sleep(LONGEST_REST_S if address is None else WEBHOOKS_EVERY_S)

    async def _look_into(self) -> None:
        """Take what lies in the drop folder, and put there what happened (DRP-1), then rest."""
        if self._drop is None or not await self._drop.step():
            await asyncio.sleep(DROP_EVERY_S)

    async def _follow(self) -> None:
        """Look at the directory, at prekeys and at what is old, then wait for the next time or for a wish."""
        failure: Exception | None = None
        try:
            # First: whatever happens to the rest, the directory is followed (SEQ-4).
            await self._look()
            if await self._parts.resealing.follow_silence(self._mail.drained_at):
                self._parts.work.set()
        except Exception as error:  # noqa: BLE001 # raised below; a hub that is away keeps nothing from being forgotten
            failure = error
        for part, work in self._tidying.steps():
            try:
                await work()
            except Exception as error:  # noqa: BLE001 # what cannot be tidied up holds up nothing, and is tried again
                self._failed(part, error)
        if failure is not None:
            raise failure
        await _until(self._skipped, min(WANTED_EVERY_S, self._directory_every_s))
        try:
            async with asyncio.timeout(max(0.0, self._directory_every_s - WANTED_EVERY_S)):
                await self._parts.directory.wanted.wait()
        except TimeoutError:
            return

    async def _look(self) -> None:
        parts = self._parts
        parts.directory.wanted.clear()
        # First: whatever happens to the rest, the directory is followed (SEQ-4).
        failures = await self._sync()

        async def follow() -> None:
            failures.extend(await self._sync())

        failures += await upkeep(
            parts.renewal, parts.prekeys, parts.client, drained_at=self._mail.drained_at, follow=follow
        )
        for error in failures[1:]:
            self._failed("directory", error)
        if failures:
            raise failures[0]

    async def _sync(self) -> list[Exception]:
        """Bring the directory up to date; return what failed of what follows from it, which holds up nothing else."""
        parts = self._parts
        waited = not parts.directory.clock_is_sound
        await parts.directory.sync()
        parts.connection.reached()
        if waited and parts.directory.clock_is_sound:
            self._wake_resting()
        size = parts.directory.directory.size
        if size == self._followed:
            return []
        # Also when the inbox has fetched the directory, or an earlier start did.
        try:
            await parts.resealing.follow_directory()
        except Exception as error:  # noqa: BLE001 # the caller tells of it and tries again
            return [error]
        self._followed = size
        parts.work.set()
        return []


async def _end(loops: Sequence[asyncio.Task[None]]) -> None:
    """Cancel `loops` until they have ended.

    Once is not always enough: aiohttp takes a cancellation that comes at the very moment of one of its timeouts for
    its own, as when a machine wakes up and is shut down at once.
    """
    while running := [loop for loop in loops if not loop.done()]:
        for loop in running:
            loop.cancel()
        await asyncio.wait(running, timeout=CANCEL_AGAIN_S)


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
