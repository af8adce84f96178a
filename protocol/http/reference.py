# SPDX-License-Identifier: Apache-2.0
"""Renders a server's operations as a page for people: plain HTML, no script, nothing fetched from anywhere."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from pydantic import BaseModel

from protocol.errors import ThroughcareError
from protocol.fieldcodes import FIELD_CODES
from protocol.http.openapi import parameters_of
from protocol.http.operation import Auth, Media, Operation

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1rem; color: #1b1b1b;
  background: #fff; }
h2 { margin-top: 2.5rem; border-top: 1px solid #767676; padding-top: 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .95em; }
pre { background: #f3f3f3; padding: .75rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid #c8c8c8; padding: .3rem .6rem .3rem 0;
  overflow-wrap: anywhere; }
a { color: #0b4f9e; }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: its own style and nothing else."""

_AUTH = {
    Auth.NONE: "Needs no caller.",
    Auth.DEVICE: "Needs the request signature of a device.",
    Auth.TOKEN: "Needs a bearer token of this connector.",
}


def page(operations: Sequence[Operation], *, title: str, version: str) -> str:
    """Return the page of a server's interface."""
    errors = sorted({error for item in operations for error in item.all_errors}, key=lambda error: error.code)
    contents = "".join(
        f'<li><a href="#{escape(item.id)}"><code>{item.method.value} {escape(item.path)}</code></a> '
        f"{escape(item.summary)}</li>"
        for item in operations
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1><p>Version {escape(version)}. The same as a document for programs: "
        '<a href="openapi.json">openapi.json</a>.</p>'
        f'<nav aria-label="Operations"><ul>{contents}</ul></nav>'
        f"{''.join(map(_operation, operations))}{_errors(errors)}</main></body></html>\n"
    )


def _operation(operation: Operation) -> str:
    parts = [
        f'<section id="{escape(operation.id)}"><h2>{escape(operation.id)}</h2>',
        f"<p><code>{operation.method.value} {escape(operation.path)}</code></p>",
        f"<p>{escape(operation.summary)} {escape(operation.description)} {_caller(operation)}</p>",
    ]
    for heading, model in (("Path", operation.parameters), ("Query", operation.query)):
        if model is not None:
            parts.append(f"<h3>{heading}</h3>{_fields(model)}")
    if operation.if_match:
        parts.append("<p>Needs the header <code>If-Match</code> with the ETag that was seen.</p>")
    if operation.idempotency_key:
        parts.append("<p>Needs the header <code>Idempotency-Key</code>.</p>")
    if operation.key_if_wanted:
        parts.append("<p>Takes the header <code>Idempotency-Key</code>.</p>")
    parts.append(_body("Request", operation.request, operation.example.request))
    parts.append(_body(f"Answer {operation.status}", operation.response, operation.example.response))
    links = ", ".join(
        f'<a href="#{escape(error.code)}">{error.status} {escape(error.code)}</a>' for error in operation.all_errors
    )
    parts.append(f"<h3>Errors</h3><p>{links}</p></section>")
    return "".join(parts)


def _caller(operation: Operation) -> str:
    scope = f" Scope: <code>{operation.scope.value}</code>." if operation.scope else ""
    return _AUTH[operation.auth] + scope


def _body(heading: str, body: type[BaseModel] | Media | None, example: Any) -> str:
    if body is None:
        return "" if heading == "Request" else f"<h3>{heading}</h3><p>No body.</p>"
    if isinstance(body, Media):
        note = f": {escape(example)}" if isinstance(example, str) else ""
        return f"<h3>{heading}</h3><p><code>{escape(body.value)}</code>{note}</p>"
    shown = ""
    if example is not None:
        shown = f"<pre>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</pre>"
    return f"<h3>{heading}</h3><p>{escape(body.__doc__ or '')}</p>{_fields(body)}{shown}"


def _fields(model: type[BaseModel]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(schema))}</td>"
        f"<td>{'yes' if required else 'no'}</td></tr>"
        for name, (schema, required) in parameters_of(model).items()
    )
    return f"<table><thead><tr><th>Field</th><th>Type</th><th>Required</th></tr></thead><tbody>{rows}</tbody></table>"


def _type(schema: Any) -> str:
    match schema:
        case {"anyOf": list(choices)}:
            return " or ".join(_type(choice) for choice in choices)
        case {"enum": list(values)}:
            return " or ".join(map(str, values))
        case {"type": "array", **rest}:
            return f"list of {_type(rest.get('items', {}))}"
        case {"type": "object", "title": str(title)}:
            return title
        case {"type": "string", "contentEncoding": str(encoding)}:
            return encoding
        case {"type": "string", "format": str(form)}:
            return form
        case {"type": str(name)}:
            return name
        case _:
            return "any"


def _errors(errors: Iterable[type[ThroughcareError]]) -> str:
    rows = "".join(
        f'<tr id="{escape(error.code)}"><td><code>{escape(error.code)}</code></td><td>{error.status}</td>'
        f"<td>{'yes' if error.retryable else 'no'}</td><td>{escape(error.default)}</td></tr>"
        for error in errors
    )
    fields = "".join(
        f"<tr><td><code>{escape(code)}</code></td><td>{escape(told)}</td></tr>" for code, told in FIELD_CODES.items()
    )
    return (
        '<section id="errors"><h2>Errors</h2><p>Errors are problem documents (RFC 9457) with these codes.</p>'
        "<table><thead><tr><th>Code</th><th>Status</th><th>Try again</th><th>Meaning</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        "<p>In <code>errors</code> stands which field is wrong: its place as a JSON pointer (RFC 6901), empty for the "
        "whole body, and one of these codes.</p>"
        f"<table><thead><tr><th>Code</th><th>The field</th></tr></thead><tbody>{fields}</tbody></table></section>"
    )
