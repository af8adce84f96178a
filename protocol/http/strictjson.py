# SPDX-License-Identifier: Apache-2.0
"""JSON with one reading: what two parsers would understand differently is refused before any model sees it.

Refused: bytes that are not UTF-8, a byte order mark, duplicate keys, NaN and infinities, integers beyond 64 bits,
deep nesting, lone surrogates, control characters and marks that reverse the direction of writing.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn, TypeAlias

from protocol.errors import MalformedRequest

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

MAX_DEPTH = 32
MAX_INTEGER = 2**63 - 1
MAX_CONTAINERS = 20_000
"""Lists and objects in one body; the largest handover has a few thousand."""

_INTEGER_DIGITS = 20
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def parse(data: bytes) -> Json:
    """Return the value that `data` spells; `MalformedRequest` for anything that is not strict JSON.

    The caller has bounded the length of `data`.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("The body is not UTF-8.") from None
    _check_depth(data)
    try:
        value: Json = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except (ValueError, RecursionError):
        raise MalformedRequest("The body is not JSON.") from None
    # Only an escape or one of the characters themselves can bring them in, and most bodies have neither.
    if "\\u" in text or _FORBIDDEN.search(text):
        for string in _strings(value):
            if _FORBIDDEN.search(string):
                raise MalformedRequest("A text in the body holds a character that is not allowed.")
    return value


def render(value: Json) -> bytes:
    """Return `value` as JSON in UTF-8, without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _check_depth(data: bytes) -> None:
    containers = data.count(b"[") + data.count(b"{")
    if containers <= MAX_DEPTH:
        return
    if containers > MAX_CONTAINERS:
        raise MalformedRequest("The body holds more lists and objects than any request has.")
    # Only brackets outside strings are left, of one kind; each round takes away the innermost level.
    brackets = _STRING.sub(b"", data).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise MalformedRequest("The body is nested too deeply, or is not JSON.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedRequest("A name stands twice in one object of the body.")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS or abs(value := int(digits)) > MAX_INTEGER:
        raise MalformedRequest("A number in the body is too large.")
    return value


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise MalformedRequest("A number in the body is too large.")
    return value


def _constant(_: str) -> NoReturn:
    raise MalformedRequest("The body holds something that is not a JSON number.")


def _strings(value: Json) -> Iterator[str]:
    waiting: list[Json] = [value]
    while waiting:
        match waiting.pop():
            case str(string):
                yield string
            case list(items):
                waiting.extend(items)
            case dict(fields):
                yield from fields
                waiting.extend(fields.values())
            case _:
                pass
