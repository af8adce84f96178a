# SPDX-License-Identifier: Apache-2.0
"""An event loop whose time is counted, not waited for, and in which nothing runs beside it.

When every task waits for a timer, the clock moves to that timer at once: an hour of waiting costs nothing. What
would run in a thread (SQLite, files) runs inside the loop instead, at the moment at which it is asked for, and its
result may be held back for a while; so the order of everything follows from the seed alone.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.unthreaded import without_threads

T = TypeVar("T")

RESOLUTION = 1e-6
"""Seconds below which two times are one: floats of a year of seconds are not finer."""


class Stuck(Exception):
    """Every task waits for something that will never come."""


class Disturbed(Exception):
    """Something ran beside the loop: for that, no time has passed in the loop."""


class _NoWaiting(selectors.SelectSelector):
    """Moves the loop's time on instead of waiting for sockets, of which there are none."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let `timeout` pass."""
        if timeout is None:
            raise Stuck("; ".join(sorted(str(task.get_coro()) for task in asyncio.all_tasks(self.loop))))
        if timeout > 0:
            self.loop.moment += max(timeout, RESOLUTION)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. `hold` says for how many seconds the result of a job done for a task is held back."""

    def __init__(self, hold: Callable[[], float] = lambda: 0.0) -> None:
        self.moment = 0.0
        selector = _NoWaiting()
        super().__init__(selector)
        selector.loop = self
        self._hold = hold
        self._clock_resolution = RESOLUTION
        self._home = threading.get_ident()
        self.disturbed = False

    def call_soon_threadsafe(  # type: ignore[override] # the same without variadic generics, which 3.11 lacks
        self, callback: Callable[..., object], *args: Any, **options: Any
    ) -> asyncio.Handle:
        """Do as any loop, and remember whether it was another thread that asked."""
        # In any thread garbage may be collected, and by this an asynchronous generator be closed: a task, in the loop.
        self.disturbed |= threading.get_ident() != self._home and callback != self.create_task
        return super().call_soon_threadsafe(callback, *args, **options)

    def time(self) -> float:
        """Return the seconds that have passed."""
        return self.moment

    def jump(self, seconds: float) -> None:
        """Let time pass in which no task did anything, as while machines are asleep; then all that is due is due."""
        self.moment += seconds

    def run_in_executor(  # type: ignore[override] # the same without variadic generics, which 3.11 lacks
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        """Do the job now; its result comes a little later."""
        if executor is not None and executor._shutdown:
            raise RuntimeError("cannot schedule new futures after shutdown")
        done: asyncio.Future[T] = self.create_future()
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the asking task's
            self._later(done, done.set_exception, error)
        else:
            self._later(done, done.set_result, result)
        return done

    def _later(self, done: "asyncio.Future[T]", settle: Callable[[Any], None], value: Any) -> None:
        seconds = self._hold()
        if seconds <= 0:
            settle(value)
        else:
            self.call_later(seconds, lambda: None if done.done() else settle(value))


async def _end_all() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]], hold: Callable[[], float] = lambda: 0.0) -> T:
    """Run `main` in a loop of its own, and end whatever it leaves behind; raises `Disturbed` if a thread took part."""
    loop = VirtualLoop(hold)
    with without_threads():
        try:
            result = loop.run_until_complete(main(loop))
        finally:
            loop.run_until_complete(_end_all())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
    if loop.disturbed:
        raise Disturbed
    return result
