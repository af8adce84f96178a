# SPDX-License-Identifier: Apache-2.0
"""What a full run measures by the clock has the machine to itself, and nobody waits for a worker that is gone."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.hub.process import environment

PLUGIN = """
from pathlib import Path
from tests.turns import Turns

def pytest_configure(config):
    for mark in ("full", "alone"):
        config.addinivalue_line("markers", mark)
    worker = getattr(config, "workerinput", None)
    if worker:
        config.pluginmanager.register(Turns(Path(__file__).parent, worker["workercount"]))
"""
TESTS = """
import os, time
from pathlib import Path
import pytest

@pytest.fixture(autouse=True)
def noted(request):
    begin = time.monotonic()
    yield
    with (Path(__file__).parent / "times").open("a") as file:
        file.write(f"{request.node.name} {begin} {time.monotonic()}\\n")

@pytest.mark.parametrize("number", range(6))
def test_short(number):
    time.sleep(0.03)

@pytest.mark.full
@pytest.mark.parametrize("number", range(2))
def test_long(number):
    # Two that wait for each other end only if they run side by side.
    folder = Path(__file__).parent
    (folder / f"long{number}").touch()
    deadline = time.monotonic() + 30
    while FALLS_AT is None and not (folder / f"long{1 - number}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)

@pytest.mark.full
@pytest.mark.alone
@pytest.mark.parametrize("number", range(2))
def test_alone(number):
    time.sleep(0.1)
    if number == FALLS_AT:
        os._exit(1)
"""


def run_suite(folder: Path, falls_at: int | None, *more: str) -> tuple[int, list[tuple[str, float, float]]]:
    """Run a small suite on two workers; return pytest's exit code, and when each test that ended began and ended."""
    (folder / "conftest.py").write_text(PLUGIN)
    (folder / "test_some.py").write_text(TESTS.replace("FALLS_AT", repr(falls_at)))
    (folder / "none.ini").touch()
    command = ["-m", "pytest", "-q", "-p", "xdist", "-n", "2", "--dist", "worksteal", "-c", "none.ini", *more]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    times = [line.split() for line in (folder / "times").read_text().splitlines()]
    assert times, done.stdout + done.stderr
    return done.returncode, [(name, float(begin), float(end)) for name, begin, end in times]


def test_nothing_runs_beside_what_must_be_alone_and_then_all_workers_run(tmp_path: Path) -> None:
    code, times = run_suite(tmp_path, None)
    assert code == 0
    assert len(times) == 10
    in_order = sorted(times, key=lambda time: time[1])
    assert [name for name, _, _ in in_order[:2]] == ["test_alone[0]", "test_alone[1]"]
    assert all(end <= begin for (_, _, end), (_, begin, _) in pairwise(in_order[:3]))


@pytest.mark.full
@pytest.mark.parametrize("falls_at", [0, 1])
def test_the_others_go_on_when_the_worker_that_they_wait_for_is_gone(tmp_path: Path, falls_at: int) -> None:
    code, times = run_suite(tmp_path, falls_at)
    assert code == 1
    assert len(times) == 9


@pytest.mark.full
def test_a_run_that_ends_at_its_first_failure_ends_also_while_others_wait(tmp_path: Path) -> None:
    code, times = run_suite(tmp_path, 0, "--exitfirst")
    assert code != 0
    assert "test_alone[0]" not in [name for name, _, _ in times]
