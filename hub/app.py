# SPDX-License-Identifier: Apache-2.0
"""The composition root: makes every part, gives each the two or three things that it needs, and ends them in order."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from aiohttp import web
from sqlalchemy import Connection, text

from hub.config import BLOBS_NAME, CLOCK_NAME, GUARD_NAME, RESTORING_PREFIX, HubSettings, pinned_root
from hub.jobs.housekeeping import Housekeeping, HubClock
from hub.logs import Event, Log, where
from hub.migrations import migrate
from hub.service.allowances import Allowances
from hub.service.backlog import Queue
from hub.service.behind import check_not_behind, noting
from hub.service.blobrows import BlobRows, Place
from hub.service.blobs import Blobs
from hub.service.buckets import Buckets
from hub.service.certificates import Certificates
from hub.service.clocktrust import ClockTrust, is_only_unsure
from hub.service.directory import DirectoryLog
from hub.service.enrolment import Enrolments
from hub.service.expiry import Expiry
from hub.service.following import Followed
from hub.service.guard import Guard, GuardedHead
from hub.service.holdings import Holdings
from hub.service.leases import Lease, last_shown
from hub.service.logcheck import check_logs, origins_of
from hub.service.mailbox import Mailboxes
from hub.service.neighbours import Neighbours
from hub.service.nonces import Nonces
from hub.service.reads import Reads
from hub.service.receipts import Receipts
from hub.service.restorerequest import check_not_waiting
from hub.service.signingkeys import SigningKeys
from hub.service.submission import SubmissionParts, Submissions
from hub.service.tally import Tally
from hub.service.transaction import Transaction
from hub.service.uncollected import gone
from hub.service.waiting import Waiting
from hub.service.writer import Writer
from hub.store import envelopes, restorations, trees
from hub.store.blobfiles import BlobFiles
from hub.store.engine import Store
from hub.store.logkeys import hold_to_keys
from hub.store.opening import open_store, server_time
from hub.store.sqlite import sqlite_is_sound
from hub.web.admin import Health, disk_check
from hub.web.authentication import Authenticator
from hub.web.blobs import BlobHandlers
from hub.web.connections import Connections, Parts
from hub.web.handlers import Handlers, Identity
from hub.web.handouts import Handouts
from hub.web.metrics import Metrics, Sources, Stored
from hub.web.strangers import Strangers, weigh
from hub.web.tls import certificate_end
from keys.directory import Directory
from keys.selftest import self_test
from keys.workfolders import remove_left
from protocol.clockwatch import Clock, machine_time
from protocol.errors import ConfigurationError, StoreBehind, StoreFailed
from protocol.http.hub import HUB_OPERATIONS, LogIdentity
from protocol.http.serving import LOCAL_HOSTS, Exchange, Serving, bind_all
from protocol.limits import CLOCK_SKEW
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
        store: Store,
        guard: Guard,
        writer: Writer,
        clock: Clock,
        elapsed: Clock,
        trust: ClockTrust,
        log: Log,
    ) -> None:
        domain = settings.hub.domain
        self.store = store
        self.writer = writer
        self._guard = guard
        self._clock = clock
        self._trust = trust
        self._log = log
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
        self._certificates = Certificates(self.directory, clock)
        self._tls_ends: int | None = None
        self.metrics = Metrics(
            Sources(
                writer,
                tally,
                lambda: len(self.connections),
                self._log_sizes,
                lambda: replay.generation,
                lambda: {**self._certificates.ends(), "tls": self._tls_ends},
                clock,
                settings.hub.data_dir,
            )
        )
        self._audit_size = 0
        writer.on_commit(self._note_size)
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
            clock=clock, hosts=_hosts(settings), observe=self.observe, admit=strangers.visit, weigh=weigh
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
        """Open the database, bring it up to date, compare it with its guard and start.

        `elapsed` counts ms and is never set, unlike `clock` (AUD-7). `reach` is told each step of the writer (tests
        end the process there); without `rounds` nothing happens by itself. Raises ConfigurationError, SelfTestFailed
        or StoreBehind; nothing was served or signed then (AUD-4).
        """
        self_test()
        pinned_root(settings)
        if settings.store.url is None and not sqlite_is_sound():
            log.warning(Event.SQLITE_OLD)
        folder = settings.hub.data_dir
        store = await open_store(folder, settings.store)
        guard = Guard(folder / GUARD_NAME)
        try:
            if store.shared and clock is system_clock:
                await _same_time(store, clock)
            guard.read()
            if guard.torn:
                log.warning(Event.GUARD_LINE_TORN)
            check_not_waiting(folder)
            generations = await store.read(restorations.generations)
            # Before anything is written: it may be the wrong database, or one that an older version is to have again.
            check_not_behind(folder, len(generations))
            if await store.write(partial(_prepare, store)):
                log.info(Event.MIGRATED)
            await store.write(partial(_hold_to_keys, store, keys))
            # Metadata in clear, and as large as the database: nobody else would ever look for it (BAK-9).
            remove_left(folder, RESTORING_PREFIX)
            origins = origins_of(settings.hub.domain, len(generations))
            followed = Followed()

            def checked(connection: Connection) -> dict[trees.Log, GuardedHead]:
                followed.start(connection)
                return check_logs(connection, origins, guard.heads)

            heads = await store.read(checked)
            guard.start(heads.values())
            log.info(Event.STORE_CHECKED, size=heads[trees.Log.AUDIT].size)
            newest = max(head.at for head in heads.values())
            # A demo's clock is put ahead on purpose.
            noted, shown = folder / CLOCK_NAME, partial(store.read, last_shown)
            trust = ClockTrust(noted, 0 if settings.hub.clock_file else newest, clock, log, shown)
            writer = Writer(store, guard, origins, clock, log, _queue(settings), followed, reach, elapsed, trust)
            hub = cls(settings, keys, store, guard, writer, clock, elapsed, trust, log)
            hub._audit_size = heads[trees.Log.AUDIT].size
            writer.log_time = newest
            await hub.directory.load(heads[trees.Log.DIRECTORY].size)
            if hub.directory.directory.audit_starts != tuple(one.audit_size for one in generations):
                raise StoreBehind("The directory tells of other restores than the database.")
            if hub.directory.directory.root != heads[trees.Log.DIRECTORY].root:
                raise StoreBehind("The directory's statements are not those that its log was made of.")
            await hub.nonces.load()
            await hub.blobs.sweep()
        except BaseException:
            guard.close()
            await store.close()
            raise
        hub.writing = asyncio.create_task(noting(writer.run(), folder, len(generations)))
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

    def watch_health(self, health: Health, settings: HubSettings) -> None:
        """Give the admin listener something to ask."""
        health.checks = {
            "store": self._store_answers,
            "writer": self.writes,
            "disk": disk_check(settings.hub.data_dir),
            "clock": self._clock_is_sound,
        }
        health.unsure = partial(is_only_unsure, self.writer.check_clock)
        health.metrics = self.metrics_text
        self._tls_ends = certificate_end(settings)

    async def until(self, stop: asyncio.Event) -> None:
        """Wait for `stop`; raises StoreFailed when the writer has to give up before."""
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({stopping, *filter(None, [self.writing])}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stopping not in done:
            raise StoreFailed

    async def metrics_text(self, checks: Mapping[str, bool] | None = None) -> bytes:
        """Return the metrics as they are now, with the results of the health checks if there are some.

        A database that is away is no reason to say nothing: then least of all.
        """
        checks = checks or {}
        try:
            depth, devices = await self.store.read(lambda at: (envelopes.waiting(at), envelopes.devices_with_mail(at)))
            away = gone(devices, self.directory.directory, self._clock())
            oldest = await self.store.read(partial(envelopes.oldest_waiting, besides=away))
            begun = await self.store.read(trees.begun)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the check `store` tells of it
            self._log.warning(Event.JOB_FAILED, job="metrics", where=where(error))
            return self.metrics.text(Stored(checks=checks))
        return self.metrics.text(Stored(oldest, depth, begun, checks))

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
        # In this order: a commit that is still on its way writes its line into the guard (AUD-3).
        await self.store.close()
        self._guard.close()

    def _note_size(self, transaction: Transaction) -> None:
        self._audit_size = transaction.size(trees.Log.AUDIT)

    def _log_sizes(self) -> dict[str, int]:
        return {"audit_head_index": self._audit_size, "directory_head_index": self.directory.directory.size}

    def observe(self, exchange: Exchange) -> None:
        """Count a finished exchange, and log it if it failed or was not permitted."""
        self.metrics.observe(exchange)
        operation = exchange.operation.id if exchange.operation else None
        if exchange.failure is not None:
            self._log.error(
                Event.REQUEST_FAILED, request_id=exchange.request_id, op=operation, where=where(exchange.failure)
            )
        elif exchange.status in (401, 403):
            self._log.info(Event.REQUEST_REFUSED, request_id=exchange.request_id, op=operation, code=exchange.code)

    async def _store_answers(self) -> bool:
        found: int | None = await self.store.read(lambda connection: connection.scalar(text("SELECT 1")))
        return found == 1

    async def writes(self) -> bool:
        """Tell whether changes are committed."""
        return self.writer.healthy and self.writing is not None and not self.writing.done()

    async def _clock_is_sound(self) -> bool:
        """Tell whether the clock can be right, and is believed (AUD-7, AUD-11)."""
        return self.writer.clock_is_sound


async def _same_time(store: Store, clock: Clock) -> None:
    """Refuse to start a process whose clock would stop all others on its database: the logs' time never goes back."""
    if abs(await store.read(server_time) - clock()) > CLOCK_SKEW:
        raise ConfigurationError(
            "The clocks of this machine and of the PostgreSQL server differ by over 10 minutes. Set both (NTP), then "
            "start the hub."
        )


def _prepare(store: Store, connection: Connection) -> bool:
    """Make or update the tables, and begin the logs; tell whether the tables have changed."""
    store.alone(connection)
    changed = migrate(connection)
    trees.load_trees(connection)
    return changed


def _hold_to_keys(store: Store, keys: SigningKeys, connection: Connection) -> None:
    store.alone(connection)
    hold_to_keys(connection, {trees.Log.AUDIT: keys.audit.public, trees.Log.DIRECTORY: keys.directory.public})


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
