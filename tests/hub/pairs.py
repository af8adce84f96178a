# SPDX-License-Identifier: Apache-2.0
"""Two hub processes on one PostgreSQL database."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.hub.running import RunningHub, on_postgres
from tests.programme import Programme

TABLES = ("tree", "leaf", "detail", "envelope", "section", "delivery")
KEEP = [f"CREATE TABLE kept_{name} AS TABLE {name}" for name in TABLES]
PUT_BACK = [
    *(f"DELETE FROM {name}" for name in reversed(TABLES)),  # noqa: S608 - our own names
    *(f"INSERT INTO {name} TABLE kept_{name}" for name in TABLES),
]


class Pair:
    """Two hubs on one database, each with a folder and a guard of its own, and what both know."""

    def __init__(self, first: RunningHub, second: RunningHub, url: str) -> None:
        self.first = first
        self.second = second
        self.url = url
        self.programme = first.programme


def copy_guard(source: Path, target: Path) -> None:
    """Prepare the folder of a further process as an operator does."""
    target.mkdir()
    (target / "hub.guard").write_bytes((source / "hub.guard").read_bytes())


@pytest.fixture
async def pair(tmp_path: Path, postgres_url: str, programme: Programme) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        one, two = tmp_path / "one", tmp_path / "two"
        one.mkdir()
        first = await stack.enter_async_context(RunningHub(one, programme, more=on_postgres(postgres_url)))
        copy_guard(one, two)
        second = RunningHub(two, programme, first.clock, more=on_postgres(postgres_url))
        await stack.enter_async_context(second)
        yield Pair(first, second, postgres_url)
