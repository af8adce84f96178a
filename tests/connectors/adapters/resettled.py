# SPDX-License-Identifier: Apache-2.0
"""Runs the shipped mapping for tests, and tells who sees what of the result."""

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.adapters import Export, Mapped, Mapping, find_mapping, load_mapping, read_export, transform
from protocol.clearance import DeskFunction
from protocol.content import encode_payload
from protocol.errors import ThroughcareError
from protocol.handover import sections_for

NOW = 1_795_680_000_000
ZONE = ZoneInfo("Europe/Belgrade")
SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "samples" / "resettlement"
PEOPLE = ["A8731DY", "G4161UF"]

real_input = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="real input is not tested: ../shared/samples/resettlement is not beside the project"
)


@cache
def shipped() -> Mapping:
    return load_mapping(find_mapping("resettlement"))


def run(content: dict[str, Any]) -> Mapped:
    return transform(shipped(), Export(document=content, stems=frozenset(content)), now_ms=NOW, zone=ZONE)


def outcome(content: dict[str, Any]) -> Mapped | str:
    """Return what comes of an export: the package, or the text of a named error."""
    try:
        return run(content)
    except ThroughcareError as error:
        return str(error)


def sample(person: str) -> dict[str, Any]:
    return read_export(SAMPLES / person).document


def seen_by(mapped: Mapped, function: DeskFunction) -> str:
    included, _ = sections_for(mapped.package, function)
    return "\n".join(encode_payload(mapped.package.sections[i].body).decode() for i in included)


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for child in value.values():
            yield from _words(child)
    elif isinstance(value, list):
        for child in value:
            yield from _words(child)
    elif value is not None:
        for word in re.split(r"[\s,]+", unicodedata.normalize("NFC", str(value))):
            yield word
            # A date goes out in ISO form, whichever way it came, and without its time.
            if found := re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", word):
                yield f"{found[3]}-{found[2]}-{found[1]}"
            yield word.partition("T")[0]
            yield re.sub(r"\.$", "", word)
            yield re.sub("[\x00\ud800]", "\ufffd", word)


def assert_nothing_invented(content: dict[str, Any], mapped: Mapped) -> None:
    known = {word.casefold() for word in _words(content)}
    known |= set(re.findall(r"[\w-]+", find_mapping("resettlement").read_text(encoding="utf-8").casefold()))
    for section in mapped.package.sections:
        for word in _words(json.loads(encode_payload(section.body))):
            assert word.casefold() in known, section.category
