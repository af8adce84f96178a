# SPDX-License-Identifier: Apache-2.0
"""The seed of a run: what full tests leave to chance follows from one number, which the run prints at its end."""

import os
import random

import pytest

SEED_VARIABLE = "THROUGHCARE_TEST_SEED"
GIVEN = os.environ.get(SEED_VARIABLE)
"""The seed that whoever started the run gave; read when it begins, since later the tests hide such variables."""

SEED = pytest.StashKey[int]()
"""Where a run keeps its seed, the same in all its workers."""


def chosen(given: str | None) -> int:
    """Return the given seed, or a new one where none is given."""
    return int(given) if given is not None else random.SystemRandom().randrange(1 << 32)
