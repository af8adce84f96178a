# SPDX-License-Identifier: Apache-2.0
"""Numbers for whoever runs the connector: what waits, how old it is, what will end. No name, no desk, no id (ERR-2).

They are served on the local interface, to the holder of the token. A value that is not known has no sample.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from connectors.connection import Connection
from connectors.directory_sync import DirectorySync
from connectors.freshness import Freshness
from connectors.installation import ENROLMENT_FILE, Enrolment
from connectors.store import awaited, incoming, progress, quarantine, webhooks
from connectors.store.engine import Store
from connectors.store.incoming import IncomingState
from connectors.store.recipients import OPEN_STATES, RecipientState
from connectors.store.webhooks import DeliveryState
from connectors.timing import Clock
from keys.backuprecord import backup_refused, newest_backup
from protocol.http.measuring import Measured, gauge, gauges
from protocol.http.serving import Exchange
from protocol.limits import SECOND


@dataclass(frozen=True, slots=True)
class _Stored:
    sent: Mapping[RecipientState, int]
    received: Mapping[IncomingState, int]
    oldest_open: int | None
    quarantined: int
    last_quarantined: int
    unconfirmed: Mapping[DeliveryState, int]
    disabled: int
    late: tuple[int, int]
    """Messages that were not noted or answered in time: ours at other desks, and those that came."""


class Metrics(Collector):
    """The connector's registry; `observe` takes every finished exchange of the local interface."""

    def __init__(
        self,
        store: Store,
        directory: DirectorySync,
        connection: Connection,
        enrolment: Enrolment,
        folder: Path,
        clock: Clock,
    ) -> None:
        """Take what it reads from; `folder` is the data directory."""
        self._store = store
        self._directory = directory
        self._connection = connection
        self._enrolment = enrolment
        self._folder = folder
        self._clock = clock
        self._stored: _Stored | None = None
        self._measured = Measured()
        self._measured.add(self)

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange, by operation and status."""
        self._measured.observe(exchange)

    async def text(self) -> bytes:
        """Return the exposition format, as things stand now."""
        async with self._store.read() as tx:
            self._stored = _Stored(
                await progress.counts(tx),
                await incoming.counts(tx),
                await progress.oldest_open(tx),
                await quarantine.count(tx),
                await quarantine.newest(tx),
                await webhooks.counts(tx),
                sum(since is not None for since in (await webhooks.disabled(tx)).values()),
                await awaited.late(tx, self._clock()),
            )
        return self._measured.text()

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics as they were last read."""
        if self._stored is not None:
            yield from self._mail(self._stored)
            yield from self._told(self._stored)
        yield from self._hub()
        yield from self._keys()
        yield gauge("disk_free_bytes", "Free disk of the data directory.", _free(self._folder))
        yield gauge(
            "backup_age_seconds",
            "Age of the newest backup; of the enrolment, if there is none yet.",
            self._age(newest_backup(self._folder, since=(ENROLMENT_FILE,))),
        )
        refused = backup_refused(self._folder)
        yield gauge("backup_refused", "Whether the newest backup was refused, for another key than before.", refused)

    def _mail(self, stored: _Stored) -> Iterable[Metric]:
        waiting = sum(count for state, count in stored.sent.items() if state in OPEN_STATES)
        oldest = stored.oldest_open
        yield gauge("outbox_depth", "Messages still to be sealed or sent.", waiting)
        yield gauge("outbox_age_seconds", "Age of the oldest of them.", 0 if oldest is None else self._age(oldest))
        states = [(state.value, count) for state, count in stored.sent.items()]
        yield gauges("outgoing_messages", "Messages to desks by state.", "state", states)
        held = stored.received[IncomingState.HELD]
        yield gauge("inbox_depth", "Messages that came and wait for an earlier one.", held)
        yield gauge("quarantine_depth", "Items that came and were not believed.", stored.quarantined)
        yield gauge("quarantine_newest", "Number of the last of them.", stored.last_quarantined)
        late = list(zip(("others", "us"), stored.late, strict=True))
        yield gauges("messages_unanswered", "Messages not noted or answered in time, by who has to.", "by", late)

    def _told(self, stored: _Stored) -> Iterable[Metric]:
        states = [(state.value, count) for state, count in stored.unconfirmed.items()]
        yield gauges("webhook_deliveries", "Events that a webhook has not confirmed, by state.", "state", states)
        yield gauge("webhooks_disabled", "Webhooks that answered 410 and are told nothing more.", stored.disabled)

    def _hub(self) -> Iterable[Metric]:
        standing = self._directory.standing()
        ahead = standing.clock_difference
        yield gauge("hub_connected", "Whether a link to the hub is up.", self._connection.connected)
        yield gauge("hub_contact_age_seconds", "Time since the hub answered.", self._age(self._connection.last_contact))
        yield gauge(
            "clock_difference_seconds",
            "How far this clock is ahead of the hub's.",
            None if ahead is None else -ahead / SECOND,
        )
        yield gauge("clock_seconds", "This clock, since 1970.", self._clock() / SECOND)
        yield gauge(
            "directory_age_seconds", "Time since the directory was confirmed.", self._age(standing.confirmed_at)
        )
        yield gauges(
            "directory_state",
            "How the directory stands: 1 at its state.",
            "state",
            [(state.value, state is standing.freshness) for state in Freshness],
        )
        yield gauge("directory_head_index", "Statements of the directory.", standing.size)

    def _keys(self) -> Iterable[Metric]:
        directory, device, now = self._directory.directory, self._enrolment.device_key_id, self._clock()
        entry, prekey = directory.device(device), directory.newest_prekey(device)
        line = directory.agency_line(self._enrolment.agency)
        ends = [
            ("device", None if entry is None else (entry.not_after - now) / SECOND),
            ("agency", (line[-1].not_after - now) / SECOND if line else None),
        ]
        yield gauges("key_expiry_seconds", "Time until a certificate of ours ends.", "key", ends)
        made = None if prekey is None else self._age(prekey.issued)
        yield gauge("prekey_age_seconds", "Age of the newest prekey.", made)

    def _age(self, then: int | None) -> float | None:
        return None if then is None else max(0, self._clock() - then) / SECOND


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
