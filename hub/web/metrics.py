# SPDX-License-Identifier: Apache-2.0
"""Numbers for the operator: what was done, how fast, what waits, what will end. No name, no desk, no id.

Whose mail waits is not told here: metrics are copied to other machines and kept for months. `throughcare-hub doctor`
names the agency, to the operator only.
"""

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.service.tally import Tally
from hub.service.writer import Writer
from keys.backuprecord import backup_refused, newest_backup
from protocol.clockwatch import Clock
from protocol.http.measuring import Measured, gauge, gauges
from protocol.http.serving import Exchange


@dataclass(frozen=True, slots=True)
class Sources:
    """Whom to ask at every reading; the services need to know nothing of metrics.

    `connections` gives the number of open websockets, `sizes` the logs' sizes by name, `generation` that of both logs,
    `ends` when certificates end (ms UTC) by whose they are, `folder` is the data directory.
    """

    writer: Writer
    tally: Tally
    connections: Callable[[], int]
    sizes: Callable[[], Mapping[str, int]]
    generation: Callable[[], int]
    ends: Callable[[], Mapping[str, int | None]]
    clock: Clock
    folder: Path


@dataclass(frozen=True, slots=True)
class Stored:
    """What only the database knows, and how the health checks stand; unknown while the database is away."""

    oldest: int | None = None
    """When the oldest envelope that still waits was accepted, in ms UTC."""
    depth: int | None = None
    begun: int | None = None
    """Since when there is something to lose, in ms UTC."""
    checks: Mapping[str, bool] = field(default_factory=dict)


class _Current(Collector):
    """Asks when somebody reads the metrics."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.stored = Stored()

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics as they are now."""
        yield from self._traffic()
        yield from self._writing()
        yield from self._standing()

    def _traffic(self) -> Iterable[Metric]:
        stored, now = self.stored, self._sources.clock()
        envelopes = CounterMetricFamily(
            "throughcare_envelopes",
            "Envelopes submitted by and handed to connectors.",
            labels=["direction", "outcome"],
        )
        for (direction, outcome), count in self._sources.tally.counts().items():
            envelopes.add_metric([direction, outcome], count)
        yield envelopes
        age = None if stored.depth is None else max(0, now - (stored.oldest or now)) / 1_000
        yield gauge("delivery_age_seconds", "How long the oldest envelope waits for a recipient.", age)
        yield gauge("inbox_depth", "Items that wait in all mailboxes.", stored.depth)
        yield gauge("connections", "Open websockets.", self._sources.connections())

    def _writing(self) -> Iterable[Metric]:
        writer = self._sources.writer
        counters = writer.counters
        yield CounterMetricFamily("throughcare_writer_groups", "Groups committed.", counters.groups)
        yield CounterMetricFamily("throughcare_writer_changes", "Changes committed.", counters.changes)
        yield CounterMetricFamily("throughcare_writer_splits", "Groups tried one by one.", counters.splits)
        yield gauge("writer_waiting", "Changes that wait.", writer.waiting)
        yield gauge("writer_capacity", "Changes that may wait before the hub asks to retry.", writer.capacity)
        for name, value in self._sources.sizes().items():
            yield gauge(name, "Leaves of the log.", value)
        generation = self._sources.generation()
        yield gauge("log_generation", "Restores after which the authority had both logs go on.", generation)

    def _standing(self) -> Iterable[Metric]:
        now = self._sources.clock()
        yield gauge("clock_seconds", "The hub's clock, since 1970.", now / 1_000)
        checks = sorted(self.stored.checks.items())
        yield gauges("ready", "Health checks: 1 is well.", "check", [(name, float(good)) for name, good in checks])
        ends = [(key, None if end is None else (end - now) / 1_000) for key, end in self._sources.ends().items()]
        yield gauges("key_expiry_seconds", "Time until the first certificate of a kind ends.", "key", ends)
        # Neither a start nor a copy of the keys is a backup, so no file of theirs says since when there is none.
        made = newest_backup(self._sources.folder, since=()) or self.stored.begun
        age = None if made is None else max(0, now - made) / 1_000
        yield gauge("backup_age_seconds", "Age of the newest backup; of the audit log, if there is none yet.", age)
        refused = backup_refused(self._sources.folder)
        yield gauge("backup_refused", "Whether the newest backup was refused, for another key than before.", refused)
        yield gauge("disk_free_bytes", "Free disk of the data directory.", _free(self._sources.folder))


def _free(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


class Metrics:
    """The hub's registry; `observe` takes every finished exchange."""

    def __init__(self, sources: Sources) -> None:
        self._measured = Measured()
        self._current = _Current(sources)
        self._measured.add(self._current)

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange, by operation and status."""
        self._measured.observe(exchange)

    def text(self, stored: Stored | None = None) -> bytes:
        """Return the exposition format, with what was read from the database."""
        self._current.stored = stored or Stored()
        return self._measured.text()
