# SPDX-License-Identifier: Apache-2.0
"""Numbers for the operator: what was done, how fast, and how far the logs have grown. No name, no desk, no id."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.service.tally import Tally
from hub.service.writer import Writer
from protocol.http.serving import Exchange

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0)


class _Current(Collector):
    """Reads the services' own counters when somebody asks, so that they need to know nothing of metrics."""

    def __init__(
        self, writer: Writer, tally: Tally, connections: Callable[[], int], sizes: Callable[[], dict[str, int]]
    ) -> None:
        self._writer = writer
        self._tally = tally
        self._connections = connections
        self._sizes = sizes

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics as they are now."""
        envelopes = CounterMetricFamily(
            "throughcare_envelopes",
            "Envelopes submitted by and handed to connectors.",
            labels=["direction", "outcome"],
        )
        for (direction, outcome), count in self._tally.counts().items():
            envelopes.add_metric([direction, outcome], count)
        yield envelopes
        counters = self._writer.counters
        yield CounterMetricFamily("throughcare_writer_groups", "Groups committed.", counters.groups)
        yield CounterMetricFamily("throughcare_writer_changes", "Changes committed.", counters.changes)
        yield CounterMetricFamily("throughcare_writer_splits", "Groups tried one by one.", counters.splits)
        yield GaugeMetricFamily("throughcare_writer_waiting", "Changes that wait.", self._writer.waiting)
        yield GaugeMetricFamily("throughcare_connections", "Open websockets.", self._connections())
        for name, value in self._sizes().items():
            yield GaugeMetricFamily(f"throughcare_{name}", "Leaves of the log.", value)


class Metrics:
    """The hub's registry; `observe` takes every finished exchange."""

    def __init__(
        self, writer: Writer, tally: Tally, connections: Callable[[], int], sizes: Callable[[], dict[str, int]]
    ) -> None:
        """`sizes` gives the logs' sizes by metric name, `connections` the number of open websockets."""
        self._registry = CollectorRegistry()
        self._duration = Histogram(
            "throughcare_request_duration_seconds",
            "Time from request to answer.",
            labelnames=["operation", "code"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._age = Gauge(
            "throughcare_delivery_age_seconds",
            "How long the oldest envelope waits for a recipient.",
            registry=self._registry,
        )
        self._registry.register(_Current(writer, tally, connections, sizes))

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange, by operation and status."""
        operation = exchange.operation.id if exchange.operation else "none"
        self._duration.labels(operation, str(exchange.status)).observe(exchange.duration_ms / 1000)

    def text(self, oldest_ms: int = 0) -> bytes:
        """Return the exposition format; `oldest_ms` is how long the oldest envelope waits."""
        self._age.set(oldest_ms / 1000)
        return generate_latest(self._registry)
