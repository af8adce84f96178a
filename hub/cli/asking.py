# SPDX-License-Identifier: Apache-2.0
"""Questions that a command asks in the middle of its work, which can be answered with Ctrl-C.

A restore asks its operator inside a transaction, in whatever thread that runs. An event loop on the main thread takes
Ctrl-C for itself and waits for that thread, which waits for an answer: nobody could leave the question. So the work has
a thread of its own, and the main thread asks.
"""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import click

from protocol.errors import ConfigurationError

T = TypeVar("T")

LOOK_S = 0.5
"""Seconds after which it is looked anew whether something is asked, or the work is done."""


class Questions:
    """Runs work on an event loop of its own, and asks meanwhile what it wants to know."""

    def __init__(self) -> None:
        self._asked: tuple[Callable[[], Any], Future[Any]] | None = None
        self._wake = threading.Event()
        self._stop: Callable[[], object] = lambda: None
        self._stopped: KeyboardInterrupt | None = None

    def ask(self, question: Callable[[], T]) -> T:
        """Have `question` asked by whoever is in `run`, from another thread; return or raise what comes of it.

        One is asked at a time.
        """
        answer: Future[T] = Future()
        self._asked = question, answer
        self._wake.set()
        return answer.result()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, ask what it asks, and return or raise what comes of it.

        Ctrl-C at a question is its answer; at any other time it cancels the work, and nothing is asked any more. What a
        thread has begun goes on to its end all the same; whoever does not wait for that presses again, and the process
        ends as one that is killed.
        """
        before = signal.getsignal(signal.SIGINT)
        try:
            return self._run(work)
        finally:
            _at_ctrl_c(before)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        begin, done = threading.Event(), Future[T]()

        def work_on() -> None:
            begin.wait()
            _answer(lambda: asyncio.run(self._cancellable(work)), done, None)
            self._wake.set()

        thread = threading.Thread(target=work_on, daemon=True)
        thread.start()
        while not done.done():
            # Ctrl-C may come between any two steps; each of them may be done again.
            try:
                begin.set()
                self._wake.wait(LOOK_S)
                self._wake.clear()
                if self._asked is not None:
                    _answer(*self._asked, self._stopped)
            except KeyboardInterrupt as error:
                self._stopped = error
                _at_ctrl_c(signal.SIG_DFL)
                self._stop()
        thread.join()
        if self._stopped is not None:
            raise self._stopped
        return done.result()

    async def _cancellable(self, work: Coroutine[Any, Any, T]) -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            self._stop = lambda: loop.is_closed() or loop.call_soon_threadsafe(task.cancel)
        if self._stopped is not None:
            # Ctrl-C came before there was anything to cancel.
            work.close()
            raise self._stopped
        return await work


def _at_ctrl_c(handler: Any) -> None:
    """Have `handler` called at Ctrl-C, which only the main thread may say; no other is ever interrupted."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)


def _answer(question: Callable[[], Any], answer: Future[Any], stopped: BaseException | None) -> None:
    """Ask `question` unless it is answered already; who has `stopped` the work is asked nothing any more."""
    if answer.done():
        return
    try:
        if stopped is not None:
            raise stopped
        answer.set_result(question())
    except BaseException as error:
        if answer.done():
            raise  # Ctrl-C, which came too late to be the answer
        answer.set_exception(error)


def have_typed(domain: str, given: str | None) -> None:
    """Have `domain` typed, unless it was `given` with --agree; `ConfigurationError` if it is another, or not said."""
    try:
        typed = given or click.prompt("Type the hub's domain to go on", err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise  # the operator has thought better of it
        error = ConfigurationError("Nobody is there to type the hub's domain. Nothing was changed.")
        error.add_note(f"next: the same command with --agree {domain}, once you are sure")
        raise error from None
    if typed != domain:
        error = ConfigurationError("That is not this hub's domain. Nothing was changed.")
        error.add_note(f"next: the same command, and type {domain}")
        raise error
