# SPDX-License-Identifier: Apache-2.0
"""Questions in the middle of a command's work can be left with Ctrl-C, and nothing is changed then."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest

from hub.cli.asking import Questions, _answer
from hub.config import DATABASE_NAME
from hub.store.opening import look
from hub.store.restorations import newest
from tests.hub.backups import seal_keys
from tests.hub.process import environment
from tests.hub.running import RunningHub, make_settings, settings_text
from tests.programme import Programme

QUESTION = b"Type the hub's domain to go on"


async def work(questions: Questions, asked: str) -> str:
    return await asyncio.to_thread(questions.ask, lambda: asked + str(threading.current_thread().name))


def test_what_work_asks_is_asked_on_the_main_thread() -> None:
    questions = Questions()
    assert questions.run(work(questions, "by ")) == "by MainThread"


def test_another_thread_asks_for_its_own_work() -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="other") as thread:
        questions = Questions()
        assert thread.submit(questions.run, work(questions, "by ")).result() == "by other_0"


def test_what_a_question_raises_reaches_the_work_that_asked() -> None:
    questions = Questions()

    def leave() -> None:
        raise click.Abort

    async def asks() -> str:
        with pytest.raises(click.Abort):
            await asyncio.to_thread(questions.ask, leave)
        return await work(questions, "again by ")

    assert questions.run(asks()) == "again by MainThread"


def test_work_that_fails_is_told_of() -> None:
    async def fails() -> None:
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - it is this one
        Questions().run(fails())


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Heed Ctrl-C also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_cancels_work_and_nothing_is_asked_any_more() -> None:
    questions, told = Questions(), list[str]()

    async def goes_on() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            told.append("cancelled")
            with suppress(KeyboardInterrupt):
                await work(questions, "never")
                told.append("asked")
            raise

    with pytest.raises(KeyboardInterrupt):
        questions.run(goes_on())
    assert told == ["cancelled"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_that_comes_before_the_work_has_begun_lets_none_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    questions, told, run = Questions(), list[str](), asyncio.run

    async def work() -> None:
        told.append("begun")

    def late(coroutine: Coroutine[Any, Any, None]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while questions._stopped is None:
            time.sleep(0.01)
        run(coroutine)

    monkeypatch.setattr(asyncio, "run", late)
    with pytest.raises(KeyboardInterrupt):
        questions.run(work())
    assert told == []


def test_ctrl_c_that_comes_behind_an_answer_is_no_second_answer() -> None:
    class Interrupted(Future[str]):
        def set_result(self, result: str) -> None:
            super().set_result(result)
            raise KeyboardInterrupt

    answer = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        _answer(lambda: "typed", answer, None)
    assert answer.result() == "typed"


STUBBORN = """
import asyncio, signal, time
from hub.cli.asking import Questions

async def work():
    print("begun", flush=True)
    try:
        await asyncio.to_thread(time.sleep, 60)
    finally:
        print("cancelled", flush=True)

signal.signal(signal.SIGINT, signal.default_int_handler)
Questions().run(work())
"""
HUB = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("hub", run_name="__main__", alter_sys=True)
"""


def test_whoever_does_not_wait_for_what_is_being_done_presses_ctrl_c_again() -> None:
    """A large backup is read in one go, in a thread that nobody can interrupt."""
    command = [sys.executable, "-c", STUBBORN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        for said in ("begun", "cancelled"):
            assert process.stdout.readline() == f"{said}\n"
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT


def test_an_operator_leaves_a_restore_at_its_question_with_ctrl_c(tmp_path: Path, programme: Programme) -> None:
    """It hung there for good; whoever then typed the domain all the same had restored."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    seal_keys(data)
    asyncio.run(run_once(data, programme))
    config = tmp_path / "hub.toml"
    config.write_text(settings_text(data, programme))
    before = (data / DATABASE_NAME).read_bytes()
    ours, theirs = pty.openpty()
    # The first terminal that the leader of a session opens is the one that Ctrl-C comes from.
    at_terminal = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(theirs), sys.executable, "-c", HUB]
    command = [*at_terminal, "restore", "--in-place", "--without-statements", "--config", str(config)]
    process = subprocess.Popen(command, env=environment(), start_new_session=True)
    try:
        said = read_until(ours, QUESTION)
        assert QUESTION in said
        assert press_until_it_ends(ours, process) == 1
        assert b"Aborted!" in read_until(ours, b"Aborted!")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    assert (data / DATABASE_NAME).read_bytes() == before
    assert asyncio.run(look(data, make_settings(data, programme).store, newest)) == 0


def press_until_it_ends(terminal: int, process: subprocess.Popen[bytes]) -> int | None:
    """Press Ctrl-C as an operator does: Python misses one that comes right before it reads what is typed."""
    for _ in range(4):
        os.write(terminal, b"\x03")
        with suppress(subprocess.TimeoutExpired):
            return process.wait(5)
    return None


async def run_once(data: Path, programme: Programme) -> None:
    async with RunningHub(data, programme):
        pass


def read_until(terminal: int, wanted: bytes) -> bytes:
    """Return what a program has said up to `wanted`, or in twenty seconds, or until it ended."""
    said, until = b"", time.monotonic() + 20
    with suppress(OSError):
        while wanted not in said and time.monotonic() < until:
            if select.select([terminal], [], [], 0.2)[0]:
                said += os.read(terminal, 4_096)
    return said
