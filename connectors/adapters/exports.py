# SPDX-License-Identifier: Apache-2.0
"""Reads what an agency's own system exported: a folder of JSON files, or one file.

A folder becomes one object keyed by the files' stems. An export comes from outside the project, is often
made by hand and may be damaged, so everything about it is checked before a mapping looks at it, and every
refusal names the file and what to do. No error ever shows a value of the export (ERR-2).
"""

import json
import math
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from protocol.errors import ExportUnreadable

MAX_FILES = 500
MAX_FILE = 16 << 20
"""Bytes of one file."""
MAX_EXPORT = 64 << 20
"""Bytes of all files."""
MAX_DEPTH = 64
MAX_VALUES = 300_000
"""Values of all files together; a person's folder holds about a thousand."""
MAX_MARKS = 30
"""Combining marks on one letter; written languages need a handful."""
MAX_KEY = 256
"""Characters of one key."""
_INTEGER_DIGITS = 40

_WIDE = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Export:
    """What was read. `document` is keyed by file stem (or is the single file's object)."""

    document: dict[str, Any] = field(repr=False)
    stems: frozenset[str] = frozenset()
    """The stems of the files of a folder; empty for a single file."""
    unread: tuple[str, ...] = ()
    """Names of things in the folder that are not JSON files."""


class _Wrong(Exception):
    """What is wrong with one file, in a sentence without any of its content."""


def shown(name: str) -> str:
    """Return a file's or key's name as it may stand in a message: printable and bounded."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in name)
    return printable if len(printable) <= 100 else printable[:99] + "…"


def read_export(path: Path) -> Export:
    """Read a folder of `.json` files, or one `.json` file, or raise `ExportUnreadable`.

    Hidden files are passed over; what else is no JSON file is listed in `unread`. Links may point inside the
    folder only. Limits: `MAX_FILES`, `MAX_FILE` and `MAX_EXPORT` bytes, `MAX_DEPTH`, `MAX_VALUES`.
    """
    try:
        if path.is_dir():
            return _read_folder(path)
        _, content = _read_file(path, budget=MAX_EXPORT)
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError before Python 3.13
        name = Path(getattr(error, "filename", None) or path).name
        why = getattr(error, "strerror", None) or "a loop of links"
        raise ExportUnreadable(f"{shown(name)} cannot be read ({why}). Nothing was sent.") from None
    if not isinstance(content, dict):
        raise _unreadable(path.name, "it must hold one JSON object, in braces")
    return Export(document=content)


def _read_folder(folder: Path) -> Export:
    home = folder.resolve()
    document: dict[str, Any] = {}
    unread: list[str] = []
    budget, values = MAX_EXPORT, 0
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.suffix.lower() != ".json":
            unread.append(shown(entry.name))
            continue
        if not entry.resolve().is_relative_to(home):
            raise _unreadable(entry.name, "it is a link to a place outside the folder; copy the file instead")
        if len(document) == MAX_FILES:
            raise ExportUnreadable(f"The folder has more than {MAX_FILES} JSON files. Nothing was sent.")
        stem = unicodedata.normalize("NFC", entry.stem)
        if not stem.isprintable():
            raise _unreadable(entry.name, "its name cannot be shown; rename it")
        if stem in document:
            raise _unreadable(entry.name, "another file of the folder has the same name but for its ending")
        size, document[stem] = _read_file(entry, budget=budget)
        budget -= size
        values += count_values(document[stem])
        if values > MAX_VALUES:
            raise _unreadable(entry.name, f"with it the export holds more than {MAX_VALUES} values")
    if not document:
        raise ExportUnreadable(f"The folder {shown(folder.name)} has no .json file. Nothing was sent.")
    return Export(document=document, stems=frozenset(document), unread=tuple(unread))


def _read_file(path: Path, *, budget: int) -> tuple[int, Any]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise _unreadable(path.name, "it is not an ordinary file")
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    try:
        if len(data) > MAX_FILE:
            raise _Wrong(f"it is larger than {MAX_FILE >> 20} MiB")
        if len(data) > budget:
            raise _Wrong(f"with it the export is larger than {MAX_EXPORT >> 20} MiB")
        return len(data), parse(data)
    except _Wrong as wrong:
        raise _unreadable(path.name, str(wrong)) from None


def _unreadable(name: str, why: str) -> ExportUnreadable:
    return ExportUnreadable(f"{shown(name)} cannot be used: {why}. Nothing was sent.")


def parse(data: bytes) -> Any:
    """Return the JSON value in `data`; `_Wrong` with a sentence for anything that is not strict JSON."""
    if data[:2] in _WIDE:
        raise _Wrong(f"it is in {_WIDE[data[:2]]}; save it as UTF-8")
    try:
        text = data.removeprefix(_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Wrong(f"it is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from None
    if not text.strip():
        raise _Wrong("it is empty")
    if data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise _Wrong(f"it holds more than {MAX_VALUES} values")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        if error.pos >= len(text.rstrip()):
            raise _Wrong(f"it ends too early ({where}); export it again") from None
        raise _Wrong(f"it is not JSON ({where})") from None
    except RecursionError:
        raise _Wrong(f"it is nested deeper than {MAX_DEPTH} levels") from None
    if count_values(value) > MAX_VALUES:
        raise _Wrong(f"it holds more than {MAX_VALUES} values")
    return value


def count_values(value: Any) -> int:
    """Return how many values `value` holds, itself included; `_Wrong` if it is too deep or a text is a trap."""
    level, count = [value], 0
    for _ in range(MAX_DEPTH):
        count += len(level)
        if any(isinstance(item, str) and _piles_up(item) for item in level):
            raise _Wrong(f"a text piles more than {MAX_MARKS} marks on one letter")
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return count
    raise _Wrong(f"it is nested deeper than {MAX_DEPTH} levels")


def _piles_up(text: str) -> bool:
    """Tell whether combining marks follow one another without end: putting those in order takes quadratic time."""
    if text.isascii():
        return False
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run > MAX_MARKS:
            return True
    return False


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Wrong("a key stands twice in one object")
    if any(len(key) > MAX_KEY or not key.isprintable() for key in found):
        raise _Wrong(f"a key is longer than {MAX_KEY} characters or cannot be shown")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS:
        raise _Wrong("a number is too large")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise _Wrong("a number is too large")
    return value


def _constant(_: str) -> NoReturn:
    raise _Wrong("it holds NaN or Infinity, which are not JSON")
