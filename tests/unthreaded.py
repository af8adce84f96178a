# SPDX-License-Identifier: Apache-2.0
"""Databases that are used where they are asked, not in a thread beside the loop.

Going to a thread and back costs more than most statements do. Where it does not matter what happens in between, tests
save it: a life cycle tells the same story, in half the time.
"""

import queue
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aiosqlite.core import Connection

from connectors.store import driver
from hub.store.sqlite import SqliteStore

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class _AtOnce(queue.SimpleQueue[Any]):
    """Takes the place of the queue to aiosqlite's thread: a job is done when it is put in."""

    def put_nowait(self, item: tuple["asyncio.Future[Any] | None", Callable[[], Any]]) -> None:
        """Do the job and settle its future."""
        future, job = item
        try:
            result = job()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the asking task's
            if future is not None and not future.done():
                future.set_exception(error)
        else:
            if future is not None and not future.done():
                future.set_result(result)


class _Connection(driver._Connection):
    """A connection of a connector's store without its thread."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._tx = _AtOnce()

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._connect().__await__()

    def __del__(self) -> None:
        # A machine that lost its power in the middle of opening its database closes nothing, and is not to be blamed.
        if self._connection is not None:
            self._connection.close()


@contextmanager
def without_threads() -> Iterator[None]:
    """Let each connector's database that is opened meanwhile have no thread."""
    threaded = driver._Connection
    driver._Connection = _Connection  # type: ignore[misc] # the same but for its thread
    try:
        yield
    finally:
        driver._Connection = threaded  # type: ignore[misc] # as above


@contextmanager
def without_threads_at_the_hub() -> Iterator[None]:
    """Let each hub's SQLite file be read and written where it is asked for meanwhile."""
    threaded = SqliteStore._in_thread
    SqliteStore._in_thread = _in_the_loop  # type: ignore[method-assign] # the same but for its thread
    try:
        yield
    finally:
        SqliteStore._in_thread = threaded  # type: ignore[method-assign] # as above


async def _in_the_loop(self: SqliteStore, threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
    return work(*arguments)
