# SPDX-License-Identifier: Apache-2.0
"""Problem documents carry an error from one side to the other, and no input with it (HTTP-3)."""

import json
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from protocol.errors import (
    CODES,
    CannotOpen,
    ClockSkewed,
    Conflict,
    DirectoryStale,
    InvalidInput,
    MalformedRequest,
    NotAuthenticated,
    NotFound,
    ThroughcareError,
    Unavailable,
    UnexpectedAnswer,
)
from protocol.fieldcodes import FIELD_CODES, RULES
from protocol.http import problems
from protocol.http.fields import RequestModel, format_time
from protocol.http.problems import (
    FieldError,
    InvalidFields,
    from_problem,
    invalid_fields,
    is_permanent,
    problem,
    problem_headers,
)
from protocol.http.strictjson import parse, render

NOW = 1_795_421_350_123
CANARY = "zolotoi-petushok"


class Dog(RequestModel):
    kind: Literal["dog"]
    name: str


class Cat(RequestModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(le=9)]


class Home(RequestModel):
    street: str
    animals: list[Annotated[Dog | Cat, Field(discriminator="kind")]]
    notes: dict[str, int] = Field(default_factory=dict)
    rooms: list[Literal["hall", "attic"]] = Field(default=["hall"], min_length=1)


def findings(body: object) -> set[tuple[str, str]]:
    data = json.dumps(body).encode()
    try:
        Home.model_validate_json(data)
    except ValidationError as error:
        return {(field.pointer, field.code) for field in invalid_fields(error, Home, parse(data)).fields}
    return set()


@pytest.mark.parametrize("error", [kind() for kind in CODES.values() if kind.__module__.startswith("protocol.errors.")])
def test_http_3_every_error_travels_as_a_problem_document(error: ThroughcareError) -> None:
    document = problem(error, "req_" + "a" * 16, now=NOW)
    assert document["code"] == error.code
    assert (document["status"], document["retryable"]) == (error.status, error.retryable)
    answered = from_problem(error.status, render(document), problem_headers(error))
    assert isinstance(answered.error, type(error))
    assert answered.error.detail == error.detail
    assert answered.request_id == document["request_id"]


def test_http_2_the_server_tells_its_time_to_those_whose_clock_may_be_wrong() -> None:
    for error in (NotAuthenticated(), ClockSkewed()):
        document = problem(error, "req_a", now=NOW)
        assert document["server_time"] == format_time(NOW)
        assert from_problem(error.status, render(document), {}).server_time == NOW
    assert "server_time" not in problem(NotFound(), "req_a", now=NOW)


def test_http_3_field_errors_point_at_fields() -> None:
    animals = [{"kind": "dog", "name": 5}, {"kind": "cat", "lives": 10}, {"kind": "cow"}, {"kind": "dog"}]
    assert findings({"animals": animals}) == {
        ("/street", "missing"),
        ("/animals/0/name", "wrong-type"),
        ("/animals/1/lives", "out-of-range"),
        ("/animals/2", "not-allowed"),
        ("/animals/3/name", "missing"),
    }
    assert findings({"street": "x", "animals": [], "notes": {"street": "x"}}) == {("/notes/street", "wrong-type")}


def test_http_3_every_code_of_a_field_is_explained() -> None:
    assert {*problems._CODES.values(), "wrong-type", "invalid", *RULES} == set(FIELD_CODES)


def test_http_3_a_list_is_too_short_only_where_nothing_in_it_is_wrong() -> None:
    house = {"street": "x", "animals": []}
    assert findings({**house, "rooms": []}) == {("/rooms", "too-short")}
    assert findings({**house, "rooms": [CANARY]}) == {("/rooms/0", "not-allowed")}
    assert findings({**house, "rooms": [CANARY, "hall"]}) == {("/rooms/0", "not-allowed")}


def test_http_3_field_errors_never_repeat_names_or_values_from_outside() -> None:
    bodies: list[object] = [
        {"street": 1, "animals": [], CANARY: CANARY},
        {"street": "x", "animals": [{"kind": CANARY}]},
        {"street": "x", "animals": [{"kind": "dog", "name": "x", CANARY: 1}]},
        {"street": "x", "animals": [], "notes": {CANARY: CANARY}},
        {"street": [CANARY], "animals": CANARY},
        CANARY,
        [CANARY],
    ]
    for body in bodies:
        found = findings(body)
        assert found
        assert CANARY not in str(found)
    assert findings(bodies[2]) == {("/animals/0", "unknown-field")}
    assert findings(bodies[3]) == {("/notes", "wrong-type")}


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["street", "animals", "kind", "name", "~/"]), inner)
        ),
        max_leaves=8,
    )
)
def test_http_3_any_json_gives_findings_or_a_model(body: object) -> None:
    data = json.dumps(body).encode()
    try:
        parse(data)
        Home.model_validate_json(data)
    except MalformedRequest:
        return
    except ValidationError:
        assert findings(body)
    else:
        assert not findings(body)


def test_http_3_field_errors_come_back_at_the_other_side() -> None:
    error = InvalidFields([FieldError("/a~1b", "missing"), FieldError("", "unknown-field")])
    answered = from_problem(422, render(problem(error, "req_a", now=NOW)), {}).error
    assert isinstance(answered, InvalidFields)
    assert answered.fields == error.fields
    assert answered.code == InvalidInput.code


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, Unavailable) for status in (408, 429, 500, 502, 503)),
        *((status, UnexpectedAnswer) for status in (400, 404, 418)),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"[]",
        b'{"code":5}',
        b'{"code":"' + CANARY.encode() + b'"}',
        b"\xff",
        b"[" * 9999,
    ],
)
def test_an_answer_without_a_code_that_we_know_is_judged_by_its_status(
    status: int, kind: type[ThroughcareError], body: bytes
) -> None:
    error = from_problem(status, body, {}).error
    assert type(error) is kind
    assert CANARY not in str(error)


def test_a_code_that_does_not_fit_its_status_is_not_believed() -> None:
    body = render(problem(Conflict(), "req_a", now=NOW))
    assert type(from_problem(500, body, {}).error) is Unavailable
    assert type(from_problem(404, body, {}).error) is UnexpectedAnswer


def test_env_20_a_failure_to_open_says_one_thing_only_after_travelling_too() -> None:
    document = problem(CannotOpen(), "req_a", now=NOW) | {"detail": "the padding was wrong"}
    error = from_problem(422, render(document), {}).error
    assert (type(error), error.detail) == (CannotOpen, CannotOpen.default)


def test_how_long_to_wait_travels_along() -> None:
    error = Unavailable()
    assert problem_headers(error) == {"Retry-After": "5"}
    error.retry_after = 30
    assert problem_headers(error) == {"Retry-After": "30"}
    body = render(problem(error, "req_a", now=NOW))
    assert from_problem(503, body, {"Retry-After": "30"}).error.retry_after == 30
    assert from_problem(503, body, {"Retry-After": "999999"}).error.retry_after == 3_600
    for wrong in ("soon", "-1", "9" * 50, "٣", ""):
        assert from_problem(503, body, {"Retry-After": wrong}).error.retry_after is None
    assert problem_headers(NotFound()) == {}


def test_con_2_permanent_and_passing_errors_are_told_apart() -> None:
    assert not any(map(is_permanent, (Unavailable(), DirectoryStale(), ClockSkewed())))
    assert all(map(is_permanent, (NotFound(), Conflict(), CannotOpen(), UnexpectedAnswer(), NotAuthenticated())))
