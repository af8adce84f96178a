# SPDX-License-Identifier: Apache-2.0
"""The programs as a user starts them: processes for what stays up, `main` in this process for single commands."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.cli import main

BIN = Path(sys.executable).parent
SAMPLES = Path(__file__).parents[3] / "shared" / "samples" / "resettlement"


@dataclass(frozen=True)
class Spoken:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one line of JSON on standard output."""
        (line,) = self.out.splitlines()
        return json.loads(line)


class Typist:
    """Types commands of `throughcare` and reads the answer."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Spoken:
        self._capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        spoken = self._capsys.readouterr()
        assert "Traceback" not in spoken.err
        return Spoken(code, spoken.out, spoken.err)


def shown(type_: Typist, noun: str, id_: str, agency: str, has: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return what an agency sees of a thread or a message once it has what is waited for."""
    for _ in range(200):
        spoken = type_(noun, "show", id_, "--agency", agency, "--json")
        if spoken.code == 0 and has(spoken.json):
            return dict(spoken.json)
    raise AssertionError(f"{agency} does not see what was expected of {id_}")


def officer_of(type_: Typist, agency: str) -> str:
    """Return the id of the officer that a sandbox has at each agency."""
    found = type_("connector", "status", "--agency", agency, "--json").json["officers"]
    return str(next(one["id"] for one in found if one["kind"] == "officer"))


@dataclass(frozen=True)
class Running:
    """A program that stays up; `ready` is the line of JSON that it printed."""

    process: subprocess.Popen[str]
    ready: Mapping[str, Any]

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@contextmanager
def started(*command: str | Path, **environment: str) -> Iterator[Running]:
    """Start a program that prints a line of JSON when it is up; it has ended when the block is left."""
    process = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    too_long = threading.Timer(60, process.kill)
    too_long.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the program ended before it was up"
        too_long.cancel()
        yield Running(process, json.loads(line))
    finally:
        too_long.cancel()
        if process.poll() is None:
            process.terminate()
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


def descendants(folder: Path) -> list[int]:
    """Return the processes whose command line names `folder` (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it ended while we looked
        if os.fsencode(folder) in command and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
