# SPDX-License-Identifier: Apache-2.0
"""Long-running commands end in an orderly way when they are asked to: SIGTERM, Ctrl-C, a closed terminal."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last on Windows, where SIGHUP does not exist


def run_until_signalled(work: Coroutine[Any, Any, T]) -> T | None:
    """Run `work` to its end; a signal cancels it, once, and then the result is None.

    Raises `KeyboardInterrupt` at the end where that signal was Ctrl-C, so that the exit code says so (130).
    """
    result, asked_by = asyncio.run(_run(work))
    if asked_by == signal.SIGINT:
        raise KeyboardInterrupt
    return result


async def _run(work: Coroutine[Any, Any, T]) -> tuple[T | None, int | None]:
    """Return what `work` gave, or by which signal it was asked to end."""
    task = asyncio.ensure_future(work)
    asked_by: int | None = None

    def stop(number: int) -> None:
        nonlocal asked_by
        if asked_by is None:
            asked_by = number
            task.cancel()

    with _handling(stop):
        try:
            return await task, None
        except asyncio.CancelledError:
            if asked_by is not None:
                return None, asked_by
            raise


@contextlib.contextmanager
def _handling(stop: Callable[[int], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    previous: dict[int, Any] = {}
    for number in numbers:
        try:
            loop.add_signal_handler(number, stop, number)
        except NotImplementedError:  # Windows
            previous[number] = signal.signal(number, lambda got, _: loop.call_soon_threadsafe(stop, got))
    try:
        yield
    finally:
        for number in numbers:
            if number in previous:
                signal.signal(number, previous[number])
            else:
                loop.remove_signal_handler(number)
