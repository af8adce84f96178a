# SPDX-License-Identifier: Apache-2.0
"""docs/protocol.md is enough to build the other side from: every label and every structure stands in it."""

from pathlib import Path

import pytest

from protocol import labels

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")

LABELS = {name: value for name, value in vars(labels).items() if isinstance(value, bytes)}
STRUCTURES = [
    "Envelope  =",
    "common    =",
    "row_i     =",
    "box_i     =",
    "section 0    =",
    "claims       =",
    "actor        =",
    "section j>=1 =",
    "slice        =",
    "statement =",
    "body      =",
    "code         =",
    "terms        =",
    "registration =",
    "key request  =",
    "new key      =",
    "frame        =",
    "item         =",
    "batch        =",
    "page         =",
]


@pytest.mark.parametrize("name", [name for name in LABELS if name != "BLOB"])
def test_every_label_stands_in_the_text(name: str) -> None:
    """The label of attachments comes with their transfer."""
    assert LABELS[name].decode().replace("\0", "\\0") in TEXT


def test_no_label_is_the_beginning_of_another() -> None:
    values = list(LABELS.values())
    assert len(set(values)) == len(values)
    assert [a for a in values for b in values if a != b and b.startswith(a)] == []


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_has_its_table(structure: str) -> None:
    assert TEXT.count(structure) == 1


def test_every_kind_of_statement_has_its_row() -> None:
    for number, kind in enumerate(("root", "authority", "agency", "device", "delegation", "prekey", "revocation"), 1):
        assert f"\n{number} {kind} " in TEXT
