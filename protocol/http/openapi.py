# SPDX-License-Identifier: Apache-2.0
"""Makes an OpenAPI 3.1 document from operations, so that the document cannot say what the server does not do."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from protocol.errors import ThroughcareError
from protocol.http.operation import Auth, Media, Operation
from protocol.http.problems import PROBLEM, ProblemDocument

Schema = dict[str, Any]
Refs = dict[Any, Schema]
"""The reference to each model's schema."""
Mode = Literal["validation", "serialization"]

_REF = "#/components/schemas/{model}"

SECURITY: dict[Auth, Schema] = {
    Auth.DEVICE: {
        "type": "apiKey",
        "in": "header",
        "name": "Signature",
        "description": "RFC 9421 request signature of a device, label hub, tag throughcare-v1 (HTTP-1).",
    },
    Auth.TOKEN: {
        "type": "http",
        "scheme": "bearer",
        "description": "The token in the connector's token file, or one that was made with the scope that the "
        "operation names (CON-6, CON-14).",
    },
}


def openapi(operations: Sequence[Operation], *, title: str, version: str) -> Schema:
    """Return the OpenAPI 3.1 document of a server."""
    modes: list[tuple[type[BaseModel], Mode]] = [(ProblemDocument, "serialization")]
    for operation in operations:
        if isinstance(operation.request, type):
            modes.append((operation.request, "validation"))
        if isinstance(operation.response, type):
            modes.append((operation.response, "serialization"))
    names, definitions = models_json_schema(modes, ref_template=_REF)
    refs: Refs = {model: schema for (model, _), schema in names.items()}
    paths: dict[str, Schema] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.value.lower()] = _operation(operation, refs)
    used = {operation.auth for operation in operations} & SECURITY.keys()
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {auth.value: SECURITY[auth] for auth in sorted(used)},
        },
    }


def _operation(operation: Operation, refs: Refs) -> Schema:
    entry: Schema = {
        "operationId": operation.id,
        "summary": operation.summary,
        "security": _security(operation),
        "responses": {str(operation.status): _success(operation, refs), **_failures(operation.all_errors)},
    }
    if operation.description:
        entry["description"] = operation.description
    parameters = [*_parameters(operation)]
    if parameters:
        entry["parameters"] = parameters
    if operation.request is not None:
        content = _content(operation.request, operation.example.request, refs)
        entry["requestBody"] = {"required": True, "content": content}
    return entry


def _security(operation: Operation) -> list[Schema]:
    """Return what a caller must show; for a bearer token also the scope that it needs (CON-14)."""
    if operation.auth is Auth.NONE:
        return []
    return [{operation.auth.value: [operation.scope.value] if operation.scope else []}]


def _content(body: type[BaseModel] | Media, example: Any, refs: Refs) -> Schema:
    match body:
        case Media.CBOR:
            return {body.value: {"schema": {"description": example or "CBOR", "contentMediaType": body.value}}}
        case Media.BYTES:
            return {body.value: {"schema": {"description": example or "bytes"}}}
        case Media.HTML | Media.METRICS:
            return {body.value: {"schema": {"type": "string"}}}
        case Media.OPENAPI | Media.FHIR:
            return {body.value: {"schema": {"type": "object"}}}
        case _:
            media: Schema = {"schema": refs[body]}
            if example is not None:
                media["example"] = example
            return {"application/json": media}


def _success(operation: Operation, refs: Refs) -> Schema:
    response: Schema = {"description": "Switching to the websocket." if operation.socket else "Done."}
    if operation.response is not None:
        response["content"] = _content(operation.response, operation.example.response, refs)
    headers = {}
    if operation.created:
        headers["Location"] = {"description": "Where it is now.", "schema": {"type": "string"}}
    if operation.following:
        headers["Link"] = {
            "description": 'The next page, rel="next"; absent on the last.',
            "schema": {"type": "string"},
        }
    if headers:
        response["headers"] = headers
    return response


def _failures(errors: Iterable[type[ThroughcareError]]) -> dict[str, Schema]:
    by_status: dict[int, list[str]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error.code)
    return {
        str(status): {
            "description": "Refused: " + ", ".join(codes),
            "content": {
                PROBLEM: {
                    "schema": {
                        "$ref": _REF.format(model=ProblemDocument.__name__),
                        "properties": {"code": {"enum": codes}},
                    }
                }
            },
        }
        for status, codes in by_status.items()
    }


def parameters_of(model: type[BaseModel]) -> dict[str, tuple[Schema, bool]]:
    """Return the schema of each field of a query or path model, and whether it is required."""
    schema = model.model_json_schema()
    required = schema.get("required", [])
    definitions = schema.get("$defs", {})
    return {
        name: (_inlined(field, definitions), name in required) for name, field in schema.get("properties", {}).items()
    }


def _inlined(field: Any, definitions: dict[str, Any]) -> Any:
    match field:
        case {"$ref": str(reference)}:
            return definitions[reference.rpartition("/")[2]]
        case dict():
            return {key: _inlined(value, definitions) for key, value in field.items()}
        case list():
            return [_inlined(value, definitions) for value in field]
        case _:
            return field


def _parameters(operation: Operation) -> Iterable[Schema]:
    for place, model, examples in (
        ("path", operation.parameters, operation.example.path),
        ("query", operation.query, operation.example.query),
    ):
        for name, (schema, required) in parameters_of(model).items() if model else ():
            parameter: Schema = {"name": name, "in": place, "required": required, "schema": schema}
            if name in examples:
                number = schema.get("type") == "integer"
                parameter["example"] = int(examples[name]) if number else examples[name]
            yield parameter
    if operation.if_match:
        yield {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "description": "The ETag of the state that was seen.",
            "schema": {"type": "string", "pattern": '^"[0-9]{1,15}"$'},
        }
    if operation.idempotency_key or operation.key_if_wanted:
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": operation.idempotency_key,
            "description": "The same key with the same body has one effect, for seven days.",
            "schema": {"type": "string", "minLength": 16, "maxLength": 255, "pattern": "^[!-~]+$"},
        }
