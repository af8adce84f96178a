# SPDX-License-Identifier: Apache-2.0
"""The invented person's export, with fresh phrases planted in it to be looked for afterwards."""

import secrets
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from keys.words import fingerprint_words

_PLACES = {
    "medical": ("health.json", "has an appointment with a counsellor (DEMO)"),
    "needs": ("needs.json", "Has a room at the sister's for three months"),
    "offence": ("sentence.json", "Nothing of this happened"),
    "risk": ("risk.json", "Old contacts may ask for old favours"),
}
"""By category: in which file, and after which words, a phrase is planted."""


@dataclass(frozen=True, slots=True)
class PlantedExport:
    """A copy of the export in `folder`; `phrases` are what was planted, by the category it stands in."""

    folder: Path
    phrases: dict[str, str]


def mapping_file() -> Path:
    """Return the path of the demo's mapping."""
    return Path(str(resources.files("connectors.demo"))) / "mapping.toml"


def plant(target: Path) -> PlantedExport:
    """Copy the export to `target` and put a phrase of random words where one is to be planted."""
    target.mkdir(parents=True)
    phrases: dict[str, str] = {}
    for file in sorted((Path(str(resources.files("connectors.demo"))) / "export").glob("*.json")):
        text = file.read_text(encoding="utf-8")
        for category, (name, words) in _PLACES.items():
            if file.name == name:
                phrases[category] = "-".join(fingerprint_words(secrets.token_bytes(16))[:4])
                text = text.replace(words, f"{words}: {phrases[category]}")
        (target / file.name).write_text(text, encoding="utf-8")
    return PlantedExport(target, phrases)
