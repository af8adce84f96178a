# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas of all kinds and bodies, each under its name and version (KIND-4).

Each field says what it holds: `x-category`, `x-retention`, `x-access`. A schema that was published never changes;
another version gets another number.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from protocol.bodies import FORMS
from protocol.errors import NotFound
from protocol.kinds.catalogue import KINDS

BASE = "https://throughcare.example/schemas"
"""Where the ids of schemas live; nothing has to answer there."""
BODY_VERSION = 1


def schema_of(name: str, version: int, model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of `model` with its stable id (JSON Schema 2020-12)."""
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"{BASE}/{name}/{version}.json",
        **model.model_json_schema(),
    }


@cache
def published() -> Mapping[tuple[str, int], dict[str, Any]]:
    """Return every schema by name and version; a body's name is `body.` and its kind."""
    kinds = {(kind.name, kind.version): schema_of(kind.name, kind.version, kind.payload) for kind in KINDS.values()}
    bodies = {
        (f"body.{name}", BODY_VERSION): schema_of(f"body.{name}", BODY_VERSION, form) for name, form in FORMS.items()
    }
    return {**kinds, **bodies}


def find(name: str, version: int) -> dict[str, Any]:
    """Return one schema, or raise `NotFound`."""
    try:
        return published()[name, version]
    except KeyError:
        raise NotFound("There is no schema of that name and version.") from None
