# SPDX-License-Identifier: Apache-2.0
"""What a handler gets and gives: one checked call, one answer. A handler parses, makes one service call, answers."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from protocol.errors import NotAuthenticated
from protocol.http.operation import Operation

CallerT = TypeVar("CallerT")
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[CallerT]):
    """One request that has passed every check that its operation names.

    `raw` is the body as it came, or `stream` where the operation takes it in pieces. `traceparent` is
    the caller's trace context (W3C), empty if there is none; `version` the state that its `If-Match` names.
    """

    operation: Operation
    request_id: str
    traceparent: str = ""
    idempotency_key: str = ""
    version: int | None = None
    raw: bytes = field(default=b"", repr=False)
    stream: AsyncIterator[bytes] | None = field(default=None, repr=False)
    authenticated: CallerT | None = field(default=None, repr=False)
    body_model: BaseModel | None = field(default=None, repr=False)
    query_model: BaseModel | None = field(default=None, repr=False)
    path_model: BaseModel | None = field(default=None, repr=False)

    @property
    def pieces(self) -> AsyncIterator[bytes]:
        """Return the body of a streamed operation, piece by piece; it raises what is wrong with it as it is read."""
        if self.stream is None:
            raise TypeError("the operation's body is not streamed")
        return self.stream

    @property
    def caller(self) -> CallerT:
        """Return who calls, as `authenticate` found; never None for an operation that asks for it."""
        if self.authenticated is None:
            raise NotAuthenticated
        return self.authenticated

    def body(self, model: type[ModelT]) -> ModelT:
        """Return the JSON body, which is of the operation's request model."""
        return _typed(self.body_model, model)

    def query(self, model: type[ModelT]) -> ModelT:
        """Return the query parameters, which are of the operation's query model."""
        return _typed(self.query_model, model)

    def path(self, model: type[ModelT]) -> ModelT:
        """Return the path parameters, which are of the operation's parameter model."""
        return _typed(self.path_model, model)


def _typed(value: BaseModel | None, model: type[ModelT]) -> ModelT:
    if not isinstance(value, model):
        raise TypeError("the handler asks for another model than its operation names")
    return value


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers: a model, bytes of the operation's media type, the same in pieces, or nothing.

    The status is the operation's. Pieces come with their `length` in all; if making them fails, the connection is cut.
    """

    body: BaseModel | bytes | AsyncIterator[bytes] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int = 0


Handler: TypeAlias = Callable[[Call[CallerT]], Awaitable[Answer]]
