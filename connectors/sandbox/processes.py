# SPDX-License-Identifier: Apache-2.0
"""Child processes that are started together, watched, and never left behind.

A `Supervisor` is an asynchronous context: whatever happens inside (an error, a signal, a child that dies),
all its children have ended when the context is left. Children run in sessions of their own, so Ctrl-C
reaches the supervisor only, which then stops them in an orderly way.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from protocol.errors import Unavailable

GRACE_S = 6
"""Seconds that a child has to end after SIGTERM before it is killed: a hub drains in 5."""
START_S = 30
"""Seconds that a child has to report that it is ready, on a slow machine."""
_TETHER = Path(__file__).with_name("tether.py")
_TAIL_LINES = 6


class ChildFailed(Unavailable):
    """A child did not start, or ended before it was asked to."""


class Child:
    """One running child process; `ready` is what it reported when it was up."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.ready: Mapping[str, Any] = {}
        self.expected_to_end = False
        self._begun = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def stands_by(self) -> bool:
        """Whether the child waits for the line with which it begins."""
        return self.process.stdin is not None and not self._begun and self.process.returncode is None

    def begin(self) -> None:
        """Give a child that stands by the line it waits for."""
        if self.process.stdin is not None and not self._begun:
            self._begun = True
            self.process.stdin.write(b"begin\n")

    async def until_ready(self) -> None:
        """Read the line of JSON that the child prints when it is up; `ChildFailed` if it ends instead."""
        stdout = self._stdout()
        try:
            async with asyncio.timeout(START_S):
                line = await stdout.readline()
        except TimeoutError:
            raise ChildFailed(f"{self.name} was not ready after {START_S} seconds.{self._last_words()}") from None
        try:
            self.ready = json.loads(line)
        except ValueError:
            await self.process.wait()
            raise ChildFailed(f"{self.name} did not start.{self._last_words()}") from None

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Ask the child to end, wait, and kill it if it does not."""
        self.expected_to_end = True
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await self.process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the child at once, as a power cut would (kill -9)."""
        self.expected_to_end = True
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def drain(self) -> None:
        """Keep the pipe empty to its end: a child must never wait for somebody to read what it says."""
        stdout = self._stdout()
        while await stdout.read(65_536):
            pass

    def failure(self) -> ChildFailed:
        """Return the error that says how the child ended."""
        return ChildFailed(f"{self.name} ended with code {self.process.returncode}.{self._last_words()}")

    def _stdout(self) -> asyncio.StreamReader:
        if self.process.stdout is None:
            raise TypeError("a child is started with a pipe for its output")
        return self.process.stdout

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        return "".join(f"\n       | {line}" for line in lines)


class Supervisor:
    """Starts children and answers for them."""

    def __init__(self, logs: Path, environment: Mapping[str, str] | None = None) -> None:
        self._logs = logs
        self._environment = {**os.environ, **(environment or {})}
        self._children: dict[str, Child] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [child for child in self._children.values() if child.process.returncode is None]
        await asyncio.gather(*(child.stop() for child in running))
        await asyncio.gather(*self._watchers)
        if self._failed.done():
            self._failed.exception()  # whoever watched was told; nobody else needs to be

    async def start(self, name: str, command: Sequence[str]) -> Child:
        """Start `command`; return when it is ready. Its standard error goes to NAME.log."""
        return await self.release(await self._spawn(name, command))

    async def stand_by(self, name: str, command: Sequence[str]) -> Child:
        """Start `command`, which loads its libraries and then waits for a line on its input: see `release`."""
        return await self._spawn(name, command, stdin=asyncio.subprocess.PIPE)

    async def release(self, child: Child) -> Child:
        """Let a child begin that stands by, if it does, and return it when it is ready."""
        child.begin()
        await child.until_ready()
        self._watchers.append(asyncio.create_task(self._watch(child)))
        return child

    async def run(self, name: str, command: Sequence[str]) -> None:
        """Run `command` to its end; `ChildFailed` with its last words unless it ends well."""
        child = await self._spawn(name, command)
        _, code = await asyncio.gather(child.drain(), child.process.wait())
        if code != 0:
            raise child.failure()

    async def watch(self) -> None:
        """Return never; raise `ChildFailed` when a child ends that was not asked to."""
        await asyncio.shield(self._failed)

    async def _spawn(self, name: str, command: Sequence[str], stdin: int = asyncio.subprocess.DEVNULL) -> Child:
        log = self._logs / f"{name}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *tethered(command),
                stdin=stdin,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=self._environment,
                start_new_session=True,
            )
        child = self._children[name] = Child(name, process, log)
        return child

    async def _watch(self, child: Child) -> None:
        await asyncio.gather(child.drain(), child.process.wait())
        if not child.expected_to_end and not self._failed.done():
            self._failed.set_exception(child.failure())


def tethered(command: Sequence[str]) -> list[str]:
    """Return `command` so that it ends with this process, where the system offers that."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), *command]


def program(name: str) -> str:
    """Return the path of an installed program of ours, the one beside this Python first."""
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    found = beside or shutil.which(name)
    if found is None:
        raise ChildFailed(f"The program {name} is not installed beside this Python.")
    return found
