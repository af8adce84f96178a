# SPDX-License-Identifier: Apache-2.0
"""What a killed process has left opened is deleted by the next one, and nothing else is."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keys.workfolders import left_behind, remove_left, work_folder

PREFIX = ".opening-"
PROGRAM = """
import sys, time
from pathlib import Path
from keys.workfolders import work_folder
with work_folder(Path(sys.argv[1]), sys.argv[2]) as folder:
    (folder / "content").write_text("who wrote to whom")
    print(folder, flush=True)
    time.sleep(600)
"""


def begun(parent: Path) -> tuple["subprocess.Popen[str]", Path]:
    """Start a process that works in a folder; return both."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(parent), PREFIX], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as said:
        folder = Path(said.readline().strip())
    long_ago(folder)
    return process, folder


def long_ago(folder: Path) -> None:
    os.utime(folder, (1, 1))


def test_a_folder_is_private_while_it_is_used_and_gone_afterwards(tmp_path: Path) -> None:
    with work_folder(tmp_path, PREFIX) as folder:
        (folder / "content").write_text("who wrote to whom")
        long_ago(folder)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert left_behind(tmp_path, PREFIX) == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), work_folder(tmp_path, PREFIX):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows deletes no file that is open")
def test_what_a_killed_process_has_left_goes_and_what_another_works_in_stays(tmp_path: Path) -> None:
    killed, left = begun(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    working, used = begun(tmp_path)
    try:
        # The second has deleted what the first has left.
        assert (left.exists(), (used / "content").exists()) == (False, True)
        assert left_behind(tmp_path, PREFIX) == []
        remove_left(tmp_path, PREFIX)
        assert (used / "content").exists()
    finally:
        working.kill()
        working.wait()
    assert left_behind(tmp_path, PREFIX) == [used]


def test_a_folder_that_is_just_being_made_is_nobodys_rest(tmp_path: Path) -> None:
    (tmp_path / f"{PREFIX}new").mkdir()
    assert left_behind(tmp_path, PREFIX) == []
    long_ago(tmp_path / f"{PREFIX}new")
    assert left_behind(tmp_path, PREFIX) == [tmp_path / f"{PREFIX}new"]


@pytest.mark.skipif(os.name != "posix", reason="Windows makes links for administrators only")
def test_a_stranger_who_may_write_there_has_nothing_else_deleted_and_holds_nobody_up(tmp_path: Path) -> None:
    """The folder for temporary files is everybody's."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / f"{PREFIX}link").symlink_to(precious)
    (shared / f"{PREFIX}file").touch()
    inside = shared / f"{PREFIX}with-links"
    inside.mkdir()
    (inside / "down").symlink_to(precious)
    pipe = shared / f"{PREFIX}pipe"
    pipe.mkdir()
    os.mkfifo(pipe / ".in-use")
    lured = shared / f"{PREFIX}lured"
    lured.mkdir()
    (lured / ".in-use").symlink_to(precious / "file")
    for folder in (inside, pipe, lured):
        long_ago(folder)
    with work_folder(shared, PREFIX):
        pass
    assert (precious / "file").exists()
    assert (shared / f"{PREFIX}link").is_symlink()
    assert not inside.exists()
    assert left_behind(tmp_path / "no such folder", PREFIX) == []
