# SPDX-License-Identifier: Apache-2.0
"""Reads a request, whatever it may be: bounded in bytes and seconds, and with one meaning only."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from aiohttp import HttpVersion11, web
from pydantic import BaseModel, ValidationError

from protocol.errors import (
    Forbidden,
    IdempotencyKeyMissing,
    MalformedRequest,
    MisdirectedRequest,
    NotAuthenticated,
    NotFound,
    PreconditionRequired,
    TooLarge,
    UnsupportedMediaType,
)
from protocol.http import strictjson
from protocol.http.operation import HOW_TO_CALL, Auth, Media, Operation
from protocol.http.problems import FieldError, InvalidFields, invalid_fields
from protocol.http.strictjson import Json

MAX_QUERY_FIELDS: Final = 20
MOST_DIGITS: Final = 18
"""Digits of a Content-Length that fits into 64 bits for every reader."""
BYTES_PER_SECOND: Final = 16 * 1024
"""A body may take `first_s` and one second more for each of these; slower senders are cut off."""

_PROOF = {
    Auth.DEVICE: ("Signature-Input", "The request carries no signature."),
    Auth.TOKEN: ("Authorization", HOW_TO_CALL),
}
_HOST = re.compile(r"(\[[0-9a-f:]{2,45}\]|[a-z0-9.-]{1,253})(?::\d{1,5})?")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_VERSION = re.compile(r'"([0-9]{1,15})"')
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{16,255}")
_PLAIN_TARGET = re.compile(r"/[\x21-\x7e]*")


def check_target(request: web.Request) -> None:
    """Refuse a target that is not an absolute path, and bytes in it or in headers that are not UTF-8."""
    if not _PLAIN_TARGET.fullmatch(request.raw_path):
        raise MalformedRequest("The request target is not a plain path.")
    try:
        path = unquote_to_bytes(request.raw_path).decode("utf-8")
        for _, value in request.raw_headers:
            value.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("The request target or a header is not UTF-8.") from None
    if _CONTROL.search(path):
        raise MalformedRequest("The request target holds control characters.")


def check_framing(request: web.Request) -> None:
    """Refuse what two readers could frame differently; aiohttp's two parsers themselves do not agree on all of it."""
    hosts, codings = request.headers.getall("Host", []), request.headers.getall("Transfer-Encoding", [])
    lengths = request.headers.getall("Content-Length", [])
    if len(hosts) != 1 or len(lengths) + len(codings) > 1:
        raise MalformedRequest("A header that frames the request misses or stands twice.")
    if lengths and len(lengths[0]) > MOST_DIGITS:
        raise MalformedRequest("The length of the body is no number of bytes.")
    if codings and (codings[0].lower() != "chunked" or request.version != HttpVersion11):
        raise MalformedRequest("The only transfer coding is chunked.")


def check_host(request: web.Request, hosts: frozenset[str]) -> None:
    """Refuse a request for another host than ours: a web page may have made its name point here (CON-6)."""
    values = request.headers.getall("Host", [])
    found = _HOST.fullmatch(values[0].lower()) if len(values) == 1 else None
    if found is None or found[1] not in hosts:
        raise MisdirectedRequest


def check_origin(request: web.Request) -> None:
    """Refuse a request that changes something and that a foreign web page has made."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    if request.method not in ("GET", "HEAD") and site not in ("same-origin", "none"):
        raise Forbidden("A web page of another site may not call this.")


def traceparent(request: web.Request) -> str:
    """Return the caller's trace context if it is well-formed, else nothing."""
    value = request.headers.get("traceparent", "")
    return value if _TRACEPARENT.fullmatch(value) else ""


def check_credentials(request: web.Request, operation: Operation) -> None:
    """Refuse a request that carries no proof at all before its body is read."""
    header, lacking = _PROOF.get(operation.auth, ("", ""))
    if header and header not in request.headers:
        raise NotAuthenticated(lacking)


def check_media(request: web.Request, operation: Operation) -> None:
    """Refuse a body of another media type than the operation's, and every content coding."""
    if "Content-Encoding" in request.headers:
        raise UnsupportedMediaType
    if operation.request is None:
        if request.body_exists:
            raise MalformedRequest("This operation takes no body.")
        return
    values = request.headers.getall("Content-Type", [])
    media, _, parameters = (values[0] if len(values) == 1 else "").partition(";")
    if media.strip().lower() != media_type(operation):
        raise UnsupportedMediaType(f"Send this operation's body with Content-Type: {media_type(operation)}.")
    if parameters and parameters.replace('"', "").strip().lower() != "charset=utf-8":
        raise UnsupportedMediaType


def media_type(operation: Operation) -> str:
    """Return the media type of the operation's request body."""
    return operation.request.value if isinstance(operation.request, Media) else "application/json"


def check_length(request: web.Request, operation: Operation) -> None:
    """Refuse a body that is announced as larger than the operation's limit, before anything of it is read."""
    if operation.request is not None and (request.content_length or 0) > operation.limit:
        raise TooLarge


async def read_body(request: web.Request, operation: Operation, first_s: float) -> bytes:
    """Return the body; `TooLarge` beyond the operation's limit, before more than one chunk over it is held."""
    if operation.request is None:
        return b""
    try:
        async with asyncio.timeout(first_s + operation.limit / BYTES_PER_SECOND):
            return b"".join([piece async for piece in stream_body(request, operation, first_s)])
    except TimeoutError:
        raise MalformedRequest("The body came too slowly.") from None


async def stream_body(request: web.Request, operation: Operation, piece_s: float) -> AsyncIterator[bytes]:
    """Yield the body in pieces, each within `piece_s` seconds; `TooLarge` at the first beyond the operation's limit."""
    limit, size = operation.limit, 0
    try:
        while True:
            async with asyncio.timeout(piece_s):
                piece = await request.content.readany()
            if not piece:
                return
            size += len(piece)
            if size > limit:
                raise TooLarge
            yield piece
    except TimeoutError:
        raise MalformedRequest("The body came too slowly.") from None
    except (web.RequestPayloadError, ConnectionError):
        raise MalformedRequest("The body did not come as announced.") from None


def read_json(body: bytes, operation: Operation) -> BaseModel | None:
    """Return the body as the operation's request model; None if it has none."""
    if not isinstance(operation.request, type):
        return None
    value = strictjson.parse(body)
    try:
        return operation.request.model_validate_json(body)
    except ValidationError as error:
        raise invalid_fields(error, operation.request, value) from None


def read_query(request: web.Request, operation: Operation) -> BaseModel | None:
    """Return the query as the operation's query model; None if it has none."""
    raw = request.raw_path.partition("?")[2]
    try:
        pairs = parse_qsl(
            raw, keep_blank_values=True, strict_parsing=bool(raw), errors="strict", max_num_fields=MAX_QUERY_FIELDS
        )
    except ValueError:
        raise MalformedRequest("The query is not well-formed.") from None
    values: dict[str, Json] = dict(pairs)
    if len(values) != len(pairs):
        raise MalformedRequest("A query parameter stands twice.")
    if operation.query is None:
        if values:
            raise InvalidFields([FieldError("", "unknown-field")])
        return None
    try:
        return operation.query.model_validate(values)
    except ValidationError as error:
        raise invalid_fields(error, operation.query, values) from None


def read_path(request: web.Request, operation: Operation) -> BaseModel | None:
    """Return the path parameters as the operation's model; an id that cannot be is one that is not there (HTTP-4)."""
    if operation.parameters is None:
        return None
    try:
        return operation.parameters.model_validate(dict(request.match_info))
    except ValidationError:
        raise NotFound from None


def read_idempotency_key(request: web.Request, operation: Operation) -> str:
    """Return the `Idempotency-Key`, or nothing where the operation wants none, or it may be left out and was."""
    values = request.headers.getall("Idempotency-Key", [])
    if not operation.idempotency_key and not (operation.key_if_wanted and values):
        return ""
    if len(values) != 1 or not _IDEMPOTENCY_KEY.fullmatch(values[0]):
        raise IdempotencyKeyMissing
    return values[0]


def read_if_match(request: web.Request, operation: Operation) -> int | None:
    """Return the version that `If-Match` names, None where the operation wants none.

    One strong ETag as this interface gives them (RFC 9110, section 13.1.1); `PreconditionRequired` without one.
    """
    if not operation.if_match:
        return None
    values = request.headers.getall("If-Match", [])
    found = _VERSION.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
        raise PreconditionRequired
    return int(found[1])
