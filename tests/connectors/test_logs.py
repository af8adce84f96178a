# SPDX-License-Identifier: Apache-2.0
"""Nothing reaches the log but events and fields of the lists (ERR-2)."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from connectors.logs import EVENTS, FIELDS, Log, LogLeak


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_err_2_a_field_that_is_not_on_the_list_is_refused(stream: io.StringIO) -> None:
    with pytest.raises(LogLeak):
        Log(stream).event("message-received", name="planted phrase")
    assert stream.getvalue() == ""


def test_err_2_an_event_that_is_not_on_the_list_is_refused(stream: io.StringIO) -> None:
    with pytest.raises(LogLeak):
        Log(stream).event("planted phrase")  # type: ignore[arg-type]  # the attack
    assert stream.getvalue() == ""


def test_a_line_is_json_with_time_and_level(stream: io.StringIO) -> None:
    Log(stream, json=True).event("envelope-refused", code="expired", count=1)
    line = json.loads(stream.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {"level": "warning", "event": "envelope-refused", "code": "expired", "count": 1}


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    log = Log(stream, json=True, level="warning")
    log.event("connector-started")
    log.event("part-failed", code="internal-error")
    assert len(stream.getvalue().splitlines()) == 1


def test_err_2_what_a_library_logs_is_reduced_to_its_source(stream: io.StringIO, untouched_logging: None) -> None:
    Log(stream, json=True).take_over_libraries()
    try:
        raise ValueError("planted phrase")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("planted phrase %s", "planted phrase")
    line = json.loads(stream.getvalue())
    assert "planted" not in stream.getvalue()
    assert line["source"] == "aiohttp.server"
    assert line["code"] == "ValueError"


def test_the_lists_hold_no_field_for_persons_or_content() -> None:
    assert {"name", "subject", "desk", "message_id", "body", "payload"}.isdisjoint(FIELDS)
    assert all(event == event.lower() for event in EVENTS)
