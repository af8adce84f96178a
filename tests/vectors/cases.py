# SPDX-License-Identifier: Apache-2.0
"""How a case is written down: values as JSON, bad bytes as edits of good ones, random parts taken over."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

from protocol import cbor
from protocol.errors import ThroughcareError

Json: TypeAlias = Any
Document: TypeAlias = dict[str, Json]

FOLDER = Path(__file__).parent
Edit: TypeAlias = tuple[int, int, str]


def plain(value: object) -> Json:
    """Return `value` as JSON: bytes as hex, dataclasses and maps as objects, enums by their values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, int | str):
        return value
    if dataclasses.is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value) if one.init}
    raise TypeError(f"no vector can hold a {type(value).__name__}")


def edits(base: bytes, target: bytes) -> list[Edit]:
    """Return the edits that make `target` of `base`: runs of other bytes, or one stretch if the sizes differ."""
    if len(base) == len(target):
        differing = [place for place, (old, new) in enumerate(zip(base, target, strict=True)) if old != new]
        runs: list[list[int]] = []
        for place in differing:
            if runs and place - runs[-1][1] <= 8:
                runs[-1][1] = place
            else:
                runs.append([place, place])
        return [(start, end + 1 - start, target[start : end + 1].hex()) for start, end in runs]
    least = min(len(base), len(target))
    start = next((place for place in range(least) if base[place] != target[place]), least)
    end = next((back for back in range(least - start) if base[-1 - back] != target[-1 - back]), least - start)
    return [(start, len(base) - end - start, target[start : len(target) - end].hex())]


def apply_edits(base: bytes, changes: Iterable[Sequence[Any]]) -> bytes:
    """Return what `edits` described."""
    result = bytearray()
    position = 0
    for offset, count, replacement in changes:
        result += base[position:offset] + bytes.fromhex(replacement)
        position = offset + count
    return bytes(result + base[position:])


def good(name: str, data: bytes, value: object) -> Json:
    """Return a good case."""
    return {"name": name, "bytes": data.hex(), "value": plain(value)}


def bad(name: str, error: str, base: tuple[str, bytes], target: bytes) -> Json:
    """Return a bad case that differs from the good one `base` (its name and bytes)."""
    changes = edits(base[1], target)
    if apply_edits(base[1], changes) != target:
        raise AssertionError(name)
    return {"name": name, "base": base[0], "edits": changes, "error": error}


def error_of(action: Callable[[], object]) -> str:
    """Return the code of the error that `action` raises, or `none`."""
    try:
        action()
    except ThroughcareError as error:
        return error.code
    return "none"


def spoilt_maps(
    base: tuple[str, bytes], read: Callable[[bytes], object], *, codes: Mapping[int, str] | None = None
) -> list[Json]:
    """Return the bad cases that every map has: a key missing, one too many, each field of another type."""
    fields = cbor.decode(base[1], limit=1 << 20)
    assert isinstance(fields, dict)
    targets: list[tuple[str, bytes, str]] = [
        ("trailing byte", base[1] + b"\0", "malformed-envelope"),
        ("cut short", base[1][:-1], "malformed-envelope"),
        ("unknown key", cbor.encode({**fields, 23: None}), "malformed-envelope"),
    ]
    for key in fields:
        code = (codes or {}).get(key, "malformed-envelope")
        without = cbor.encode({other: value for other, value in fields.items() if other != key})
        targets.append((f"without key {key}", without, code))
        wrong: cbor.Value = b"" if isinstance(fields[key], bool) else True
        targets.append((f"key {key} of another type", cbor.encode({**fields, key: wrong}), code))
    return [checked(name, code, base, target, read) for name, target, code in targets]


def spoilt_lists(base: tuple[str, bytes], read: Callable[[bytes], object]) -> list[Json]:
    """Return the bad cases that every list of fixed length has."""
    items = cbor.decode(base[1], limit=1 << 20)
    assert isinstance(items, list)
    targets: list[tuple[str, bytes]] = [
        ("trailing byte", base[1] + b"\0"),
        ("cut short", base[1][:-1]),
        ("an item too many", cbor.encode([*items, None])),
        ("an item too few", cbor.encode(items[:-1])),
    ]
    for place in range(len(items)):
        targets.append((f"item {place} of another type", cbor.encode([*items[:place], True, *items[place + 1 :]])))
    return [checked(name, "malformed-envelope", base, target, read) for name, target in targets]


def checked(name: str, code: str, base: tuple[str, bytes], target: bytes, read: Callable[[bytes], object]) -> Json:
    """Return a bad case, after making sure that reading it gives just this code."""
    found = error_of(lambda: read(target))
    if found != code:
        raise AssertionError(f"{base[0]}, {name}: expected {code}, found {found}")
    return bad(name, code, base, target)


def document(structure: str, about: str, rules: str, **cases: Json) -> Document:
    """Return a file's content; `rules` are ids separated by blanks."""
    return {"structure": structure, "about": about, "rules": rules.split(), **cases}


class Recording:
    """The random bytes of earlier runs: what the existing files hold under a structure and a name."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._known: dict[tuple[str, str], bytes] = {}
        for path in sorted(folder.glob("*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            for case in content.get("good", []):
                if "bytes" in case:
                    self._known[content["structure"], case["name"]] = bytes.fromhex(case["bytes"])

    def keep(self, structure: str, name: str, make: Callable[[], bytes], same: Callable[[bytes], bool]) -> bytes:
        """Return the recorded bytes if there are some and `same` says that they still fit, else new ones."""
        known = self._known.get((structure, name))
        if known is not None and self._fits(known, same):
            return known
        made = make()
        if not self._fits(made, same):
            raise AssertionError(f"{structure} {name}: what was made is not what was meant")
        return made

    @staticmethod
    def _fits(data: bytes, same: Callable[[bytes], bool]) -> bool:
        """Ask `same`; bytes that cannot even be read any more do not fit."""
        try:
            return same(data)
        except ThroughcareError:
            return False


def write(content: Document) -> str:
    """Return a document as the text of its file."""
    return json.dumps(content, indent=1, ensure_ascii=True) + "\n"
