# SPDX-License-Identifier: Apache-2.0
"""Diagrams and tables in the documents are those that the program follows."""

import re
from pathlib import Path

import pytest

from protocol.lifecycle.drawing import mermaid, table
from protocol.lifecycle.handover import HANDOVER
from protocol.lifecycle.machine import Machine
from protocol.lifecycle.referral import REFERRAL

DOCUMENT = Path(__file__).parents[3] / "docs" / "lifecycles.md"


@pytest.mark.parametrize("machine", [REFERRAL, HANDOVER], ids=lambda machine: machine.name)
def test_the_document_shows_the_table_and_the_diagram_as_they_are(machine: Machine) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"```mermaid\n{mermaid(machine)}```\n" in text
    assert table(machine) in text


@pytest.mark.parametrize("machine", [REFERRAL, HANDOVER], ids=lambda machine: machine.name)
def test_a_diagram_names_every_state_and_every_event_that_moves(machine: Machine) -> None:
    drawn = mermaid(machine)
    names = set(re.findall(r"^    (\w+)", drawn, re.MULTILINE)) | set(re.findall(r"--> (\w+)", drawn))
    assert {re.sub(r"\W", "_", state) for state in machine.states} <= names
    for one in machine.transitions():
        assert one.target == "same" or f"{one.event} (" in drawn
