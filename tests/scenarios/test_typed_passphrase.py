# SPDX-License-Identifier: Apache-2.0
"""Passphrases that people type at a terminal: a new one twice, and nothing of it is shown (KEY-6)."""

import os
import sys
from pathlib import Path

import pytest

from keys.backupopening import open_backup_key
from tests.scenarios.running import BIN

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")

OLD, NEW, MISTYPED = b"an invented passphrase", b"what the officer who left never saw", b"what the officer who lfet"


def typed(*command: str, answers: list[bytes]) -> bytes:
    """Run the program at a terminal, answer what it asks, and return what the terminal showed."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.execv(BIN / "throughcare", ["throughcare", *command])  # noqa: S606
    told, left = b"", list(answers)
    while True:
        try:
            more = os.read(terminal, 1_024)
        except OSError:
            break  # the program has ended
        if not more:
            break
        told += more
        if told.endswith(b": ") and left:
            os.write(terminal, left.pop(0) + b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, told
    os.close(terminal)
    assert left == []
    assert not any(answer in told for answer in answers)
    return told


def test_key_6_a_new_passphrase_is_asked_for_twice_and_none_is_shown(tmp_path: Path) -> None:
    made = typed("backup-key", str(tmp_path), "--demo", answers=[OLD, MISTYPED, OLD, OLD])
    assert made.count(b"New passphrase of the backup key") == 2, made
    kept = tmp_path / "backup.key"
    seed = open_backup_key(kept, OLD).seed
    told = typed("key", "change-passphrase", str(kept), answers=[OLD, NEW, MISTYPED, NEW, NEW])
    assert told.startswith(b"Passphrase of "), told
    assert told.count(b"New passphrase of ") == 2, told
    assert b"do not match" in told
    assert open_backup_key(kept, NEW).seed == seed
