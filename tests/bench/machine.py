# SPDX-License-Identifier: Apache-2.0
"""Processes that are measured: started, asked for their CPU time and memory, and stopped. Linux only."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
STOP_S = 15.0

MIB = 1 << 20
_SCHEDULED = 2
"""Low bits of a process's CPU clock: time that the scheduler gave to all its threads."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process with all its threads: what /proc/PID/stat says in ticks, in nanoseconds."""
    return time.clock_gettime(~pid << 3 | _SCHEDULED)


def resident_mib(pid: int, line: str = "VmRSS") -> float:
    """Return the resident memory of a process in MiB; `VmHWM` is its highest since `forget_peak`."""
    for one in Path(f"/proc/{pid}/status").read_text().splitlines():
        if one.startswith(f"{line}:"):
            return int(one.split()[1]) / 1024
    return 0.0


def forget_peak(pid: int) -> None:
    """Have the highest resident memory of a process count from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def environment(root: Path = ROOT, **more: str) -> dict[str, str]:
    """Return the environment for a child: the project's packages, and none of the caller's own settings of it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("THROUGHCARE")}
    return {**kept, "PYTHONPATH": str(root), **more}


class Process:
    """A child that says one line of JSON when it is ready; what it complains of goes into `folder`/NAME.log."""

    def __init__(self, name: str, command: Sequence[str | Path], folder: Path, root: Path = ROOT) -> None:
        """The code is that of the clone at `root`."""
        self.name = name
        self._root = root
        self.said: Mapping[str, Any] = {}
        self._command = [str(part) for part in command]
        self._log = folder / f"{name}.log"

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=self._root,
                env=environment(self._root),
                limit=16 * MIB,
            )
        try:
            await self.ready()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def ready(self) -> None:
        """Wait until the child serves."""
        async with asyncio.timeout(START_S):
            self.said = await self.answer()

    async def answer(self) -> Mapping[str, Any]:
        """Return the next line of JSON that the child says."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended: {self._log.read_text(errors='replace')[-2_000:]}")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    async def ask(self, **question: object) -> Mapping[str, Any]:
        """Give the child one line of JSON and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.answer()

    async def _stop(self) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def python(module: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command that runs a module of the project in a process of its own."""
    return [sys.executable, "-m", module, *arguments]
