# SPDX-License-Identifier: Apache-2.0
"""Every value has one spelling in JSON."""

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.errors import InvalidInput
from protocol.http.fields import (
    Base64UrlBytes,
    Bytes32,
    CodeIdText,
    DeskText,
    KeyIdText,
    QueryModel,
    RequestModel,
    Time,
    base64url,
    decode_base64url,
    encode_base64url,
    format_time,
    parse_time,
)


class Everything(RequestModel):
    data: Base64UrlBytes
    key: Bytes32
    short: Annotated[bytes, base64url(minimum=2, maximum=3)]
    at: Time
    code: CodeIdText
    device: KeyIdText
    desk: DeskText


GOOD = {
    "data": "",
    "key": "A" * 43,
    "short": "AAA",
    "at": "2026-11-23T08:09:10.123Z",
    "code": "cod_" + "a" * 26,
    "device": "0f" * 32,
    "desk": "intake.reka-probation@hub.example",
}


def text_of(**changes: object) -> str:
    import json

    return json.dumps(GOOD | changes)


@given(st.binary(max_size=70))
def test_bytes_are_base64url_without_padding_and_come_back(data: bytes) -> None:
    text = encode_base64url(data)
    assert "=" not in text
    assert decode_base64url(text) == data


@pytest.mark.parametrize("text", ["A", "AA==", "AB", "+/", "A A", "AAA\n", "AAAAA", "é", "AAB"])
def test_another_spelling_of_bytes_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        decode_base64url(text)


@given(st.integers(min_value=0, max_value=253_402_300_799_999))
def test_times_come_back(moment: int) -> None:
    assert parse_time(format_time(moment)) == moment


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T08:09:10Z",
        "2026-11-23T08:09:10.123+00:00",
        "2026-11-23t08:09:10.123z",
        "2026-02-30T08:09:10.123Z",
        "2026-11-23T24:00:00.000Z",
        "2026-11-23T08:09:10.123456Z",
        "٢٠٢٦-11-23T08:09:10.123Z",
        "2026-11-23T08:09:10.123Z\n",
        "",
    ],
)
def test_another_spelling_of_a_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_time(text)


def test_fields_are_bytes_and_numbers_inside_and_text_in_json() -> None:
    model = Everything.model_validate_json(text_of())
    assert (model.key, model.short, model.code, model.device) == (b"\0" * 32, b"\0\0", b"\0" * 16, b"\x0f" * 32)
    assert model.at == parse_time(GOOD["at"])
    assert Everything.model_validate_json(model.model_dump_json()) == model
    assert Everything(**model.model_dump()) == model


@pytest.mark.parametrize(
    "changes",
    [
        {"at": 1},
        {"at": None},
        {"key": "AAAA"},
        {"short": "A" * 6},
        {"code": "env_" + "a" * 26},
        {"code": "cod_" + "a" * 25 + "b"},
        {"device": "0F" * 32},
        {"desk": "intake@hub.example"},
        {"desk": 7},
        {"more": 1},
    ],
)
def test_a_field_of_another_form_is_refused_without_repeating_it(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        Everything.model_validate_json(text_of(**changes))
    assert all(str(value) not in str(caught.value) for value in changes.values() if len(str(value)) > 4)


def test_python_values_are_checked_too() -> None:
    good = Everything.model_validate_json(text_of()).model_dump()
    for wrong in ({"key": b"short"}, {"at": True}, {"at": "yesterday"}, {"code": 5}, {"desk": "Not an address"}):
        with pytest.raises(ValidationError):
            Everything(**(good | wrong))


def test_query_parameters_are_text_that_is_read() -> None:
    class Query(QueryModel):
        at: Time
        count: int

    assert Query.model_validate({"at": GOOD["at"], "count": "7"}) == Query(at=parse_time(GOOD["at"]), count=7)
