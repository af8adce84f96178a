# SPDX-License-Identifier: Apache-2.0
"""Tails of mailboxes: complete from their start on, bounded, and never in the way of what the database says."""

import pytest

from hub.service import tails
from hub.service.tails import Tails
from hub.service.transaction import Delivered
from hub.store.envelopes import Entry
from protocol.ids import KeyId

ONE, OTHER = KeyId(b"1" * 32), KeyId(b"2" * 32)
PLENTY = 1 << 30


def delivered(*indexes: int, size: int = 100) -> list[Delivered]:
    return [Delivered(Entry(index, b"leaf", b"salt", b"detail"), size) for index in indexes]


def read(found: Tails, cursor: int, most: int = 100, most_bytes: int = PLENTY) -> list[int] | None:
    items = found.read(ONE, cursor, most, most_bytes)
    return None if items is None else [item.entry.index for item in items]


@pytest.fixture
def found() -> Tails:
    """Return a tail that began when the log had 5 leaves."""
    made = Tails()
    made.extend(ONE, delivered(5, 8), 5)
    made.extend(ONE, delivered(9), 9)
    return made


def test_a_tail_gives_what_was_delivered_since_its_start_in_order(found: Tails) -> None:
    assert read(found, 5) == [5, 8, 9]
    assert read(found, 9) == [9]
    assert read(found, 10) == []


def test_what_is_older_than_the_tail_only_the_database_knows(found: Tails) -> None:
    assert read(found, 4) is None
    assert Tails().read(ONE, 0, 1, 1) is None
    assert found.read(OTHER, 5, 1, 1) is None


def test_what_was_read_past_is_dropped_and_a_second_reader_asks_the_database(found: Tails) -> None:
    assert read(found, 9) == [9]
    assert found.bytes == 100
    assert read(found, 5) is None
    found.forget(ONE, 9)
    assert (found.bytes, read(found, 10)) == (0, [])


def test_a_page_is_bounded_in_items_and_bytes_but_never_empty(found: Tails) -> None:
    assert read(found, 5, most=2) == [5, 8]
    assert read(found, 5, most_bytes=250) == [5, 8]
    assert read(found, 5, most_bytes=1) == [5]


@pytest.mark.parametrize("bound", ["ONE_TAIL", "ALL_TAILS"])
def test_a_tail_that_grows_too_long_is_dropped_and_begins_anew(
    found: Tails, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, bound, 350)
    found.extend(ONE, delivered(12), 12)
    assert (found.bytes, read(found, 10)) == (0, None)
    found.extend(ONE, delivered(13), 13)
    assert (read(found, 12), read(found, 13)) == (None, [13])


def test_where_all_tails_are_too_long_the_longest_is_dropped_and_not_that_of_who_reads_on(
    found: Tails, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else some devices that read nothing on would send all others to the database."""
    monkeypatch.setattr(tails, "ALL_TAILS", 350)
    found.extend(OTHER, delivered(12), 12)
    assert found.read(OTHER, 12, 1, PLENTY) is not None
    assert (found.bytes, read(found, 5)) == (100, None)


def test_dropping_leaves_nothing(found: Tails) -> None:
    found.extend(OTHER, delivered(10), 10)
    found.drop(ONE)
    assert (found.bytes, read(found, 9)) == (100, None)
    found.clear()
    assert (found.bytes, found.read(OTHER, 10, 1, 1)) == (0, None)
