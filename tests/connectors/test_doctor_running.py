# SPDX-License-Identifier: Apache-2.0
"""The doctor says which connector holds the store: one that runs is well, a second one is a fault."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from connectors.doctor.running import examine_running
from connectors.store.engine import DATABASE_FILE, LOCK_FILE, migrate
from keys.lockholders import command_of, holders_of
from protocol.diagnosis import Condition

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who holds a lock")

HOLDS = """
import sqlite3, sys
from pathlib import Path
from connectors.store.lock import InstallationLock
folder = Path(sys.argv[-1])
store = sqlite3.connect(folder / "connector.db")
store.execute("PRAGMA journal_mode=WAL").fetchall()
store.execute("SELECT count(*) FROM sqlite_master").fetchall()
with InstallationLock(folder / "connector.lock"):
    print("holds", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    migrate(tmp_path / DATABASE_FILE)
    return tmp_path


@contextmanager
def holding(folder: Path, *command: str) -> Iterator[int]:
    """Run a process that opens store and lock as a connector does, under a command line that says so."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, *command, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holds\n"
        yield process.pid


def test_the_doctor_names_the_connector_that_runs_and_finds_a_second_one(folder: Path) -> None:
    assert list(examine_running(folder)) == [], "nothing runs, and nothing is said"
    with ExitStack() as stack:
        first = stack.enter_context(holding(folder, "connector", "run", "--config"))
        (well,) = examine_running(folder)
        assert (well.condition, well.found) == (
            Condition.OK,
            f"A connector runs on this store: process {first}.",
        )
        # Somebody took the lock's file for a left-over: a second one starts.
        (folder / LOCK_FILE).unlink()
        second = stack.enter_context(holding(folder, "connector", "run", "--config"))
        (ill,) = examine_running(folder)
        assert ill.condition is Condition.FAULT
        assert f"{min(first, second)}, {max(first, second)}" in ill.found
        assert "Stop all of them but one" in str(ill.fix)
    assert list(examine_running(folder)) == []


def test_a_command_that_holds_the_lock_is_no_connector(folder: Path) -> None:
    with holding(folder, "key", "change-passphrase") as process:
        (told,) = examine_running(folder)
        assert (told.condition, told.found) == (Condition.OK, f"A command holds this store: process {process}.")


def test_where_the_system_tells_nothing_nothing_is_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert holders_of(folder / "nothing") == frozenset()
    asked = (folder / DATABASE_FILE).stat()
    locks = tmp_path / "locks"
    monkeypatch.setattr("keys.lockholders._LOCKS", locks)
    assert holders_of(folder / DATABASE_FILE) == frozenset()
    # Processes outside a container, those that only wait, and whatever else may stand there.
    locks.write_text(
        f"1: POSIX  ADVISORY  WRITE 0 00:00:{asked.st_ino} 0 EOF\n1: -> POSIX  ADVISORY  WRITE 7 00:00:1 0 EOF\nx\n"
    )
    assert holders_of(folder / DATABASE_FILE) == frozenset()
    locks.write_bytes(b"\xff")
    assert holders_of(folder / DATABASE_FILE) == frozenset()
    assert command_of(2**31 - 1) == []
