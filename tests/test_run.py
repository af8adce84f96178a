# SPDX-License-Identifier: Apache-2.0
"""The first thing that a newcomer types says plainly what it does, and does not install twice."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import run

OPERATIONS = run.ROOT / "docs" / "operations.md"
REPORT = '<testsuites><testsuite tests="12" failures="2" errors="1" skipped="3"/></testsuites>'


def test_the_count_line_counts_errors_as_failures_and_tells_skips(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT, encoding="utf-8")
    assert run.counts(report) == "6 passed, 3 failed, 3 skipped"


def test_the_count_line_without_skips_is_two_numbers(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite tests="7"/></testsuites>', encoding="utf-8")
    assert run.counts(report) == "7 passed, 0 failed"


def test_a_suite_that_never_ran_is_not_taken_for_success(tmp_path: Path) -> None:
    assert "did not run" in run.counts(tmp_path / "absent.xml")
    (tmp_path / "cut.xml").write_text(REPORT[:30], encoding="utf-8")
    assert "did not run" in run.counts(tmp_path / "cut.xml")


@pytest.mark.skipif(os.name == "nt", reason="there is no such folder")
def test_tests_keep_their_files_in_memory_only_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MEMORY", tmp_path)
    monkeypatch.setattr(run, "ROOM", {False: 1, True: 1 << 60})
    assert run.memory(full=False) == str(tmp_path)
    assert run.memory(full=True) is None
    monkeypatch.setattr(run, "MEMORY", tmp_path / "absent")
    assert run.memory(full=False) is None


def test_an_unknown_verb_is_wrong_usage_and_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["dmeo"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "'dmeo'" in told.err
    assert all(f"./run {verb}" in told.err for verb in run.VERBS if verb != "demo")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], []), (["--once"], ["--once"]), (["demo", "--once"], ["--once"])],
)
def test_options_alone_mean_the_demo(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: list[str]
) -> None:
    seen: list[list[str]] = []

    def listen(rest: list[str]) -> int:
        seen.append(rest)
        return 0

    monkeypatch.setitem(run.VERBS, "demo", listen)
    assert run.main(arguments) == 0
    assert seen == [expected]


def test_measuring_takes_its_own_arguments(capfd: pytest.CaptureFixture[str]) -> None:
    assert run.main(["bench", "--only", "77"]) == 2
    assert "there is no target 77" in capfd.readouterr().err


def test_a_developers_environment_serves_the_programs_but_not_the_other_way_round(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stamp = tmp_path / "stamp.json"
    monkeypatch.setattr(run, "STAMP", stamp)
    state = run.locked_state()
    assert not run.is_installed("runtime", state)
    stamp.write_text(json.dumps({**state, "set": "dev"}), encoding="utf-8")
    assert run.is_installed("runtime", state)
    assert run.is_installed("dev", state)
    stamp.write_text(json.dumps({**state, "set": "runtime"}), encoding="utf-8")
    assert not run.is_installed("dev", state)
    assert not run.is_installed("runtime", {**state, "locks": "others"})
    stamp.write_text("{", encoding="utf-8")
    assert not run.is_installed("runtime", state)


@pytest.mark.skipif(os.name == "nt", reason="run is for POSIX shells; Windows types py run.py")
def test_run_works_from_any_directory(tmp_path: Path) -> None:
    done = subprocess.run([run.ROOT / "run", "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout == run.HELP


def test_what_runs_from_the_folder_can_read_fhir_as_the_readme_shows_and_use_postgresql() -> None:
    locked = (run.REQUIREMENTS / "runtime.txt").read_text(encoding="utf-8")
    assert "\nfhir-resources==" in locked
    assert "\nasyncpg==" in locked


def test_a_machine_of_its_own_is_given_the_locked_versions_by_the_commands_in_the_documents() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    typed = [line.split() for line in text.splitlines() if line.startswith("    /opt/throughcare/bin/pip ")]
    steps = [words[2:] for words in typed]
    build = next(iter(tomllib.loads((run.ROOT / "pyproject.toml").read_text())["build-system"]["requires"]))
    assert steps[:3] == steps[3:], "an update types the same commands once more"
    first, second, last = steps[:3]
    assert [one[:2] for one in (first, second)] == [["--require-hashes", "-r"]] * 2
    assert [run.ROOT / one[2] for one in (first, second)] == [
        run.REQUIREMENTS / "installer.txt",
        run.REQUIREMENTS / "runtime.txt",
    ]
    # What builds the package is there before it is built, and nothing else is fetched for that.
    assert f"\n{re.split('[<>=]', build)[0]}==" in (run.ROOT / first[2]).read_text(encoding="utf-8")
    assert last == ["--no-deps", "--no-build-isolation", "."]
