# SPDX-License-Identifier: Apache-2.0
"""Reads another service's life cycle from a table of comma-separated values.

The first line names the columns: `from`, `to`, then one column for each actor with `true` or `false`. An event is
named by where it leads, since such tables name none; the first line's `from` is where it begins.
"""

import csv
import io

from protocol.errors import TableUnreadable
from protocol.lifecycle.machine import Machine, Row

MAX_TABLE = 1 << 20
"""Bytes of a table; a thousand rows are 100 KiB."""
MAX_NAME = 100


def read_table(name: str, data: bytes) -> Machine:
    """Return the machine that `data` describes, or raise TableUnreadable, which names the line at fault."""
    if len(data) > MAX_TABLE:
        raise TableUnreadable("The table is larger than 1 MiB.")
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise TableUnreadable("The table is not UTF-8 text of comma-separated values.") from None
    if not lines or lines[0][:2] != ["from", "to"] or len(set(lines[0])) != len(lines[0]) or len(lines[0]) < 3:
        raise TableUnreadable("The first line must be: from,to, and then a name for each actor.")
    actors = lines[0][2:]
    rows = [_row(number, line, actors) for number, line in enumerate(lines[1:], start=1) if line]
    if not rows:
        raise TableUnreadable("The table has no rows.")
    try:
        return Machine(name, rows[0].sources[0], tuple(rows))
    except ValueError:
        raise TableUnreadable("Two lines say the same of one actor.") from None


def _row(number: int, line: list[str], actors: list[str]) -> Row:
    where = f"Line {number + 1} of the table"
    if len(line) != len(actors) + 2:
        raise TableUnreadable(f"{where} has {len(line)} fields, not {len(actors) + 2}.")
    source, target, *flags = line
    if not (0 < len(source) <= MAX_NAME and 0 < len(target) <= MAX_NAME) or not (source + target).isprintable():
        raise TableUnreadable(f"{where} names no state, or one of more than {MAX_NAME} characters.")
    if not set(flags) <= {"true", "false"}:
        raise TableUnreadable(f"{where} has something else than true or false.")
    permitted = frozenset(actor for actor, flag in zip(actors, flags, strict=True) if flag == "true")
    if not permitted:
        raise TableUnreadable(f"{where} permits nobody to move.")
    return Row(number=number, sources=(source,), event=target, actors=permitted, target=target)
