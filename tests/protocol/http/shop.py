# SPDX-License-Identifier: Apache-2.0
"""A small invented server with one operation of each form, for the tests of serving and calling.

Also a program, `python -m tests.protocol.http.shop`: it prints its port and serves until it is told to stop.
"""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from aiohttp import ClientResponse, WSMsgType, web
from pydantic import Field

from protocol.errors import CODES, Conflict, NotAuthenticated, NotFound, Unavailable
from protocol.http.call import Answer, Call
from protocol.http.documents import GET_DOCS, GET_OPENAPI, document_handlers
from protocol.http.fields import CodeIdText, QueryModel, RequestModel, ResponseModel
from protocol.http.operation import Auth, Example, Media, Method, Operation, Scope, registry
from protocol.http.running import Runner, listen
from protocol.http.serving import Exchange, ReadBody, Serving, bind_all

NOW = 1_795_421_350_123
TOKEN = "open-sesame"
MUCH = 24 << 20
"""Bytes of an answer that no buffer of the system takes whole."""
CANARY = "zolotoi-petushok"
OWNER = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "0123456789abcdef"}
CODE = "cod_" + "a" * 26


class Thing(RequestModel):
    name: Annotated[str, Field(max_length=20)]
    count: Annotated[int, Field(ge=0)] = 1


class Things(ResponseModel):
    names: list[str]
    caller: str = ""


class Choice(QueryModel):
    limit: Annotated[int, Field(ge=1, le=10)] = 5


class CodePath(QueryModel):
    code_id: CodeIdText


GET_THINGS = Operation(
    id="getThings",
    method=Method.GET,
    path="/v1/things",
    summary="Get.",
    auth=Auth.NONE,
    query=Choice,
    response=Things,
    example=Example(response={"names": []}),
)
MAKE_THING = Operation(
    id="makeThing",
    method=Method.POST,
    path="/v1/things",
    summary="Make.",
    auth=Auth.TOKEN,
    scope=Scope.SEND,
    request=Thing,
    response=Things,
    status=201,
    idempotency_key=True,
    errors=(Conflict,),
)
GET_CODE = Operation(
    id="getCode",
    method=Method.GET,
    path="/v1/codes/{code_id}",
    summary="Get.",
    auth=Auth.NONE,
    parameters=CodePath,
    response=Things,
    errors=(NotFound,),
)
SEND_BYTES = Operation(
    id="sendBytes",
    method=Method.POST,
    path="/v1/bytes",
    summary="Send.",
    auth=Auth.NONE,
    request=Media.CBOR,
    response=Media.CBOR,
    key_if_wanted=True,
    limit=64 * 1024,
)
DELETE_ALL = Operation(
    id="deleteAll",
    method=Method.POST,
    path="/v1/deletions",
    summary="Delete.",
    auth=Auth.TOKEN,
    scope=Scope.ADMIN,
    status=204,
)
FAIL = Operation(
    id="fail", method=Method.GET, path="/v1/failure/{code_id}", summary="Fail.", auth=Auth.NONE, parameters=CodePath
)
CONNECT = Operation(
    id="connect", method=Method.GET, path="/v1/connect", summary="Open.", auth=Auth.NONE, status=101, socket=True
)
GET_MUCH = Operation(
    id="getMuch", method=Method.GET, path="/v1/much", summary="Get much.", auth=Auth.NONE, response=Media.CBOR
)
OPERATIONS = registry(
    [GET_MUCH, GET_THINGS, MAKE_THING, GET_CODE, SEND_BYTES, DELETE_ALL, FAIL, CONNECT, GET_OPENAPI, GET_DOCS]
)


class Shop:
    """The handlers, and what they were asked."""

    def __init__(self) -> None:
        self.names = ["tea", "salt"]
        self.exchanges: list[Exchange] = []
        self.keys: list[str] = []
        self.failure: Exception = Unavailable()

    async def authenticate(self, request: web.Request, operation: Operation, body: ReadBody) -> str:
        if request.headers["Authorization"] != f"Bearer {TOKEN}":
            raise NotAuthenticated
        return "the owner"

    async def get_things(self, call: Call[str]) -> Answer:
        return Answer(Things(names=self.names[: call.query(Choice).limit], caller=call.traceparent))

    async def get_much(self, call: Call[str]) -> Answer:
        return Answer(bytes(MUCH))

    async def make_thing(self, call: Call[str]) -> Answer:
        thing = call.body(Thing)
        if thing.name in self.names:
            raise Conflict
        self.names += [thing.name] * thing.count
        self.keys.append(call.idempotency_key)
        return Answer(Things(names=self.names, caller=call.caller), headers={"Idempotent-Replayed": "false"})

    async def get_code(self, call: Call[str]) -> Answer:
        return Answer(Things(names=[call.path(CodePath).code_id.hex()]))

    async def send_bytes(self, call: Call[str]) -> Answer:
        self.keys.append(call.idempotency_key)
        return Answer(call.raw[::-1])

    async def delete_all(self, call: Call[str]) -> Answer:
        self.names.clear()
        return Answer()

    async def fail(self, call: Call[str]) -> Answer:
        raise self.failure

    async def connect(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                raise ValueError("a secret of the handler")
            await socket.send_bytes(message.data)
        return socket

    def application(self, serving: Serving | None = None) -> web.Application:
        """Return the shop as an application."""
        app = web.Application()
        handlers = {
            "getThings": self.get_things,
            "getMuch": self.get_much,
            "makeThing": self.make_thing,
            "getCode": self.get_code,
            "sendBytes": self.send_bytes,
            "deleteAll": self.delete_all,
            "fail": self.fail,
            **document_handlers(OPERATIONS, title="A shop"),
        }
        serving = serving or Serving(clock=lambda: NOW, observe=self.exchanges.append)
        bind_all(app, OPERATIONS, handlers, self.authenticate, serving, sockets={"connect": self.connect})
        return app

    @asynccontextmanager
    async def running(self, serving: Serving | None = None, *, per_address: int | None = None) -> AsyncIterator[str]:
        """Serve on a free port, and give the base URL."""
        runner = Runner(
            self.application(serving), clock=lambda: NOW, observe=self.exchanges.append, per_address=per_address
        )
        port = await listen(runner, "127.0.0.1", 0)
        try:
            yield f"http://localhost:{port}"
        finally:
            await runner.cleanup()


async def problem_of(response: ClientResponse, code: str) -> dict[str, Any]:
    """Check that a response is the problem `code`, with all that belongs to every problem (HTTP-3)."""
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = await response.json(content_type=None)
    kind = CODES[code]
    assert document["code"] == code
    assert response.status == document["status"] == kind.status
    assert document["retryable"] == kind.retryable
    assert document["request_id"] == response.headers["X-Request-Id"]
    assert re.fullmatch("req_[a-z2-7]{16}", document["request_id"])
    assert document["type"] == f"/v1/docs#{code}"
    check_headers(response)
    text = await response.text()
    assert CANARY not in text
    assert "Traceback" not in text
    return document


def check_headers(response: ClientResponse) -> None:
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Request-Id" in response.headers
    assert response.headers["Server"] == "throughcare"


async def main() -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # One of the requests that are meant to harm is refused only when the rest of its body has not come in time.
    async with Shop().running(Serving(clock=lambda: NOW, body_s=2)) as base:
        print(base.rpartition(":")[2], flush=True)  # noqa: T201 - the test that starts this reads the port
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
