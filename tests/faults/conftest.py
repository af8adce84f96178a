# SPDX-License-Identifier: Apache-2.0
"""What the tests of faults share: a seed, a database, and a line of figures at the end of the run."""

import os
import random
from collections.abc import AsyncIterator, Callable

import pytest

from tests.postgres import database
from tests.programme import Programme, make_programme

SEED_VARIABLE = "THROUGHCARE_TEST_SEED"
GIVEN_SEED = os.environ.get(SEED_VARIABLE)
"""Read when the tests are collected; later they hide such variables."""


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed: the given one, or for full runs a new one each time."""
    if GIVEN_SEED is not None:
        return int(GIVEN_SEED)
    return random.SystemRandom().randrange(1 << 32) if request.node.get_closest_marker("full") else 1


@pytest.fixture
def chance(seed: int) -> random.Random:
    """Give all chance of a test, and print the seed that repeats it."""
    print(f"{SEED_VARIABLE}={seed}")  # noqa: T201 - pytest shows it when the test fails
    return random.Random(seed)


@pytest.fixture
def report(seed: int, record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Give a function that has a figure shown at the end of the run."""
    return lambda text: record_property("figure", f"{text} [seed {seed}].")


@pytest.fixture
def programme() -> Programme:
    """Return prison, probation and social work."""
    return make_programme()


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[str | None]:
    """Give the URL of an empty PostgreSQL database, or None for SQLite."""
    if request.param == "sqlite":
        yield None
        return
    async with database(request.getfixturevalue("postgres_server")) as url:
        yield url
