# SPDX-License-Identifier: Apache-2.0
"""What a file for `--input` looks like, told from the kind of message that it says: so no help falls behind a field."""

import json
from collections.abc import Callable, Sequence
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from protocol.kinds.base import MOST_INSTANT, MessageKind

FILLED_IN: Final = frozenset({"kind", "version", "subject", "occurred_at"})
"""Fields that the connector fills in by itself."""
SECTION: Final = {
    "category": "needs",
    "purpose": "housing",
    "basis": "statute",
    "citation": "…",
    "functions": ["social-work"],
    "body": {"kind": "narrative", "entries": [{"text": "…"}]},
}
"""How words are written: a section with the category, the purpose, the ground in law, and whose desks may see it."""
_MOMENT: Final = "2027-01-05T10:00+01:00"
_WORD: Final = "…"


def example(kind: MessageKind, wanted: Callable[[str], bool] = lambda _: True, *, words: bool = False) -> str:
    """Return how the `wanted` fields of a kind are written, needed ones first, one on each line; "" for none.

    Where one of several codes can stand, all are shown with a stroke between. With `words` a section stands below.
    """
    fields = {name: info for name, info in kind.payload.model_fields.items() if name not in FILLED_IN and wanted(name)}
    if not fields:
        return ""
    ordered = sorted(fields, key=lambda name: not fields[name].is_required())
    times = moments(kind)
    samples = {name: _MOMENT if name in times else _sample(fields[name].annotation) for name in ordered}
    rows = [f"{json.dumps(name)}: {json.dumps(samples[name], ensure_ascii=False)}" for name in ordered]
    needed = sum(fields[name].is_required() for name in ordered)
    told = {0: "None is needed.", 1: "The first is needed."}.get(needed, f"The first {needed} are needed.")
    lines = [f"    {row}{',' if row is not rows[-1] else ''}" for row in rows]
    end = ['  }, "sections": [', *(f"    {line}" for line in section()), "  ]}"] if words else ["  }}"]
    what = "fields and words" if words else "fields"
    return "\n".join(["\b", f"How {what} stand in the file for --input. {told}", '  {"fields": {', *lines, *end])


def moments(kind: MessageKind) -> frozenset[str]:
    """Return the fields of a kind that are moments, in ms UTC; a file may write them with their zone, as people do."""
    fields = kind.payload.model_fields.items()
    return frozenset(name for name, info in fields if _is_moment(info.annotation, info.metadata))


def _is_moment(annotation: Any, limits: Sequence[Any]) -> bool:
    if get_origin(annotation) is Annotated:
        annotation, *limits = get_args(annotation)
        limits = [one for each in limits for one in (each.metadata if isinstance(each, FieldInfo) else [each])]
    if isinstance(annotation, type):
        return annotation is int and any(getattr(one, "le", None) == MOST_INSTANT for one in limits)
    return any(_is_moment(one, limits) for one in get_args(annotation))


def section() -> list[str]:
    """Return the lines of a section with words, as it stands in a file."""
    parts = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in SECTION.items()]
    return ["{" + ", ".join(parts[:4]) + ",", " " + ", ".join(parts[4:]) + "}"]


def _sample(annotation: Any) -> Any:
    if isinstance(annotation, type):
        return _of_type(annotation)
    origin, parts = get_origin(annotation), [one for one in get_args(annotation) if one is not type(None)]
    if origin in (tuple, list):
        return [_sample(parts[0])]
    if origin is dict:
        return {_WORD: _sample(parts[1])}
    base = getattr(annotation, "__origin__", None)  # an annotated type stands for what it annotates
    return _sample(base if hasattr(annotation, "__metadata__") else parts[0]) if parts or base else _WORD


def _of_type(kind: type) -> Any:
    if issubclass(kind, BaseModel):
        return {name: _sample(info.annotation) for name, info in kind.model_fields.items()}
    if issubclass(kind, StrEnum):
        return "|".join(one.value for one in kind)
    if issubclass(kind, bool):
        return True
    if issubclass(kind, int):
        return 1
    return date(2027, 1, 5).isoformat() if issubclass(kind, date) else _WORD
