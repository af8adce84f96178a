# SPDX-License-Identifier: Apache-2.0
"""docs/performance.md says what was recorded, of every target there is, against the bounds that are in force."""

import json
from pathlib import Path

from tests.bench.record import DOCUMENT, RECORDED, record, record_beside, targets_table, written
from tests.bench.targets import TARGETS, Figure, Result

KNOWN = json.loads(RECORDED.read_text(encoding="utf-8"))


def test_the_document_holds_the_tables_of_what_was_recorded() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert written(document, KNOWN) == document, "type: .venv/bin/python -m tests.bench.record"


def test_every_target_was_recorded_against_the_bounds_in_force() -> None:
    recorded = {line["target"]: line for line in KNOWN["lines"] if line["target"] != "further"}
    assert list(recorded) == list(TARGETS)
    for number, line in recorded.items():
        parts = {part.name: part for part in TARGETS[number].parts}
        assert line["parts"], f"nothing of target {number} was measured"
        for part in line["parts"]:
            assert (part["must"], part["moonshot"]) == (parts[part["name"]].must, parts[part["name"]].moonshot)
            assert part["ok"] == parts[part["name"]].keeps(part["ratio"], part["must"])


def test_what_is_measured_anew_takes_the_place_of_what_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "performance.json"
    record(path, [Result(TARGETS[2], {"open": 1.4}).line(), Result(TARGETS[1], {"one recipient": 1.3}).line()], ["one"])
    record(path, [Result(TARGETS[2], {"open": 1.1}).line()], ["two"])
    record_beside(path, "parts", [Figure("step", 2.0, "µs")])
    known = json.loads(path.read_text(encoding="utf-8"))
    assert [(line["target"], line["ratio"]) for line in known["lines"]] == [(1, 1.3), (2, 1.1)]
    assert known["parts"] == {"step (µs)": 2.0}
    table = targets_table(known)
    assert "| 2 | **opening one of 100 ÷ opening one of 1** (gate): open | 1.10 | ≤ 1.50 | ≤ 1.20 | ★ |" in table
    assert "| 1.30 | ≤ 1.25 | ≤ 1.10 | ✗ |" in table
