# SPDX-License-Identifier: Apache-2.0
"""docs/fhir.md says what the tables say."""

import tomllib
from pathlib import Path

from connectors.fhir.contradictions import SENTENCES
from connectors.fhir.services import read_services
from connectors.fhir.vocabulary import BSER_STATUSES, PATHWAYS, PRIORITIES, PRIORITY_OF, SDOH, STATES
from tests.connectors.fhir.invented import SERVICES

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "fhir.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[tuple[str, ...]]:
    """Return the rows of the first table under a heading."""
    lines = GUIDE.partition(f"# {heading}\n")[2].partition("\n#")[0].splitlines()
    table = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    return table[2:]


def test_the_tables_of_the_guide_are_those_of_the_program() -> None:
    assert rows("Quarantine") == [(reason.value, sentence) for reason, sentence in SENTENCES.items()]
    assert rows("Priorities") == [(fhir, ours.value) for fhir, ours in PRIORITY_OF.items()]
    assert rows("BSeR's business statuses") == [(code, ", ".join(sorted(can))) for code, can in BSER_STATUSES.items()]
    assert rows("How a state is told") == [
        (state.value, told.task, told.request, told.bser or "–") for state, told in STATES.items()
    ]
    assert rows("How a priority is told") == [(ours.value, fhir) for ours, fhir in PRIORITIES.items()]
    known = [(code, pathway.value) for (system, code), pathway in PATHWAYS.items() if system == SDOH]
    assert rows("Pathways of SDOH Clinical Care") == known


def test_the_guides_table_of_services_can_be_read(tmp_path: Path) -> None:
    example = GUIDE.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "services.toml").write_text(example, encoding="utf-8")
    assert tomllib.loads(example)
    assert read_services(tmp_path / "services.toml").items() <= SERVICES.items()
