# SPDX-License-Identifier: Apache-2.0
"""The two operations by which every server describes itself, and their handlers."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from protocol.http import reference
from protocol.http.call import Answer, Call, Handler
from protocol.http.openapi import openapi
from protocol.http.operation import Auth, Media, Method, Operation
from protocol.http.strictjson import render

HUB_TITLE = "Throughcare hub"
CONNECTOR_TITLE = "Throughcare connector"
API_VERSION = "1"
"""The interface's version, which is also in every path; the program has another one."""

GET_OPENAPI = Operation(
    id="getOpenapi",
    method=Method.GET,
    path="/v1/openapi.json",
    summary="Get this interface as an OpenAPI 3.1 document.",
    auth=Auth.NONE,
    response=Media.OPENAPI,
)
GET_DOCS = Operation(
    id="getDocs",
    method=Method.GET,
    path="/v1/docs",
    summary="Read this interface as a page for people.",
    auth=Auth.NONE,
    response=Media.HTML,
)


def document_handlers(
    operations: Sequence[Operation], *, title: str, version: str = API_VERSION
) -> dict[str, Handler[Any]]:
    """Return the handlers of `getOpenapi` and `getDocs` for a server with these operations.

    Both documents are made once, when somebody first asks: a server's start does not wait for them.
    """

    @cache
    def document() -> bytes:
        return render(openapi(operations, title=title, version=version))

    @cache
    def page() -> bytes:
        return reference.page(operations, title=title, version=version).encode()

    async def get_openapi(_: Call[Any]) -> Answer:
        return Answer(document())

    async def get_docs(_: Call[Any]) -> Answer:
        return Answer(page(), headers={"Content-Security-Policy": reference.POLICY})

    return {GET_OPENAPI.id: get_openapi, GET_DOCS.id: get_docs}
