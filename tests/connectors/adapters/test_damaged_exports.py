# SPDX-License-Identifier: Apache-2.0
"""Damaged exports: a valid package or a named error, never anything else, and never a value in a message."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.adapters import read_export, transform
from protocol.clearance import DeskFunction
from protocol.errors import ExportUnreadable, PackageIncomplete
from protocol.handover import check_size, sections_for
from tests.connectors.adapters.invented import PRISONER, document
from tests.connectors.adapters.resettled import (
    NOW,
    PEOPLE,
    SAMPLES,
    ZONE,
    assert_nothing_invented,
    outcome,
    real_input,
    sample,
    seen_by,
    shipped,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        pairs: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    else:
        return [path]
    return [path, *(place for key, child in pairs for place in _places(child, (*path, key)))]


REPLACEMENTS: list[Any] = [
    None,
    "",
    "planted",
    "planted\x00\ud800",
    "planted" * 4_000,
    0,
    -1.5,
    10**30,
    True,
    [],
    {},
    ["planted", None, ["planted"]],
    {"planted": "planted"},
    [{"planted": ["planted"]}],
    "2026-02-30",
]


def mutated(content: dict[str, Any], edits: list[tuple[int, int]]) -> dict[str, Any]:
    """Return `content` with edits: a place (modulo their number) and what happens there."""
    content = copy.deepcopy(content)
    for where, how in edits:
        places = _places(content)[1:]
        if not places:
            break
        *parents, last = places[where % len(places)]
        target: Any = content
        for key in parents:
            target = target[key]
        match how % (len(REPLACEMENTS) + 3):
            case 0:
                del target[last]
            case 1 if isinstance(target, list):
                target.append(copy.deepcopy(target[last]))
            case 2 if isinstance(target, list):
                target.extend([copy.deepcopy(target[last])] * 30)
            case choice:
                target[last] = copy.deepcopy(REPLACEMENTS[choice % len(REPLACEMENTS)])
    return content


EDITS = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 100)), min_size=1, max_size=6)


def assert_package_or_named_error(content: dict[str, Any]) -> None:
    mapped = outcome(content)
    if isinstance(mapped, str):
        assert "planted" not in mapped
        return
    check_size(mapped.package)
    assert "planted" not in "".join(n.reason for n in mapped.not_understood)
    for function in DeskFunction:
        included, withheld = sections_for(mapped.package, function)
        assert len(included) + len(withheld) == len(mapped.package.sections)
    assert "SCOREBAND" not in seen_by(mapped, DeskFunction.PROBATION_INTAKE)
    assert_nothing_invented(content, mapped)


@given(EDITS)
def test_a_damaged_export_gives_a_valid_package_or_a_named_error(edits: list[tuple[int, int]]) -> None:
    assert_package_or_named_error(mutated(document(), edits))


@given(st.data())
def test_err_2_no_error_and_no_report_repeats_a_value_whatever_is_planted(data: st.DataObject) -> None:
    content = document()
    for place in _places(content):
        target: Any = content
        for key in place[:-1]:
            target = target[key]
        if place and isinstance(target[place[-1]], str) and data.draw(st.integers(0, 3)) == 0:
            target[place[-1]] = "planted"
    mapped = outcome(content)
    assert "planted" not in (mapped if isinstance(mapped, str) else f"{mapped!r} {mapped.package!r}")


@real_input
@pytest.mark.parametrize("person", PEOPLE)
@settings(max_examples=30)
@given(edits=EDITS)
def test_damaged_real_input_gives_a_valid_package_or_a_named_error(person: str, edits: list[tuple[int, int]]) -> None:
    assert_package_or_named_error(mutated(sample(person), edits))


@real_input
@pytest.mark.parametrize("damage", ["truncated", "utf-16", "latin-1", "list"])
def test_a_broken_file_among_real_ones_is_named_and_nothing_is_sent(damage: str, tmp_path: Path) -> None:
    folder = shutil.copytree(SAMPLES / "G4161UF", tmp_path / "export")
    file = folder / f"{PRISONER}.json"
    file.chmod(0o600)
    text = file.read_text(encoding="utf-8")
    match damage:
        case "truncated":
            file.write_text(text[: len(text) // 2], encoding="utf-8")
        case "list":
            file.write_text("[]", encoding="utf-8")
        case encoding:
            file.write_bytes(text.replace("TEST", "TÉST").encode(encoding))
    with pytest.raises((ExportUnreadable, PackageIncomplete)) as refusal:
        transform(shipped(), read_export(folder), now_ms=NOW, zone=ZONE)
    assert "Nothing was sent" in str(refusal.value)
    assert "USER18" not in str(refusal.value)
    assert damage == "list" or f"{PRISONER}.json" in str(refusal.value)
