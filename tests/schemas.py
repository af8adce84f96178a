# SPDX-License-Identifier: Apache-2.0
"""Writes the published JSON Schemas of every kind and every body: `python -m tests.schemas`.

A schema that was published never changes (KIND-4): this adds what is new, and a test refuses what differs. While the
project is before 1.0 a change is made by deleting the file on purpose.
"""

import json
from pathlib import Path

from protocol.kinds.schemas import published

FOLDER = Path(__file__).parent.parent / "docs" / "schemas"


def texts() -> dict[str, str]:
    """Return the text of each schema by its file name."""
    return {
        f"{name}.{version}.json": json.dumps(schema, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
        for (name, version), schema in published().items()
    }


def main() -> None:
    """Write those that are not there yet."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
