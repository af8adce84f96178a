# SPDX-License-Identifier: Apache-2.0
"""Long-running commands end in an orderly way when they are asked to: SIGTERM, Ctrl-C, a closed terminal."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last on Windows, where SIGHUP does not exist


def run_until_signalled(work: Coroutine[Any, Any, T]) -> T | None:
    """Run `work` to its end; a signal cancels it, once, and then the result is None."""
    return asyncio.run(_run(work))


async def _run(work: Coroutine[Any, Any, T]) -> T | None:
    task = asyncio.ensure_future(work)
    asked = False

    def stop() -> None:
        nonlocal asked
        if not asked:
            asked = True
            task.cancel()

    with _handling(stop):
        try:
            return await task
        except asyncio.CancelledError:
            if asked:
                return None
            raise


@contextlib.contextmanager
def _handling(stop: Any) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    previous: dict[int, Any] = {}
    for number in numbers:
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # Windows
            previous[number] = signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    try:
        yield
    finally:
        for number in numbers:
            if number in previous:
                signal.signal(number, previous[number])
            else:
                loop.remove_signal_handler(number)
