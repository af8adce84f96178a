# SPDX-License-Identifier: Apache-2.0
"""What the bench says: a table for people, lines of JSON for programs."""

import json
import platform
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TextIO

from tests.bench.further import Promise
from tests.bench.targets import Figure, Part, Result, rounded

_NAME, _COLUMN = 58, 12
_RULE = "─" * (_NAME + 3 * _COLUMN)
_COLOURS = {"★": "32", "✓": "33", "✗": "31", "dim": "2", "bold": "1"}


class Report:
    """Writes results as they come; `as_json` writes lines of JSON and nothing else."""

    def __init__(self, out: TextIO, *, as_json: bool, colour: bool) -> None:
        self._out = out
        self._as_json = as_json
        self._colour = colour
        self._promised: list[Promise] = []
        self.lines: list[Mapping[str, object]] = []
        """What was reported, a line for each target and each further figure."""

    def begin(self, told: Sequence[str]) -> None:
        """Say what is measured, and on what."""
        if self._as_json:
            return
        packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "cryptography", "sqlalchemy"))
        self._line(self._paint("bold", "Throughcare, measured against its floor and its targets"))
        self._line(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}")
        for line in told:
            self._line(line)
        self._line("★ at the moonshot   ✓ kept   ✗ not kept   [gate] if not kept, the bench ends with 1")
        self._line()
        self._line(self._row("", "measured", "must", "moonshot"))
        self._line(_RULE)

    def result(self, result: Result) -> None:
        """Write one target."""
        self.lines.append(result.line())
        if self._as_json:
            self._json(result.line())
            return
        target = result.target
        self._line(self._paint("bold", f"{target.number:>2}  {target.name}{'  [gate]' if target.gated else ''}"))
        for part, value in result.measured:
            self._line(self._judged(part, value, bound(part, part.moonshot)))
        for name, reason in result.skipped.items():
            self._line(self._paint("dim", f"      {name}: not measured, {reason}"))
        for one in result.figures:
            self._line(self._paint("dim", f"        {one.name}: {shown(one.value)} {one.unit}".rstrip()))

    def further(self, promises: Sequence[Promise]) -> None:
        """Write the figures beside the targets."""
        self._promised += promises
        lines = [_promised(one) for one in promises]
        self.lines += lines
        if self._as_json:
            for line in lines:
                self._json(line)
            return
        if len(self._promised) == len(promises):
            self._line(self._paint("bold", "    further"))
        for one in promises:
            unit = f", {one.figure.unit}" if one.figure.unit else ""
            part = Part(f"{one.figure.name}{unit}", one.bound, one.bound, at_least=one.at_least)
            self._line(self._judged(part, one.figure.value, ""))

    def beside(self, figures: Sequence[Figure]) -> None:
        """Write figures that have no bound."""
        for one in figures:
            if self._as_json:
                self._json({"figure": one.name, "value": rounded(one.value), "unit": one.unit})
            else:
                self._line(self._row(f"      {one.name}", f"{shown(one.value)} {one.unit}".rstrip(), "", ""))

    def end(self, results: Sequence[Result], seconds: float) -> None:
        """Write what it comes to."""
        if self._as_json:
            return
        kept = sum(1 for one in results if one.ok)
        broken = [one for one in results if one.ok is False]
        dreamt = sum(1 for one in results if one.at_moonshot)
        unknown = len(results) - kept - len(broken)
        self._line(_RULE)
        counts = f"{kept} targets kept ({dreamt} at the moonshot), {len(broken)} not kept, {unknown} not measured"
        self._line(f"{counts}; {seconds / 60:.1f} minutes")
        if failed := [str(one.target.number) for one in results if one.breaks_gate]:
            self._line(self._paint("✗", f"Gated and not kept: {', '.join(failed)}"))

    def _judged(self, part: Part, value: float, moonshot: str) -> str:
        sign = mark(part, value)
        row = self._row(f"      {part.name}", f"{sign} {shown(value):>8}", bound(part, part.must), moonshot)
        # Painted once it is padded: what paints has no width.
        return row.replace(sign, self._paint(sign, sign), 1)

    def _row(self, name: str, measured: str, must: str, moonshot: str) -> str:
        return f"{name:<{_NAME}}{measured:>{_COLUMN}}{must:>{_COLUMN}}{moonshot:>{_COLUMN}}".rstrip()

    def _paint(self, kind: str, words: str) -> str:
        return f"\x1b[{_COLOURS[kind]}m{words}\x1b[0m" if self._colour else words

    def _json(self, line: object) -> None:
        self._line(json.dumps(line, ensure_ascii=False))

    def _line(self, words: str = "") -> None:
        clear_note()
        self._out.write(words + "\n")
        self._out.flush()


def _promised(one: Promise) -> Mapping[str, object]:
    figure = one.figure
    return {
        "target": "further",
        "name": f"{figure.name} ({figure.unit})" if figure.unit else figure.name,
        "ratio": rounded(figure.value),
        "must": one.bound,
        "moonshot": one.bound,
        "bound": "at least" if one.at_least else "at most",
        "ok": one.ok,
        "gated": False,
    }


def mark(part: Part, value: float) -> str:
    """Return ★ at the moonshot, ✓ when the must is kept, ✗ otherwise."""
    if part.keeps(value, part.moonshot):
        return "★"
    return "✓" if part.keeps(value, part.must) else "✗"


def bound(part: Part, value: float) -> str:
    """Return a bound as people write it."""
    return f"{'≥' if part.at_least else '≤'} {shown(value)}"


def shown(value: float) -> str:
    """Return a number with as many digits as mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"


def note(words: str) -> None:
    """Tell whoever waits at a terminal what is being measured; it vanishes with the next line."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{words}")
        sys.stderr.flush()


def clear_note() -> None:
    """Take the note away."""
    note("")
