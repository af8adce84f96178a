# SPDX-License-Identifier: Apache-2.0
"""Makes the response of an answer, and sends a large one piece by piece, so that nobody can make it be held."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

from aiohttp import web
from pydantic import BaseModel

from protocol.http.call import Answer
from protocol.http.operation import Operation

ANSWER_PIECE = 64 * 1024
"""Bytes of an answer that are handed over at once, and so held for a caller that does not take them."""


def response_to(
    request: web.Request, operation: Operation, answer: Answer
) -> tuple[web.StreamResponse, AsyncIterator[bytes] | None]:
    """Return the response, and its body in pieces where it is too large to be handed over at once."""
    body, media = answer.body, operation.response
    headers = dict(answer.headers)
    if isinstance(media, type):
        if not isinstance(body, media):
            raise TypeError("the handler's answer is not of its operation's response model")
        headers.update(_places(operation, body, request))
        content, kind = body.model_dump_json().encode(), "application/json"
    elif media is None:
        if body is not None:
            raise TypeError("the handler answers with a body that its operation does not name")
        return web.Response(status=operation.status, headers=headers), None
    elif isinstance(body, AsyncIterator):
        return _streamed(operation, headers, media.value, answer.length), body
    elif isinstance(body, bytes):
        content, kind = body, media.value
    else:
        raise TypeError("the handler's answer is not bytes")
    if len(content) > ANSWER_PIECE:
        return _streamed(operation, headers, kind, len(content)), _in_pieces(content)
    return web.Response(status=operation.status, body=content, content_type=kind, headers=headers), None


def _places(operation: Operation, body: BaseModel, request: web.Request) -> Iterator[tuple[str, str]]:
    """Yield where to find what was made, and the page that follows this one."""
    if operation.created:
        yield "Location", operation.created.format_map(body.model_dump(mode="json"))
    if operation.following:
        # The one value, and not all of a page that may have some MiB.
        name, parameter = operation.following
        following = body.model_dump(mode="json", include={name})[name]
        if following is not None:
            yield "Link", f'<{request.rel_url.update_query({parameter: str(following)})}>; rel="next"'


def _streamed(operation: Operation, headers: Mapping[str, str], kind: str, length: int) -> web.StreamResponse:
    response = web.StreamResponse(status=operation.status, headers=headers)
    response.content_type = kind
    response.content_length = length
    return response


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), ANSWER_PIECE):
        yield content[start : start + ANSWER_PIECE]


async def send(
    request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[bytes], piece_s: float
) -> None:
    """Send an answer piece by piece; who takes none of it within `piece_s` seconds is cut off (HTTP-16)."""
    await response.prepare(request)
    try:
        async for piece in pieces:
            async with asyncio.timeout(piece_s):
                await response.write(piece)
        async with asyncio.timeout(piece_s):
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            # Closing would wait for what was sent to be taken, for ever.
            request.transport.abort()
        raise ConnectionResetError from None
