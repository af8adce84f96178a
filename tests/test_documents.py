# SPDX-License-Identifier: Apache-2.0
"""What the pages point to is there, and docs/operations.md can be found one's way in: sections, tables, links."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from connectors.cli import failures
from tests.connectors.cli.test_tree import entries

ROOT = Path(__file__).parent.parent
OPERATIONS = ROOT / "docs" / "operations.md"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
POINTS = ["*.md", "*.py", "*.yml", "*.service", "*.toml", "*.json"]
"""Kinds of files whose texts may point to a section of docs/operations.md."""
FOLDERS = ["docs", "connectors", "hub", "keys", "protocol"]

_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NUMBERS = r"sections? ((?:\d+(?:, | and )?)+)"
# "docs/operations.md, section 6", "section 6 of [operations.md](…)", "([operations.md](operations.md), section 0)".
_AFTER = re.compile(rf"operations\.md[`)\]]*,? {_NUMBERS}")
_BEFORE = re.compile(rf"{_NUMBERS}(?: of)? \[?(?:docs/)?operations\.md")
_OWN = re.compile(rf"\b{_NUMBERS}")
_LONGEST_CELL = 700
"""Signs of a cell that still is read as a table's; what is longer is a procedure, and gets a list of its own."""


def headings(page: Path) -> list[str]:
    return re.findall(r"(?m)^#+ (.+)$", _FENCED.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """Return what follows # in a link to each heading, as it is shown on the web."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(page)}


def sections() -> list[int]:
    return [int(number) for number in re.findall(r"(?m)^## (\d+)\. ", OPERATIONS.read_text(encoding="utf-8"))]


def pointers() -> Iterator[tuple[str, int]]:
    """Yield each section of docs/operations.md that another file, or the page itself, points to."""
    files = {file for folder in FOLDERS for kind in POINTS for file in (ROOT / folder).rglob(kind)}
    for file in sorted({*files, ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "config.example.toml"}):
        text = " ".join(file.read_text(encoding="utf-8").split())
        forms = [_OWN] if file == OPERATIONS else [_AFTER, _BEFORE]
        for found in (found for form in forms for found in form.findall(text)):
            yield from ((str(file.relative_to(ROOT)), int(number)) for number in re.findall(r"\d+", found))


def tables(text: str) -> Iterator[list[list[str]]]:
    """Yield the rows of each table below its head, as cells."""
    for table in re.findall(r"(?m)(?:^\|.*\n)+", text):
        yield [[cell.strip() for cell in row.strip("|").split(" | ")] for row in table.splitlines()[2:]]


def test_the_sections_are_numbered_without_a_gap() -> None:
    assert sections() == list(range(9))


def test_every_section_that_is_pointed_to_is_there() -> None:
    found = list(pointers())
    assert [pointer for pointer in found if pointer[1] not in sections()] == []
    # What points there is found at all, in each of the forms.
    assert {file for file, _ in found} >= {
        "CHANGELOG.md",
        "docs/fhir.md",
        "docs/monitoring.md",
        "docs/operations.md",
        "docs/systemd/throughcare-hub.service",
        "hub/failures.py",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if place.startswith(("http:", "https:", "mailto:")):
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_what_one_sees_stands_in_the_order_of_the_alphabet_and_is_short() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    seen = [rows for rows in tables(text.partition("### Alerts of")[2].partition("## 7. ")[0]) if len(rows[0]) == 2]
    assert len(seen) == 4
    for rows in seen:
        names = [re.findall(r"[a-z][a-z-]+", row[0])[0] for row in rows]
        assert names == sorted(names) or names[-1] == "everything", names
        assert [row[0] for row in rows if len(row[1]) > _LONGEST_CELL] == []


def test_whoever_installs_finds_the_programs_and_the_passphrase_before_all_else() -> None:
    first = OPERATIONS.read_text(encoding="utf-8").partition("\n## 0. ")[2].partition("\n## 1. ")[0]
    for name in ("hub", "connector"):
        assert f" > /etc/throughcare/{name}-passphrase)\n" in first
    assert "--require-hashes -r requirements/runtime.txt\n" in first


def test_a_hubs_unit_is_enabled_after_the_fingerprint_is_set_and_all_is_checked() -> None:
    second = OPERATIONS.read_text(encoding="utf-8").partition("\n## 2. ")[2].partition("\n## 3. ")[0]
    systemd = second[second.index("**Under systemd**") :]
    order = ["throughcare-hub init --config", "`hub.root_fingerprint`", "throughcare-hub check", "systemctl enable"]
    assert [systemd.index(step) for step in order] == sorted(systemd.index(step) for step in order)
    first, then = (systemd.index(step) for step in (order[0], order[2]))
    assert "\n\n    " in systemd[first:then], "they are two blocks, so that nobody pastes both at once"


def test_the_page_names_every_command_that_finds_its_configuration_by_itself() -> None:
    text = " ".join(OPERATIONS.read_text(encoding="utf-8").split())
    listed = text.partition("need no running connector (")[2].partition("): they take the file")[0]
    named = set[str]()
    for group in listed.split("; "):
        first, *more = re.findall(r"`([^`]+)`", group)
        noun = f"{first.split()[0]} " if " " in first else ""
        named |= {first, *(f"{noun}{one}" for one in more)}
    finding = {name for name, entry in entries() if {"--config", "--agency"} <= _required_by_none(entry.load())}
    assert named == finding


def _required_by_none(command: click.Command) -> set[str]:
    return {name for one in command.params if not one.required for name in one.opts}


def test_the_page_names_every_exit_code_in_the_words_of_the_program() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \| (.+) \|$", OPERATIONS.read_text(encoding="utf-8"))
    told = re.findall(r"(?m)^\| (\d+) +\| ", failures.__doc__ or "")
    assert [code for code, _ in rows] == told == [*map(str, range(9)), "130"]
