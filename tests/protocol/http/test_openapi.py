# SPDX-License-Identifier: Apache-2.0
"""The documents and the page say what the operations say, and are well-formed."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from protocol.errors import CODES
from protocol.fieldcodes import FIELD_CODES
from protocol.http import reference
from protocol.http.connector import CONNECTOR_OPERATIONS
from protocol.http.documents import document_handlers
from protocol.http.hub import HUB_OPERATIONS
from protocol.http.openapi import openapi
from protocol.http.operation import Auth, Method, Operation, registry
from protocol.http.strictjson import render
from tests.openapi import FOLDER, copies

SERVERS = [HUB_OPERATIONS, CONNECTOR_OPERATIONS]
ALL = [pytest.param(operation, id=operation.id) for server in SERVERS for operation in server]


@pytest.mark.parametrize("operations", SERVERS)
def test_the_openapi_document_is_valid(operations: Sequence[Operation]) -> None:
    document = openapi(operations, title="A server", version="1")
    OpenAPIV31SpecValidator(document).validate()
    listed = {entry["operationId"] for path in document["paths"].values() for entry in path.values()}
    assert listed == {operation.id for operation in operations}


@pytest.mark.parametrize("name", ["hub.json", "connector.json"])
def test_the_committed_openapi_document_is_the_one_that_is_served(name: str) -> None:
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert committed == copies()[name], "type: python -m tests.openapi"


@pytest.mark.parametrize("operation", ALL)
def test_every_operation_has_an_example_that_its_models_accept(operation: Operation) -> None:
    example = operation.example
    for body, value in ((operation.request, example.request), (operation.response, example.response)):
        if isinstance(body, type):
            assert body.model_validate_json(render(value))
    if operation.query is not None:
        operation.query.model_validate(dict(example.query))
    if operation.parameters is not None:
        operation.parameters.model_validate(dict(example.path))
        assert "{" not in operation.url_path(example.path)


@pytest.mark.parametrize("operation", ALL)
def test_every_operation_lists_its_errors_once_and_is_named_by_verb_and_noun(operation: Operation) -> None:
    errors = operation.all_errors
    assert len(errors) == len(set(errors))
    assert all(CODES[error.code] is error for error in errors)
    assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", operation.id)
    assert operation.path.startswith("/v1/")
    assert operation.summary.endswith(".")


def test_only_the_local_interface_takes_a_token_and_nothing_of_it_is_open_but_its_description() -> None:
    assert {operation.auth for operation in HUB_OPERATIONS} == {Auth.NONE, Auth.DEVICE}
    assert [item.id for item in CONNECTOR_OPERATIONS if item.auth is Auth.NONE] == [
        "listSchemas",
        "getSchema",
        "getOpenapi",
        "getDocs",
    ]


def test_two_operations_cannot_share_an_id_or_a_route() -> None:
    one = Operation(id="getOne", method=Method.GET, path="/v1/one", summary="Get.", auth=Auth.NONE)
    with pytest.raises(TypeError, match="twice"):
        registry([one, Operation(id="getOne", method=Method.GET, path="/v1/two", summary="Get.", auth=Auth.NONE)])
    with pytest.raises(TypeError, match="twice"):
        registry([one, Operation(id="getTwo", method=Method.GET, path="/v1/one", summary="Get.", auth=Auth.NONE)])
    with pytest.raises(TypeError, match="path parameters"):
        registry([Operation(id="getTwo", method=Method.GET, path="/v1/{id}", summary="Get.", auth=Auth.NONE)])


class _Page(HTMLParser):
    """Collects what a page refers to, and checks that its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("operations", SERVERS)
def test_the_page_for_people_lists_all_and_fetches_nothing(operations: Sequence[Operation]) -> None:
    text = reference.page(operations, title="A <server> & more", version="1")
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {operation.id for operation in operations} <= set(page.ids)
    assert all(link.removeprefix("#") in page.ids for link in page.links if link != "openapi.json")
    assert "script" not in page.tags
    assert "<title>A &lt;server&gt; &amp; more</title>" in text
    assert {error.code for item in operations for error in item.all_errors} <= set(page.ids)
    assert all(f"<td><code>{code}</code></td><td>{told}</td>" in text for code, told in FIELD_CODES.items())


def test_the_page_allows_its_own_style_and_nothing_else() -> None:
    assert reference.POLICY.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in reference.POLICY


def test_both_documents_have_a_handler() -> None:
    assert set(document_handlers(HUB_OPERATIONS, title="A server")) == {"getOpenapi", "getDocs"}


def test_models_of_requests_refuse_unknown_fields_and_those_of_answers_ignore_them() -> None:
    for server in SERVERS:
        for operation in server:
            for body, extra in ((operation.request, "forbid"), (operation.response, "ignore")):
                if isinstance(body, type) and issubclass(body, BaseModel):
                    assert body.model_config["extra"] == extra, operation.id
