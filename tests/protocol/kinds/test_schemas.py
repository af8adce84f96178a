# SPDX-License-Identifier: Apache-2.0
"""What was published stays as it was, and is what the program checks against."""

import json

import pytest
from jsonschema import Draft202012Validator

from protocol.errors import NotFound
from protocol.kinds.schemas import find, published
from tests.protocol.kinds.test_catalogue import REQUEST
from tests.schemas import FOLDER, texts


def test_kind_4_every_schema_is_published_and_none_differs_from_what_was() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == texts()


@pytest.mark.parametrize(("name", "version"), published())
def test_kind_4_a_schema_is_valid_and_names_itself(name: str, version: int) -> None:
    schema = find(name, version)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(f"/{name}/{version}.json")


def test_kind_4_a_good_request_passes_its_schema_and_a_strange_field_does_not() -> None:
    validator = Draft202012Validator(find("referral.request", 1))
    assert validator.is_valid(json.loads(json.dumps(REQUEST)))
    assert not validator.is_valid({**REQUEST, "surplus": 1})


def test_a_schema_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        find("referral.request", 9)
