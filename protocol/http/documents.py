# SPDX-License-Identifier: Apache-2.0
"""The two operations by which every server describes itself."""

from protocol.http.operation import Auth, Media, Method, Operation

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
