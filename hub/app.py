# SPDX-License-Identifier: Apache-2.0
"""The composition root: makes every part, gives each the two or three things that it needs, and ends them in order."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from aiohttp import web

from hub.checked import CheckedStore, open_checked
from hub.config import BLOBS_NAME, CLOCK_NAME, HubSettings, pinned_root
from hub.jobs.housekeeping import Housekeeping, HubClock
from hub.logs import Log
from hub.service.allowances import Allowances
from hub.service.backlog import Queue
from hub.service.behind import noting
from hub.service.blobrows import BlobRows, Place
from hub.service.blobs import Blobs
from hub.service.buckets import Buckets
from hub.service.clocktrust import ClockTrust
from hub.service.directory import DirectoryLog
from hub.service.enrolment import Enrolments
from hub.service.expiry import Expiry
from hub.service.holdings import Holdings
from hub.service.leases import Lease, last_shown
from hub.service.mailbox import Mailboxes
from hub.service.neighbours import Neighbours
from hub.service.nonces import Nonces
from hub.service.reads import Reads
from hub.service.receipts import Receipts
from hub.service.signingkeys import SigningKeys
from hub.service.submission import SubmissionParts, Submissions
from hub.service.tally import Tally
from hub.service.waiting import Waiting
from hub.service.writer import Writer
from hub.store import trees
from hub.store.blobfiles import BlobFiles
from hub.watching import Watch
from hub.web.authentication import Authenticator
from hub.web.blobs import BlobHandlers
from hub.web.connections import Connections, Parts
from hub.web.handlers import Handlers, Identity
from hub.web.handouts import Handouts
from hub.web.strangers import Strangers, weigh
from keys.directory import Directory
from keys.selftest import self_test
from protocol.clockwatch import Clock, machine_time
from protocol.errors import StoreFailed
from protocol.http.hub import HUB_OPERATIONS, LogIdentity
from protocol.http.serving import LOCAL_HOSTS, Serving, bind_all
from protocol.settings import is_loopback

STOP_S = 2.5
"""Seconds that all that waits has to be committed when the hub stops."""


def system_clock() -> int:
    """Return the time in ms UTC."""
    return time.time_ns() // 1_000_000


class Hub:
    """One running hub without its listeners: `open` starts it, `public` is what to serve, `close` ends it."""

    def __init__(
        self,
        settings: HubSettings,
        keys: SigningKeys,
        stored: CheckedStore,
        writer: Writer,
        clock: Clock,
        elapsed: Clock,
        trust: ClockTrust,
        log: Log,
    ) -> None:
        domain = settings.hub.domain
        self.store = store = stored.store
        self.writer = writer
        self._stored = stored
        self._trust = trust
        tally = Tally()
        replay = Directory(pinned_root(settings), domain)
        receipts = Receipts(f"{domain}/audit", keys.audit, log, lambda: replay.audit_starts)
        self.directory = DirectoryLog(store, writer, replay, keys.directory, clock)
        self.nonces = Nonces(store, writer, clock)
        allowances = Allowances(settings.limits, _queue(settings), elapsed)
        waiting = Waiting(store, self.directory, settings.limits, elapsed)
        holdings = Holdings(store, settings.limits, settings.store.attachment_gigabytes << 30, elapsed)
        by = SubmissionParts(store, writer, self.directory, receipts, clock, tally, allowances, waiting, holdings)
        self.submissions = Submissions(by)
        reads = Reads(allowances, self.directory)
        self.mailboxes = Mailboxes(store, writer, receipts, tally, reads, lambda: replay.audit_starts)
        files = self._rows(allowances) if store.shared else BlobFiles(settings.hub.data_dir / BLOBS_NAME)
        self.blobs = Blobs(store, writer, self.directory, files, holdings, self._place(allowances), reads, clock)
        self.expiry = Expiry(store, writer, clock)
        scheme = "https" if _is_encrypted(settings) else "http"
        authenticator = Authenticator(self.directory, self.nonces, clock, scheme, trust)
        self.connections = Connections(
            domain, Parts(self.submissions, self.mailboxes, authenticator, allowances, clock, log, trust)
        )
        self.directory.on_statement(self.connections.recheck)
        self.neighbours = Neighbours(store, writer, self.directory, self.mailboxes, log)
        writer.on_commit(self.neighbours.note)
        self.watch = Watch(
            store,
            writer,
            self.directory,
            tally,
            lambda: len(self.connections),
            self.writes,
            settings,
            clock,
            log,
            stored.heads[trees.Log.AUDIT].size,
        )
        self._handlers = Handlers(
            identity=Identity(
                domain=domain,
                root_fingerprint=replay.root_fingerprint,
                directory=LogIdentity(origin=f"{domain}/directory", key=keys.directory.public),
                audit=LogIdentity(origin=f"{domain}/audit", key=keys.audit.public),
            ),
            directory=self.directory,
            enrolments=Enrolments(store, writer, self.directory, domain, clock),
            submissions=self.submissions,
            mailboxes=self.mailboxes,
            authenticator=authenticator,
            handouts=(handouts := Handouts()),
            clock=clock,
        )
        self._blob_handlers = BlobHandlers(self.blobs, authenticator)
        self._authenticator = authenticator
        knocks = Buckets("requests", settings.limits.stranger_requests_per_minute, elapsed)
        header = settings.hub.proxy_header if settings.hub.behind_proxy else None
        strangers = Strangers(knocks, allowances, handouts, header)
        self._serving = Serving(
            clock=clock, hosts=_hosts(settings), observe=self.watch.observe, admit=strangers.visit, weigh=weigh
        )
        self.housekeeping = Housekeeping(
            self.expiry,
            self.nonces,
            self.blobs,
            self.connections.recheck,
            settings.retention.evidence_days,
            Lease("housekeeping", store, writer, clock),
            HubClock(trust, lambda: writer.clock_is_sound),
            log,
        )
        self.writing: asyncio.Task[None] | None = None
        self._rounds: asyncio.Future[tuple[None, None]] | None = None

    @classmethod
    async def open(
        cls,
        settings: HubSettings,
        keys: SigningKeys,
        *,
        log: Log,
        clock: Clock = system_clock,
        elapsed: Clock = machine_time,
        reach: Callable[[str], None] = lambda step: None,
        rounds: bool = True,
    ) -> "Hub":
        """Open what is stored, hold it against its guard, take in the directory, and start.

        `elapsed` counts ms and is never set, unlike `clock` (AUD-7). `reach` is told each step of the writer (tests
        end the process there); without `rounds` nothing happens by itself. Raises ConfigurationError, SelfTestFailed
        or StoreBehind; nothing was served or signed then (AUD-4).
        """
        self_test()
        pinned_root(settings)
        stored = await open_checked(settings, keys, log, against_server=clock if clock is system_clock else None)
        folder, store = settings.hub.data_dir, stored.store
        try:
            # A demo's clock is put ahead on purpose.
            believed = 0 if settings.hub.clock_file else stored.newest
            trust = ClockTrust(folder / CLOCK_NAME, believed, clock, log, partial(store.read, last_shown))
            writer = Writer(
                store,
                stored.guard,
                stored.origins,
                clock,
                log,
                _queue(settings),
                stored.followed,
                reach,
                elapsed,
                trust,
            )
            writer.log_time = stored.newest
            hub = cls(settings, keys, stored, writer, clock, elapsed, trust, log)
            await hub.directory.load(stored.heads[trees.Log.DIRECTORY].size)
            stored.check_directory(hub.directory.directory)
            await hub.nonces.load()
            await hub.blobs.sweep()
        except BaseException:
            await stored.close()
            raise
        hub.writing = asyncio.create_task(noting(writer.run(), folder, stored.generation))
        if rounds:
            hub._rounds = asyncio.gather(hub.housekeeping.run(), hub.neighbours.run())
        return hub

    def public(self) -> web.Application:
        """Return the application that connectors talk to."""
        app = web.Application()
        bind_all(
            app,
            HUB_OPERATIONS,
            {**self._handlers.by_operation(), **self._blob_handlers.by_operation()},
            self._authenticator,
            self._serving,
            sockets={"connect": self.connections.connect},
        )
        return app

    def _rows(self, allowances: Allowances) -> BlobRows:
        return BlobRows(self.store, self.writer, self._place(allowances))

    def _place(self, allowances: Allowances) -> Place:
        return lambda device, size: allowances.place(self.directory.agency_of(device), size)

    async def until(self, stop: asyncio.Event) -> None:
        """Wait for `stop`; raises StoreFailed when the writer has to give up before."""
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({stopping, *filter(None, [self.writing])}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stopping not in done:
            raise StoreFailed

    async def writes(self) -> bool:
        """Tell whether changes are committed."""
        return self.writer.healthy and self.writing is not None and not self.writing.done()

    def release(self) -> None:
        """Let go of everybody who waits, so that the listeners can end."""
        self.connections.close()
        self.mailboxes.close()

    async def close(self) -> None:
        """Commit what waits and close the database; what was answered is on the disk in any case."""
        self.release()
        if self._rounds is not None:
            self._rounds.cancel()
            with suppress(asyncio.CancelledError):
                await self._rounds
        await self._trust.end(sound=self.writer.clock_is_sound)
        self.writer.close()
        if self.writing is not None:
            # Its own failure was told where it happened; here only the end matters.
            await asyncio.wait([self.writing], timeout=STOP_S)
            self.writing.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self.writing
        await self._stored.close()


def _queue(settings: HubSettings) -> Queue:
    return Queue(settings.store.queue_length, settings.store.queue_megabytes << 20)


def _is_encrypted(settings: HubSettings) -> bool:
    public_url = settings.hub.public_url or ""
    return settings.tls.certificate_file is not None or public_url.startswith("https://")


def _hosts(settings: HubSettings) -> frozenset[str] | None:
    """Return the names the hub answers to; a request signature names one of them (HTTP-1)."""
    names = set[str]()
    if settings.hub.public_url is not None:
        name = urlsplit(settings.hub.public_url).hostname or ""
        names.add(f"[{name}]" if ":" in name else name)
    if is_loopback(settings.hub.host):
        names |= LOCAL_HOSTS
    return frozenset(names) or None
