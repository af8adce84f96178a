# SPDX-License-Identifier: Apache-2.0
"""The seed of a run: what its tests leave to chance follows from one number.

What runs every day has the same one each time, so that no change is blamed for another day's luck; a full run has a
new one, and prints it at its end.
"""

import os
import random

import pytest

SEED_VARIABLE = "THROUGHCARE_TEST_SEED"
GIVEN = os.environ.get(SEED_VARIABLE)
"""The seed that whoever started the run gave; read when it begins, since later the tests hide such variables."""

SEED = pytest.StashKey[int]()
"""Where a run keeps its seed, the same in all its workers."""


EVERY_DAY = 1


def chosen(given: str | None, *, full: bool) -> int:
    """Return the given seed; where none is given a new one for a full run, else always the same."""
    if given is not None:
        return int(given)
    return random.SystemRandom().randrange(1 << 32) if full else EVERY_DAY
