# SPDX-License-Identifier: Apache-2.0
"""What every server counts for its operator: requests by operation, refusals by code, which build it is and since when.

Labels come from closed lists (operations, statuses, error codes), so no name and no id can get into a metric, and
nobody can make their number grow.
"""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from protocol.http.operation import Media
from protocol.http.serving import Exchange

CONTENT_TYPE = f"{Media.METRICS}; version=0.0.4; charset=utf-8"
"""The media type of the exposition format."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0)


class Measured:
    """One server's registry. `observe` takes every finished exchange; what else there is to tell is `add`ed."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._duration = Histogram(
            "throughcare_request_duration_seconds",
            "Time from request to answer, by operation and HTTP status.",
            labelnames=["operation", "code"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._refusals = Counter(
            "throughcare_refusals",
            "Requests that were refused, by operation and error code.",
            labelnames=["operation", "code"],
            registry=self._registry,
        )
        self._registry.register(_Build())
        started = "When this process began to serve, since 1970."
        Gauge("throughcare_start_time_seconds", started, registry=self._registry).set_to_current_time()

    def add(self, collector: Collector) -> None:
        """Have `collector` asked whenever somebody reads the metrics."""
        self._registry.register(collector)

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange."""
        operation = exchange.operation.id if exchange.operation else "none"
        self._duration.labels(operation, str(exchange.status)).observe(exchange.duration_ms / 1000)
        if exchange.code:
            self._refusals.labels(operation, exchange.code).inc()

    def text(self) -> bytes:
        """Return the exposition format."""
        return generate_latest(self._registry)


class _Build(Collector):
    """The versions of this program and of Python."""

    def collect(self) -> Iterable[Metric]:
        """Yield the constant 1 with the versions as labels."""
        build = GaugeMetricFamily("throughcare_build_info", "Which build runs.", labels=["version", "python"])
        build.add_metric([_own_version(), platform.python_version()], 1)
        yield build


def _own_version() -> str:
    try:
        return version("throughcare")
    except PackageNotFoundError:
        return "unknown"


def gauge(name: str, text: str, value: float | None, **labels: str) -> GaugeMetricFamily:
    """Return one gauge of the name `throughcare_…`; without a value it has no sample, and no alert fires for it."""
    family = GaugeMetricFamily(f"throughcare_{name}", text, labels=list(labels))
    if value is not None:
        family.add_metric(list(labels.values()), value)
    return family


def gauges(name: str, text: str, label: str, values: Iterable[tuple[str, float | None]]) -> GaugeMetricFamily:
    """Return a gauge with one sample for each value of `label` that has one."""
    family = GaugeMetricFamily(f"throughcare_{name}", text, labels=[label])
    for one, value in values:
        if value is not None:
            family.add_metric([one], value)
    return family


__all__ = ["CONTENT_TYPE", "Measured", "gauge", "gauges"]
