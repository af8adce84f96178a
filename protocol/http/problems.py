# SPDX-License-Identifier: Apache-2.0
"""Errors as problem documents of RFC 9457, in both directions (HTTP-3).

A problem document says what happened, whether another try may help, and which request it was. It never repeats
input: a pointer names only fields that the operation's own model knows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic import Field as ModelField

from protocol.errors import (
    CODES,
    ClockSkewed,
    DirectoryStale,
    FhirContradiction,
    InvalidInput,
    MalformedRequest,
    NotAuthenticated,
    OurError,
    ThroughcareError,
    TooManyRequests,
    Unavailable,
    UnexpectedAnswer,
)
from protocol.fieldcodes import FIELD_CODES
from protocol.http.fields import Time, format_time
from protocol.http.strictjson import Json, parse

PROBLEM = "application/problem+json"
PROBLEM_LIMIT = 64 * 1024
"""Bytes of a problem document that a caller reads."""
MAX_FIELD_ERRORS = 50
LONGEST_WAIT_S = 3_600
"""Seconds that a caller waits at most, whatever it is told: a wrong word of a proxy must not stop the mail for days."""
RETRY_AFTER_S = 5
"""What a server advises when the error itself does not know better."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that is wrong: a JSON pointer (RFC 6901), empty for the whole body, and a stable code."""

    pointer: str
    code: str


class InvalidFields(InvalidInput):
    """Invalid input, with the fields; shares the code of its base."""

    def __init__(self, fields: Iterable[FieldError], detail: str | None = None) -> None:
        super().__init__(detail)
        self.fields = tuple(fields)


class Contradictions(FhirContradiction):
    """A bundle that contradicts itself, with each place and the reason as its code; shares the code of its base."""

    def __init__(self, fields: Iterable[FieldError], detail: str | None = None) -> None:
        super().__init__(detail)
        self.fields = tuple(fields)[:MAX_FIELD_ERRORS]


# Stable codes for what pydantic calls by names of its own. A kind that is not here is just `invalid`.
_CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown-field",
    "wrong_form": "wrong-form",
    "string_pattern_mismatch": "wrong-form",
    "string_too_long": "too-long",
    "too_long": "too-long",
    "string_too_short": "too-short",
    "too_short": "too-short",
    "enum": "not-allowed",
    "literal_error": "not-allowed",
    "union_tag_invalid": "not-allowed",
    "union_tag_not_found": "missing",
    "greater_than": "out-of-range",
    "greater_than_equal": "out-of-range",
    "less_than": "out-of-range",
    "less_than_equal": "out-of-range",
    "int_parsing": "wrong-type",
    "json_invalid": "wrong-form",
}


def _code(kind: str) -> str:
    if kind in FIELD_CODES:
        return kind
    return _CODES.get(kind) or ("wrong-type" if kind.endswith("_type") else "invalid")


def invalid_fields(error: ValidationError, model: type[BaseModel], value: Json, *, at: str = "") -> InvalidFields:
    """Return pydantic's findings about `value` as an error that echoes nothing (HTTP-3).

    A pointer follows the value that came, but only over names that `model` declares: an unknown name is input. `at` is
    where in the whole body the value stands. A list is not called too short for an item in it that is wrong.
    """
    known = _names(model)
    items = error.errors(include_url=False, include_context=False, include_input=False)
    within = {item["loc"][:place] for item in items for place in range(len(item["loc"]))}
    found = dict.fromkeys(
        FieldError(at + _pointer(item["loc"], value, known, missing=item["type"] == "missing"), _code(item["type"]))
        for item in items
        if item["type"] != "too_short" or item["loc"] not in within
    )
    return InvalidFields(list(found)[:MAX_FIELD_ERRORS])


@cache
def _names(model: type[BaseModel]) -> frozenset[str]:
    names = set[str]()
    waiting: list[Any] = [model.model_json_schema()]
    while waiting:
        match waiting.pop():
            case dict(node):
                properties = node.get("properties")
                if isinstance(properties, dict):
                    names.update(properties)
                waiting.extend(node.values())
            case list(nodes):
                waiting.extend(nodes)
            case _:
                pass
    return frozenset(names)


def _pointer(location: tuple[int | str, ...], value: Json, known: frozenset[str], *, missing: bool) -> str:
    parts: list[str] = []
    for place, step in enumerate(location):
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                break
            value = value[step]
        elif step not in known:
            # A name from outside, or the tag of a union, which is no place in the document.
            if isinstance(value, dict) and step in value:
                break
            continue
        elif isinstance(value, dict) and step in value:
            value = value[step]
        elif not (missing and place == len(location) - 1):
            continue
        parts.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in parts)


def problem(error: ThroughcareError, request_id: str, *, now: int) -> dict[str, Any]:
    """Return the problem document of `error`; `now` in ms UTC is told to callers whose clock may be wrong (HTTP-2)."""
    document: dict[str, Any] = {
        "type": f"/v1/docs#{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": f"urn:throughcare:request:{request_id}",
        "code": error.code,
        "request_id": request_id,
        "retryable": error.retryable,
    }
    if isinstance(error, NotAuthenticated | ClockSkewed):
        document["server_time"] = format_time(now)
    if isinstance(error, InvalidFields | Contradictions):
        document["errors"] = [{"pointer": field.pointer, "code": field.code} for field in error.fields]
    return document


def problem_headers(error: ThroughcareError) -> dict[str, str]:
    """Return the headers that go with a problem: when to try again, and which share was used up (HTTP-14)."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    elif error.retryable and error.status in (429, 503, 507):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, TooManyRequests) and error.policy:
        headers["RateLimit-Policy"] = f'"{error.policy}";q={error.quota};w=60'
        headers["RateLimit"] = f'"{error.policy}";r=0;t={error.retry_after or RETRY_AFTER_S}'
    return headers


class _FieldModel(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    pointer: str = ModelField(max_length=1_000)
    code: str = ModelField(max_length=100)


class ProblemDocument(BaseModel):
    """A problem document as a caller reads it; what a proxy or a newer server adds is ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)

    type: str = ModelField(default="about:blank", max_length=500)
    title: str = ModelField(default="", max_length=200)
    status: int = 0
    detail: str = ModelField(default="", max_length=2_000)
    instance: str = ModelField(default="", max_length=500)
    code: str = ModelField(default="", max_length=100)
    request_id: str = ModelField(default="", max_length=100)
    retryable: bool = False
    server_time: Time | None = None
    errors: list[_FieldModel] = ModelField(default_factory=list, max_length=1_000)


@dataclass(frozen=True, slots=True)
class Answered:
    """Why a call failed at the other side: the error to raise, and what its problem document told besides."""

    error: ThroughcareError
    request_id: str = ""
    server_time: int | None = None


def from_problem(status: int, body: bytes, headers: Mapping[str, str]) -> Answered:
    """Return the error that an answer of `status` stands for, by the `code` in its problem document.

    Without a code that this version knows, the status decides: 408, 429 and 5xx are `Unavailable`, which may be
    tried again; anything else is an `UnexpectedAnswer`. The text is kept to what the class itself says, unless
    the document comes from our own kind of server.
    """
    try:
        parse(body)
        document = ProblemDocument.model_validate_json(body)
    except (MalformedRequest, ValidationError):
        document = ProblemDocument()
    error = _error(status, document)
    wait = headers.get("Retry-After", "")
    if wait.isascii() and wait.isdigit() and len(wait) <= 6:
        error.retry_after = min(int(wait), LONGEST_WAIT_S)
    return Answered(error, document.request_id, document.server_time)


def _error(status: int, document: ProblemDocument) -> ThroughcareError:
    kind = CODES.get(document.code)
    if kind is InvalidInput or kind is FhirContradiction:
        placed = InvalidFields if kind is InvalidInput else Contradictions
        return placed((FieldError(item.pointer, item.code) for item in document.errors), document.detail)
    if kind is None or kind.status != status:
        if status in (408, 429) or status >= 500:
            return Unavailable("The server cannot answer now.")
        return UnexpectedAnswer()
    try:
        return kind(document.detail)
    except TypeError:
        # CannotOpen says one thing only, whatever it is given (ENV-20).
        return kind()


def is_permanent(error: ThroughcareError) -> bool:
    """Return whether the same request would fail again for ever (CON-2)."""
    return not (error.retryable or isinstance(error, OurError | DirectoryStale))
