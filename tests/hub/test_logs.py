# SPDX-License-Identifier: Apache-2.0
"""The running log: what is not on the list is not written."""

import io
import json

import pytest

from hub.logs import Event, NotAllowed, make_log, where


def test_a_listed_event_is_written_as_one_json_line() -> None:
    stream = io.StringIO()
    make_log("info", "json", stream=stream).info(Event.EXPIRED, count=3)
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert (entry["event"], entry["count"], entry["level"]) == ("expired", 3, "info")


def test_an_unknown_field_event_or_object_is_dropped() -> None:
    stream = io.StringIO()
    log = make_log("info", "json", stream=stream)
    log.info(Event.READY, name="canary", size=b"canary")
    log.info("canary")
    assert "canary" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2


def test_in_tests_an_unknown_field_or_event_is_an_error() -> None:
    log = make_log("info", "json", stream=io.StringIO(), strict=True)
    with pytest.raises(NotAllowed):
        log.info(Event.READY, name="x")
    with pytest.raises(NotAllowed):
        log.info("x")


def test_text_is_for_terminals_and_levels_are_kept() -> None:
    stream = io.StringIO()
    make_log("warning", "text", stream=stream).info(Event.READY)
    assert stream.getvalue() == ""
    make_log("info", "text", stream=stream).info(Event.READY)
    assert "ready" in stream.getvalue()


def test_err_2_an_unforeseen_error_is_logged_by_its_place_only() -> None:
    try:
        raise ValueError("canary")
    except ValueError as error:
        told = where(error)
    assert "canary" not in told
    assert told.startswith("ValueError at ")
    assert where(ValueError("canary")) == "ValueError"
