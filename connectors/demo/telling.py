# SPDX-License-Identifier: Apache-2.0
"""Prints the story: one line for each step, with a tick and its time, and what belongs to it underneath."""

import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TextIO

_GREEN, _RED, _DIM, _BOLD, _END = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
_WIDTH: Final = 100
_INDENT: Final = " " * 12


class WentWrong(Exception):
    """A step of the story did not come out as it must."""


@dataclass(slots=True)
class Step:
    """One step while it happens: what to print for it when it is done."""

    text: str
    details: list[str] = field(default_factory=list)
    when: str | None = None
    """What time it is in the story, where that is another than the reader's."""

    def detail(self, text: str) -> None:
        """Add a line to be printed under the step."""
        self.details.append(text)


class Teller:
    """Writes to `out`; with `colour` in green, red and grey."""

    def __init__(self, out: TextIO, *, colour: bool) -> None:
        self._out = out
        self._colour = colour
        self._began = time.monotonic()

    def title(self, text: str) -> None:
        """Write a line that stands alone."""
        self._write(f"\n{self._painted(text, _BOLD)}\n")

    @contextmanager
    def step(self, text: str) -> Iterator[Step]:
        """Write a step when it is done: ticked, or crossed if it failed, and then the error goes on."""
        step, began = Step(text), time.monotonic()
        try:
            yield step
        except BaseException:
            self._line("✗", _RED, began, step)
            raise
        self._line("✓", _GREEN, began, step)

    def side_by_side(self, columns: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Write columns of text beside each other, each under its heading."""
        width = _WIDTH // len(columns) - 2
        wrapped = [[part for line in lines for part in _wrap(line, width)] for _, lines in columns]
        heads = [heading[:width].ljust(width) for heading, _ in columns]
        self._write("  " + self._painted("  ".join(heads).rstrip(), _BOLD))
        for row in range(max(len(lines) for lines in wrapped)):
            cells = [lines[row].ljust(width) if row < len(lines) else " " * width for lines in wrapped]
            self._write("  " + "  ".join(cells).rstrip())

    def say(self, text: str) -> None:
        """Write plain lines."""
        self._write(text)

    @property
    def seconds(self) -> float:
        """Seconds since the story began."""
        return time.monotonic() - self._began

    def _line(self, mark: str, colour: str, began: float, step: Step) -> None:
        took = f"{time.monotonic() - began:5.1f} s"
        when = f"{self._painted(step.when, _BOLD)}  " if step.when else ""
        self._write(f" {self._painted(mark, colour)} {self._painted(took, _DIM)}  {when}{step.text}")
        for detail in step.details:
            for line in textwrap.wrap(detail, _WIDTH, break_long_words=False, break_on_hyphens=False):
                self._write(_INDENT + self._painted(line, _DIM))

    def _painted(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_END}" if self._colour else text

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


def _wrap(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent="  ") or [""]
