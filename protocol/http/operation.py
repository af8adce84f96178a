# SPDX-License-Identifier: Apache-2.0
"""What an HTTP operation is, as data: routing, checking, calling and documenting all read the same record."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from protocol.errors import (
    Forbidden,
    IdempotencyKeyMissing,
    InternalError,
    InvalidInput,
    MalformedRequest,
    MethodNotAllowed,
    MisdirectedRequest,
    NotAuthenticated,
    PreconditionFailed,
    PreconditionRequired,
    StoreDamaged,
    ThroughcareError,
    TooLarge,
    TooManyRequests,
    Unavailable,
    UnsupportedMediaType,
)

JSON_LIMIT = 64 * 1024
"""Bytes of a JSON body unless the operation says otherwise: the largest key request fits, in base64url."""


class Auth(StrEnum):
    """How the caller of an operation shows who it is."""

    NONE = "none"
    """Nobody in particular; what the body says carries its own signatures, if it needs any."""
    DEVICE = "device"
    """A device's request signature (HTTP-1)."""
    TOKEN = "token"  # noqa: S105 - the name of a kind of proof, not a secret
    """The bearer token of a connector's local interface (CON-6)."""


HOW_TO_CALL: Final = (
    "Send `Authorization: Bearer TOKEN`, with a token of this connector that counts: that in data_dir/api-token, "
    "or one that `throughcare token make` made."
)
"""What a caller of a local interface is told who sends no token, or none that counts (CON-6)."""


class Scope(StrEnum):
    """What the bearer token of a caller has to be good for (CON-14)."""

    WATCH = "watch"
    """See how the connector is, its numbers, and the directory's desks: nothing about any person."""
    READ = "read"
    """See cases, threads, messages, and what happened."""
    SEND = "send"
    """Begin something: a handover, a referral, a message."""
    MOVE = "move"
    """Make steps of what has begun."""
    ADMIN = "admin"
    """Look after the connector: tokens, webhooks, what was refused."""


class Media(StrEnum):
    """A body that is not JSON of a model."""

    CBOR = "application/cbor"
    BYTES = "application/octet-stream"
    HTML = "text/html"
    OPENAPI = "application/json"
    """The OpenAPI document: JSON, but of a form that others define."""
    FHIR = "application/fhir+json"
    """Likewise a resource of FHIR."""
    METRICS = "text/plain"
    """Prometheus' exposition format."""


class Method(StrEnum):
    """The HTTP methods in use."""

    GET = "GET"
    POST = "POST"


Body: TypeAlias = type[BaseModel] | Media | None


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One good call: JSON values for JSON bodies, a sentence for others."""

    request: Any = None
    response: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """One HTTP operation of a server.

    `id` is camelCase and unique. `path` starts with `/v1`; the names in braces are described by `parameters`.
    `request` and `response` say what the bodies are. `errors` are those beyond what any operation may answer.
    `scope` is what a bearer token needs to be good for; every operation with `Auth.TOKEN` has one, and no other does.
    At most `limit` bytes of a request body are read, and at most `answer_limit` of an answer, which a caller
    awaits for `timeout_s` seconds. `created` is where to find what the operation made, with fields of the answer in
    braces (`Location`); `following` names the answer's field that holds the place of the next page, and the query
    parameter that takes it (`Link`, rel="next"). `idempotency_key` makes the caller name what it asks for, and
    `key_if_wanted` lets it. `if_match` makes the caller say which state it saw. `socket` marks a websocket. A
    `streamed` body, in either direction, is never held whole: its media type is `Media.BYTES`.
    """

    id: str
    method: Method
    path: str
    summary: str
    description: str = ""
    auth: Auth
    scope: Scope | None = None
    request: Body = None
    response: Body = None
    query: type[BaseModel] | None = None
    parameters: type[BaseModel] | None = None
    status: int = 200
    errors: tuple[type[ThroughcareError], ...] = ()
    idempotency_key: bool = False
    key_if_wanted: bool = False
    if_match: bool = False
    limit: int = JSON_LIMIT
    answer_limit: int = 4 << 20
    timeout_s: int = 30
    created: str = ""
    following: tuple[str, str] | None = None
    socket: bool = False
    streamed: bool = False
    example: Example = field(default_factory=Example)

    @property
    def all_errors(self) -> tuple[type[ThroughcareError], ...]:
        """Return every error that this operation may answer, without repetition, by status."""
        found: set[type[ThroughcareError]] = {
            MalformedRequest,
            MethodNotAllowed,
            MisdirectedRequest,
            InternalError,
            Unavailable,
            *self.errors,
        }
        if self.auth is not Auth.NONE:
            found |= {NotAuthenticated, Forbidden}
        # Only a connector keeps what the disk can damage row by row; a hub stops.
        found.add(StoreDamaged if self.auth is Auth.TOKEN else TooManyRequests)
        if self.request is not None:
            found |= {TooLarge, UnsupportedMediaType}
        if isinstance(self.request, type) or self.query is not None:
            found.add(InvalidInput)
        if self.idempotency_key or self.key_if_wanted:
            found.add(IdempotencyKeyMissing)
        if self.if_match:
            found |= {PreconditionFailed, PreconditionRequired}
        return tuple(sorted(found, key=lambda error: (error.status, error.code)))

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the path's parameters."""
        return frozenset(re.findall(r"\{([a-z_]+)\}", self.path))

    def url_path(self, values: Mapping[str, str]) -> str:
        """Return the path with its parameters filled in; they are of a form that needs no escaping."""
        return self.path.format_map(values)


def registry(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """Return the operations of one server in their order; `TypeError` if two share an id or a route."""
    listed = tuple(operations)
    ids, routes = set[str](), set[tuple[Method, str]]()
    for operation in listed:
        route = (operation.method, re.sub(r"\{[a-z_]+\}", "{}", operation.path))
        if operation.id in ids or route in routes:
            raise TypeError(f"operation {operation.id} is there twice")
        expected = operation.parameters.model_fields.keys() if operation.parameters else set[str]()
        if operation.names != set(expected):
            raise TypeError(f"operation {operation.id} does not describe its path parameters")
        if (operation.auth is Auth.TOKEN) is (operation.scope is None):
            raise TypeError(f"operation {operation.id} takes a token and names no scope, or the other way round")
        ids.add(operation.id)
        routes.add(route)
    return listed
