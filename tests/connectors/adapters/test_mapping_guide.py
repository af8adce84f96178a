# SPDX-License-Identifier: Apache-2.0
"""docs/mapping.md is true: its example is run, and its tables name what exists."""

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.adapters import load_mapping, read_export, transform
from connectors.adapters.mappingfile import FieldEntry, SectionEntry
from connectors.adapters.traced import compile_expression
from protocol.clearance import DeskFunction
from protocol.handover import sections_for

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "mapping.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- example: ([\w.]+) -->\n```\w*\n(.*?)```", GUIDE, re.DOTALL))


def test_the_guides_example_maps_and_reports_what_the_guide_says(tmp_path: Path) -> None:
    export = tmp_path / "export"
    export.mkdir()
    for name, text in EXAMPLES.items():
        if name.endswith(".json"):
            (export / name).write_text(text, encoding="utf-8")
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(EXAMPLES["mapping"], encoding="utf-8")
    mapped = transform(load_mapping(mapping), read_export(export), now_ms=0, zone=ZoneInfo("Europe/Belgrade"))
    assert [f"{n.path}: {n.reason}" for n in mapped.not_understood] == EXAMPLES["report"].splitlines()
    assert [i.reason for i in mapped.ignored] == ["scores are never sent"]
    assert sections_for(mapped.package, DeskFunction.PROBATION_INTAKE).included == (0, 2)
    assert sections_for(mapped.package, DeskFunction.SOCIAL_WORK).included == (0, 1, 2)


@pytest.mark.parametrize(
    "expression", re.findall(r"^\| [a-z].*? \| `([^`]+)`", GUIDE.split("## Fields")[0], re.MULTILINE)
)
def test_the_guides_expressions_are_expressions(expression: str) -> None:
    compile_expression(expression.replace("\\|", "|"))


@pytest.mark.parametrize(("heading", "entry"), [("Fields", FieldEntry), ("Sections", SectionEntry)])
def test_the_guide_names_every_key(heading: str, entry: type[FieldEntry] | type[SectionEntry]) -> None:
    part = GUIDE.split(f"## {heading}\n")[1].split("\n## ")[0]
    keys = {info.alias or name for name, info in entry.model_fields.items()} - {"fields", "list"}
    assert keys <= set(re.findall(r"`(\w+)(?: = true)?`", part))
