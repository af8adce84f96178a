# SPDX-License-Identifier: Apache-2.0
"""Writes the committed copies of both OpenAPI documents anew: `python -m tests.openapi`.

They are in the repository so that a change of the interface shows in review; a test fails when they differ.
"""

import json
from pathlib import Path

from protocol.http.connector import CONNECTOR_OPERATIONS
from protocol.http.documents import API_VERSION, CONNECTOR_TITLE, HUB_TITLE
from protocol.http.hub import HUB_OPERATIONS
from protocol.http.openapi import openapi

FOLDER = Path(__file__).parent.parent / "docs" / "openapi"


def copies() -> dict[str, str]:
    """Return the text of each copy by its file name."""
    documents = {
        "hub.json": openapi(HUB_OPERATIONS, title=HUB_TITLE, version=API_VERSION),
        "connector.json": openapi(CONNECTOR_OPERATIONS, title=CONNECTOR_TITLE, version=API_VERSION),
    }
    return {name: json.dumps(document, indent=1, ensure_ascii=False) + "\n" for name, document in documents.items()}


def main() -> None:
    """Write the copies."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in copies().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
