# SPDX-License-Identifier: Apache-2.0
"""Generations of logs have origins of their own, and places that only grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import MalformedEnvelope
from protocol.generations import (
    MAX_GENERATION,
    SPAN,
    first_index,
    generation_at,
    generation_in,
    last_index,
    origin_of,
    place_of,
)
from protocol.restoration import Kept, Restoration

BASE = "hub.example/audit"


@given(st.integers(0, MAX_GENERATION))
def test_gen_1_an_origin_says_which_generation_it_is_of(generation: int) -> None:
    assert generation_in(BASE, origin_of(BASE, generation)) == generation


@pytest.mark.parametrize(
    "origin",
    ["", "hub.example", f"{BASE}/", f"{BASE}/0", f"{BASE}/01", f"{BASE}/-1", f"{BASE}/x", f"{BASE}/1/1", f"{BASE}/8192",
     f"{BASE}/99999999999", f"{BASE}/\u0661", "other.example/audit", "hub.example/directory/1", f"{BASE}1"],
)  # fmt: skip
def test_gen_1_another_origin_is_of_no_generation(origin: str) -> None:
    assert generation_in(BASE, origin) is None


starts_and_growth = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 20)), max_size=5)


@given(starts_and_growth, st.integers(1, 20))
def test_gen_3_places_grow_with_time_and_say_what_a_reader_has_and_has_not(
    losses: list[tuple[int, int]], growth: int
) -> None:
    """Grow a log, lose its end, grow again …: whoever read at any time misses nothing and gives up nothing unread."""
    starts: list[int] = []
    size, read = growth, list[tuple[int, int]]()
    for lost, grown in losses:
        read.append((len(starts), size - 1))
        starts.append(max(starts[-1] if starts else 0, size - lost))
        size = starts[-1] + grown
    places = [place_of(generation, index) for generation, index in read]
    assert places == sorted(places)
    for (generation, index), place in zip(read, places, strict=True):
        kept = min([index + 1, *starts[generation:]])
        # Only what was kept since the reading counts as read; all that is newer in the log is still to come.
        assert last_index(place, starts) <= index
        assert last_index(place, starts) + 1 >= kept
        assert first_index(place + 1, starts) == last_index(place, starts) + 1
        if generation < len(starts):
            assert last_index(place, starts) < starts[generation]
    for index in range(size):
        own = place_of(generation_at(starts, index), index)
        assert last_index(own, starts) == index
        assert first_index(own, starts) == index


def test_gen_3_a_place_of_a_generation_that_never_was_is_beyond_every_leaf() -> None:
    assert last_index(place_of(2, 5), [3]) == SPAN
    assert place_of(MAX_GENERATION, SPAN - 1) < 2**53


def test_gen_2_a_restoration_cannot_have_kept_more_than_was_known() -> None:
    kept = Kept(5, bytes(32), 7, bytes([1]) * 32)
    subject = Restoration("hub.example", 1, kept, Kept(0, bytes(32), 0, bytes(32)))
    assert Restoration.of(subject.value()) == subject
    for wrong in (Kept(5, bytes(32), 4, bytes(32)), Kept(5, bytes(32), 5, bytes([1]) * 32)):
        with pytest.raises(MalformedEnvelope):
            Kept.of(wrong.value())
