# SPDX-License-Identifier: Apache-2.0
"""What a connector may write to its log: events of a closed list with fields of an allow-list, nothing else.

A log file is read by more people than a case file. So no content, no name, no address of a desk and no id
of a message ever stands in it (ERR-2); what happened, to how many, with which error code, is enough to
operate a connector. Messages of libraries are reduced to their source and level for the same reason.
"""

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import stamina.instrumentation
import structlog

Event = Literal[
    "certificate-renewed",
    "clock-skewed",
    "conflict-sent",
    "connector-started",
    "connector-stopped",
    "connector-stopping",
    "desk-taken",
    "directory-inconsistent",
    "directory-synced",
    "drop-refused",
    "drop-taken",
    "envelope-accepted",
    "envelope-refused",
    "faults-unreadable",
    "fork-dismissed",
    "hub-away",
    "hub-connected",
    "hub-restored",
    "hub-unreachable",
    "item-quarantined",
    "library",
    "message-asked-for",
    "message-given-up",
    "message-held",
    "message-lost",
    "message-received",
    "message-sealed",
    "message-unanswered",
    "message-waiting",
    "move-ignored",
    "part-failed",
    "pauses-cut",
    "prekey-destroyed",
    "prekey-not-ours",
    "prekey-published",
    "quarantine-full",
    "receipt-received",
    "request",
    "request-failed",
    "resealing",
    "statement-refused",
    "thread-mended",
    "timer-fired",
    "webhook-delivered",
    "webhook-disabled",
    "webhook-failed",
    "websocket-blocked",
]

EVENTS: Final[frozenset[str]] = frozenset(Event.__args__)  # type: ignore[attr-defined]  # what Literal stores
FIELDS: Final = frozenset(
    {"ts", "level", "event", "request_id", "op", "outcome", "duration_ms", "code", "count", "size", "part", "source"}
)

_LEVELS: Final[dict[str, str]] = {
    "clock-skewed": "error",
    "desk-taken": "error",
    "directory-inconsistent": "error",
    "drop-refused": "warning",
    "envelope-refused": "warning",
    "faults-unreadable": "warning",
    "fork-dismissed": "warning",
    "hub-restored": "warning",
    "hub-unreachable": "warning",
    "statement-refused": "warning",
    "item-quarantined": "warning",
    "library": "warning",
    "message-held": "warning",
    "message-waiting": "warning",
    "move-ignored": "warning",
    "part-failed": "error",
    "pauses-cut": "warning",
    "prekey-not-ours": "error",
    "quarantine-full": "warning",
    "request-failed": "error",
    "webhook-disabled": "warning",
    "webhook-failed": "warning",
}


class LogLeak(Exception):
    """Code tried to log an event or a field that is not on the lists."""


class Log:
    """The one way to log; every part is handed one."""

    def __init__(self, stream: TextIO | None = None, *, json: bool | None = None, level: str = "info") -> None:
        """Write lines of `level` and above to `stream` (standard error if None).

        They are JSON, or text for people if `json` is False; for None, text only on a terminal.
        """
        self._stream = stream or sys.stderr
        as_json = json if json is not None else not self._stream.isatty()
        renderer: structlog.typing.Processor = (
            structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=False)
        )
        self._logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            structlog.PrintLogger(self._stream),
            processors=[only_allowed, _stamp, renderer],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            cache_logger_on_first_use=False,
        )

    def event(self, event: Event, **fields: str | int | float | None) -> None:
        """Write one line. Raises `LogLeak` for a field that is not on the list: that is a mistake in the code."""
        level = _LEVELS.get(event, "info")
        getattr(self._logger, level)(event, level=level, **fields)

    def take_over_libraries(self) -> None:
        """Reduce what libraries log to source and level: their texts may quote a request or a value."""
        stamina.instrumentation.set_on_retry_hooks([])
        root = logging.getLogger()
        root.handlers[:] = [_LibraryHandler(self)]
        root.setLevel(logging.WARNING)


class _LibraryHandler(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        self._log.event("library", source=record.name[:60], outcome=record.levelname.lower(), code=kind)


def only_allowed(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Refuse every event and field that is not on the lists (ERR-2)."""
    if line.get("event") not in EVENTS or not FIELDS.issuperset(line):
        raise LogLeak("an event or a field is not on the list of what may be logged")
    return {key: value for key, value in line.items() if value is not None}


def _stamp(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"ts": now, **line}
