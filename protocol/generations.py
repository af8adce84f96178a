# SPDX-License-Identifier: Apache-2.0
"""Generations of a hub's logs, and places in a mailbox that grow across them (GEN-1 to GEN-3, docs/adr/0014).

A hub that comes back from a backup older than what it signed begins a new generation of both logs, under origins of
their own: no two heads of one origin and size ever differ. The tree goes on from the leaves that were kept, so an index
may come again in a later generation; a *place* is generation and index in one number, and never does.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

SPAN: Final = 1 << 40
"""Places of one generation: more leaves than a log will ever have."""
MAX_GENERATION: Final = (1 << 13) - 1
"""Places stay below 2^53, which every program can count to."""


def origin_of(base: str, generation: int) -> str:
    """Return the origin of a log's `generation`; the first, 0, has the log's own name (GEN-1)."""
    return f"{base}/{generation}" if generation else base


def generation_in(base: str, origin: str) -> int | None:
    """Return which generation of the log `base` has this origin, or None if it is another log's."""
    if origin == base:
        return 0
    text = origin.removeprefix(f"{base}/")
    if text == origin or not text.isascii() or not text.isdigit():
        return None
    generation = int(text[:5])
    return generation if origin == origin_of(base, generation) and 0 < generation <= MAX_GENERATION else None


def generation_at(starts: Sequence[int], index: int) -> int:
    """Return the generation that a kept leaf belongs to; `starts` has the sizes at which 1, 2, … began."""
    return bisect_right(starts, index)


def place_of(generation: int, index: int) -> int:
    """Return the place of the leaf at `index` of a generation (GEN-3)."""
    return generation * SPAN + index


def first_index(place: int, starts: Sequence[int]) -> int:
    """Return from which leaf on a mailbox goes on for a reader who has come to `place`."""
    generation, index = divmod(place, SPAN)
    return min(index, starts[generation]) if generation < len(starts) else index


def last_index(place: int, starts: Sequence[int]) -> int:
    """Return up to which leaf a mailbox is stored for a reader who has stored `place`; -1 for none.

    What was signed and lost lies between two generations: a reader may have it, and it says nothing of what came after.
    """
    generation, index = divmod(place, SPAN)
    if generation > len(starts):
        return SPAN
    return min(index, starts[generation] - 1) if generation < len(starts) else index
