# SPDX-License-Identifier: Apache-2.0
"""What a run measured, kept in docs/performance.json, and the tables of docs/performance.md that are made from it.

`./run bench --record docs/performance.json` replaces the lines of what it measured and leaves the others;
`python -m tests.bench.record` then writes the tables anew. A test compares: the document says what was measured.
"""

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.machine import ROOT
from tests.bench.report import bound, mark, shown
from tests.bench.targets import Figure, Part, rounded

RECORDED = ROOT / "docs" / "performance.json"
DOCUMENT = ROOT / "docs" / "performance.md"
_BEGIN, _END = "<!-- measured: {} -->\n", "<!-- end -->"

Line = Mapping[str, Any]


def record(path: Path, lines: Sequence[Line], conditions: Sequence[str]) -> None:
    """Note `lines` in the file at `path`, in place of what it says of the same."""
    known = _known(path)
    run = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; Python {platform.python_version()}; {conditions[0]}"
    fresh = {_key(line): {**line, "run": run} for line in lines}
    kept = {_key(line): line for line in known["lines"]}
    known["lines"] = sorted({**kept, **fresh}.values(), key=_place)
    _write(path, known)


def record_beside(path: Path, name: str, figures: Sequence[Figure]) -> None:
    """Note figures without bounds under `name`, in place of those that are there."""
    known = _known(path)
    known[name] = {f"{one.name} ({one.unit})" if one.unit else one.name: rounded(one.value) for one in figures}
    _write(path, known)


def _known(path: Path) -> dict[str, Any]:
    known: dict[str, Any] = {"lines": [], "parts": {}, "bounds": {}, "against": {}}
    if path.exists():
        known |= json.loads(path.read_text(encoding="utf-8"))
    return known


def _write(path: Path, known: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(known, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _key(line: Line) -> tuple[str, str]:
    return str(line["target"]), str(line["name"])


def _place(line: Line) -> tuple[int, str]:
    return (line["target"], "") if isinstance(line["target"], int) else (sys.maxsize, str(line["name"]))


def targets_table(known: Mapping[str, Any]) -> str:
    """Return the table of the targets."""
    rows = ["| # | target | measured | must | moonshot | |", "| --- | --- | --- | --- | --- | --- |"]
    for line in known["lines"]:
        if line["target"] == "further":
            continue
        gate = " (gate)" if line["gated"] else ""
        for place, part in enumerate(line["parts"]):
            name = f"**{line['name']}**{gate}: {part['name']}" if place == 0 else part["name"]
            rows.append(_row(str(line["target"]) if place == 0 else "", name, _part(part), part["ratio"]))
        for name, reason in line.get("skipped", {}).items():
            rows.append(f"| | {name} | – | | | {reason} |")
    return "\n".join(rows) + "\n"


def further_table(known: Mapping[str, Any]) -> str:
    """Return the table of the figures beside the targets."""
    rows = ["| | figure | measured | promised | | |", "| --- | --- | --- | --- | --- | --- |"]
    for line in known["lines"]:
        if line["target"] == "further":
            part = Part(line["name"], line["must"], line["must"], at_least=line["bound"] == "at least")
            rows.append(_row("", line["name"], part, line["ratio"], moonshot=False))
    return "\n".join(rows) + "\n"


def figures_list(known: Mapping[str, Any]) -> str:
    """Return what was measured on the way to each target."""
    rows = []
    for line in known["lines"]:
        if line.get("figures"):
            told = "; ".join(f"{name} {shown(value)}" for name, value in line["figures"].items())
            rows.append(f"- {line['target']}: {told}.")
    return "\n".join(rows) + "\n"


def parts_table(known: Mapping[str, Any]) -> str:
    """Return where the microseconds of one message go."""
    return _beside("step", known["parts"])


def bounds_table(known: Mapping[str, Any]) -> str:
    """Return what the hub would carry if its checks were free."""
    return _beside("hub", known["bounds"])


def against_table(known: Mapping[str, Any]) -> str:
    """Return how the hub compares with an older one."""
    return _beside("compared", known["against"])


def _beside(head: str, figures: Mapping[str, float]) -> str:
    rows = [f"| {head} | |", "| --- | --- |", *(f"| {name} | {shown(value)} |" for name, value in figures.items())]
    return "\n".join(rows) + "\n"


def runs_list(known: Mapping[str, Any]) -> str:
    """Return when and on what it was measured."""
    runs: dict[str, list[str]] = {}
    for line in known["lines"]:
        name = str(line["target"])
        if name not in runs.setdefault(line["run"], []):
            runs[line["run"]].append(name)
    return "\n".join(f"- {run}: {', '.join(names)}." for run, names in runs.items()) + "\n"


TABLES = {
    "targets": targets_table,
    "further": further_table,
    "figures": figures_list,
    "parts": parts_table,
    "bounds": bounds_table,
    "against": against_table,
    "runs": runs_list,
}


def written(document: str, known: Mapping[str, Any]) -> str:
    """Return the document with each table as recorded."""
    for name, make in TABLES.items():
        begin = _BEGIN.format(name)
        before, rest = document.split(begin)
        document = before + begin + "\n" + make(known) + "\n" + _END + rest.split(_END, 1)[1]
    return document


def _part(part: Line) -> Part:
    return Part(part["name"], part["must"], part["moonshot"], at_least=part["bound"] == "at least")


def _row(number: str, name: str, part: Part, value: float, *, moonshot: bool = True) -> str:
    dreamt = bound(part, part.moonshot) if moonshot else ""
    return f"| {number} | {name} | {shown(value)} | {bound(part, part.must)} | {dreamt} | {mark(part, value)} |"


def main() -> None:
    """Write the tables of the document anew."""
    known = json.loads(RECORDED.read_text(encoding="utf-8"))
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), known), encoding="utf-8")


if __name__ == "__main__":
    main()
