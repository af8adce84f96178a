# SPDX-License-Identifier: Apache-2.0
"""How commands speak: data on standard output, talk on standard error, JSON when asked."""

import functools
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

import click

PROGRAM: Final = "THROUGHCARE_PROGRAM"
"""The variable that says how this program was started, where that is not by its name: `./run throughcare`."""

_COMMAND: Final = re.compile(r"(?<![\w./@-])throughcare(?=(-hub)? [a-z-])")


def pasteable(text: str) -> str:
    """Return `text` with its commands as the user can type them: started by `./run`, nothing is on the PATH."""
    program = os.environ.get(PROGRAM)
    return text if not program else _COMMAND.sub(lambda _: program, text)


def speak_utf8(*streams: TextIO | None) -> None:
    """Have text read and written as UTF-8: what Windows takes for pipes and files has no ✓ and not every name."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Voice:
    """What the user chose: `--json`, `--quiet`, `--no-color` (or the variable NO_COLOR)."""

    as_json: bool
    quiet: bool
    colour: bool

    def data(self, value: Mapping[str, Any], lines: Iterable[str]) -> None:
        """Write the answer: `value` as one line of JSON with `--json`, else `lines` for people."""
        if self.as_json:
            click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
            return
        for line in lines:
            click.echo(line, color=self.colour)

    def say(self, text: str) -> None:
        """Write talk to standard error, unless `--quiet`."""
        if not self.quiet:
            click.echo(pasteable(text), err=True, color=self.colour)

    def show(self, text: str) -> None:
        """Write to standard error what has to be read before a signature, also with `--quiet` (ENR-11)."""
        click.echo(text, err=True, color=self.colour)

    def warn(self, text: str) -> None:
        """Write a warning to standard error, also with `--quiet`."""
        click.echo(f"warning: {text}", err=True, color=self.colour)


def speaks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options `--json`, `--quiet` and `--no-color` and pass them on as `voice`."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON: stable, for programs.")
    @click.option("--quiet", "-q", is_flag=True, help="Print the data only, no talk.")
    @click.option("--no-color", is_flag=True, help="No colours (the variable NO_COLOR does the same).")
    @functools.wraps(command)
    def with_voice(*args: Any, as_json: bool, quiet: bool, no_color: bool, **kwargs: Any) -> Any:
        colour = not no_color and "NO_COLOR" not in os.environ and sys.stdout.isatty()
        return command(*args, voice=Voice(as_json=as_json, quiet=quiet, colour=colour), **kwargs)

    return with_voice


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return `rows` under `head` as lines with aligned columns; no rows give no lines."""
    body = [list(map(str, row)) for row in rows]
    if not body:
        return []
    every = [list(head), *body]
    widths = [max(len(row[column]) for row in every) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in every]
