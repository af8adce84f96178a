# SPDX-License-Identifier: Apache-2.0
"""The published JSON Schemas of kinds and bodies, for whoever writes a case system's side (KIND-4)."""

from typing import Annotated, Any

from pydantic import Field

from protocol.errors import NotFound
from protocol.http.call import Answer, Call
from protocol.http.fields import QueryModel, ResponseModel
from protocol.http.operation import Auth, Example, Media, Method, Operation
from protocol.http.strictjson import render
from protocol.kinds.catalogue import KINDS
from protocol.kinds.schemas import find, published


class SchemaPath(QueryModel):
    """Which schema."""

    name: Annotated[str, Field(max_length=64, pattern=r"^[a-z.-]+$")]
    version: Annotated[int, Field(ge=1, le=999)]


class SchemaItem(ResponseModel):
    """One schema; `kind` is false for the form of a section's body."""

    name: str
    version: int
    kind: bool
    event: str | None
    """Which step of a life cycle it is, for kinds that are one."""


class SchemaList(ResponseModel):
    """All schemas."""

    items: list[SchemaItem]


LIST_SCHEMAS = Operation(
    id="listSchemas",
    method=Method.GET,
    path="/v1/schemas",
    summary="List the kinds of messages and the bodies of sections, each with a JSON Schema.",
    auth=Auth.NONE,
    response=SchemaList,
    example=Example(
        response={"items": [{"name": "referral.accept", "version": 1, "kind": True, "event": "accept"}]},
    ),
)
GET_SCHEMA = Operation(
    id="getSchema",
    method=Method.GET,
    path="/v1/schemas/{name}/{version}.json",
    summary="Get one JSON Schema (2020-12). It never changes; another version has another number.",
    auth=Auth.NONE,
    parameters=SchemaPath,
    response=Media.OPENAPI,
    errors=(NotFound,),
    example=Example(path={"name": "referral.accept", "version": "1"}),
)


async def list_schemas(_: Call[Any]) -> Answer:
    """List all schemas."""
    items = []
    for name, version in published():
        kind = KINDS.get(name)
        items.append(SchemaItem(name=name, version=version, kind=kind is not None, event=kind.event if kind else None))
    return Answer(SchemaList(items=items))


async def get_schema(call: Call[Any]) -> Answer:
    """Give one schema."""
    path = call.path(SchemaPath)
    return Answer(render(find(path.name, path.version)))
