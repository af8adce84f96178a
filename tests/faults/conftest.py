# SPDX-License-Identifier: Apache-2.0
"""What the tests of faults share: a seed, a database, and a line of figures at the end of the run."""

import random
from collections.abc import AsyncIterator, Callable

import pytest

from tests.postgres import database
from tests.programme import Programme, make_programme
from tests.seeds import SEED, SEED_VARIABLE


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of the run."""
    return request.config.stash[SEED]


@pytest.fixture
def chance(seed: int) -> random.Random:
    """Give all chance of a test, and print the seed that repeats it."""
    print(f"{SEED_VARIABLE}={seed}")  # noqa: T201 - pytest shows it when the test fails
    return random.Random(seed)


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Give a function that has a figure shown at the end of the run."""
    return lambda text: record_property("figure", f"{text}.")


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
