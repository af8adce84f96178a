# SPDX-License-Identifier: Apache-2.0
"""The hub's running log: a closed list of events, and only the fields named here.

A log is read by more people than the hub's data, and copied to more places. So nothing can be logged that
is not on the list: an unknown event or field is dropped, and in tests it is an error.
No name, address, id of an envelope or content is on the list; a request id connects a line with an answer.
"""

import logging
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any, TextIO

import structlog


class Event(StrEnum):
    """Every event the hub logs."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    MIGRATED = "migrated"
    SQLITE_OLD = "sqlite-old"
    STORE_CHECKED = "store-checked"
    GUARD_LINE_TORN = "guard-line-torn"
    REQUEST_FAILED = "request-failed"
    REQUEST_REFUSED = "request-refused"
    CONNECTION_OPENED = "connection-opened"
    CONNECTION_CLOSED = "connection-closed"
    CONNECTION_REVOKED = "connection-revoked"
    CONNECTION_FLOODED = "connection-flooded"
    GROUP_SPLIT = "group-split"
    CONNECTION_LOST = "connection-lost"
    UNFORESEEN = "unforeseen"
    RESOURCES_SHORT = "resources-short"
    CHECKPOINT_PUT_OFF = "checkpoint-put-off"
    WRITER_SLOW = "writer-slow"
    WRITER_STOPPED = "writer-stopped"
    EXPIRED = "expired"
    PRUNED = "pruned"
    JOB_FAILED = "job-failed"
    CLOCK_WRONG = "clock-wrong"
    CLOCK_UNSURE = "clock-unsure"
    CLOCK_CONFIRMED = "clock-confirmed"
    BLOBS_DROPPED = "blobs-dropped"
    ENTRY_DAMAGED = "entry-damaged"


FIELDS = frozenset(
    {
        "ts",
        "level",
        "event",
        "request_id",
        "op",
        "outcome",
        "code",
        "duration_ms",
        "size",
        "count",
        "job",
        "step",
        "version",
        "error",
        "where",
    }
)


class NotAllowed(ValueError):
    """Something was logged that is not on the list (raised in tests only)."""


class AllowList:
    """A structlog processor that lets only known events and fields pass."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict

    def __call__(self, _logger: object, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return `entry` without what is not allowed; in strict mode raise instead."""
        foreign = sorted(entry.keys() - FIELDS)
        unknown = entry.get("event") not in set(Event)
        if self.strict and (foreign or unknown):
            raise NotAllowed(f"not on the list: {foreign or 'event'}")
        for name in foreign:
            del entry[name]
        if unknown:
            entry["event"] = "not-on-the-list"
        for name, value in entry.items():
            if not isinstance(value, str | int | float | bool | None):
                entry[name] = type(value).__name__
        return entry


Log = structlog.typing.FilteringBoundLogger


def make_log(level: str, form: str, *, stream: TextIO | None = None, strict: bool = False) -> Log:
    """Return the hub's log, writing to `stream` (stderr): json lines, or text on a terminal."""
    stream = stream or sys.stderr
    as_text = form == "text" or (form == "auto" and stream.isatty())
    renderer = structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    logger: Log = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            AllowList(strict=strict),
            renderer,
        ],
        cache_logger_on_first_use=True,
    )
    return logger


def where(error: BaseException) -> str:
    """Return the place an unforeseen error came from, as module and line: never its text, which may hold input."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} at {trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"
