# SPDX-License-Identifier: Apache-2.0
"""Text of a form that nothing takes is refused by each operation with a code that its description lists (HTTP-3)."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from connectors.access import TOKEN_FILE, read_token
from protocol.http.connector import CONNECTOR_OPERATIONS
from protocol.http.operation import Media, Operation
from tests.connectors.cases.test_referral import REQUEST, WORDS
from tests.connectors.cases.test_thread_api import Served, serve
from tests.connectors.conftest import World

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

OTHER = ("c\u030c", "\u202e", "\x1b", "\n")
"""In no normal form C; what turns the writing around; what steers a terminal; another line."""
ASKED = {
    "sendReferral": {
        "to": "social-work.polje-csw@hub.example",
        "fields": {**REQUEST, "register_numbers": {"sender": "G-1"}},
        "sections": [WORDS.model_dump(mode="json")],
    },
}
"""What says more than the example of an operation."""


@pytest.fixture
async def prison(world: World) -> AsyncIterator[Served]:
    async for one in serve(world.prison, world):
        yield one


def spoilt(value: Any) -> Iterator[Any]:
    """Yield `value` once for each text in it, keys too, with one of `OTHER` behind that text."""
    if isinstance(value, str):
        yield from (value + one for one in OTHER)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from ({**value, key: other} for other in spoilt(one))
            yield {**{name: inside for name, inside in value.items() if name != key}, key + OTHER[0]: one}
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from ([*value[:place], other, *value[place + 1 :]] for other in spoilt(one))


def asked(operation: Operation) -> Iterator[tuple[dict[str, str], bytes | None, Any]]:
    """Yield query, bytes and JSON of each request of an operation in which one text is of no form that is taken."""
    example, query = operation.example, dict(operation.example.query)
    body = None if isinstance(operation.request, Media) else ASKED.get(operation.id, example.request)
    data = b"{}" if isinstance(operation.request, Media) else None
    for other in spoilt(query):
        yield other, data, body
    for other in spoilt(body):
        yield query, None, other


async def test_http_3_text_of_no_form_that_is_taken_is_refused_with_a_code_of_the_operation(prison: Served) -> None:
    for operation in CONNECTOR_OPERATIONS:
        declared = {one.code for one in operation.all_errors} - {"internal-error", "store-damaged"}
        assert await answers(prison, operation) <= declared, operation.id


async def answers(served: Served, operation: Operation) -> set[str]:
    token = read_token(served.station.folder / TOKEN_FILE)
    found = set[str]()
    async with aiohttp.ClientSession() as session:
        for query, data, body in asked(operation):
            headers = {"Authorization": f"Bearer {token}", "If-Match": '"1"'}
            headers["Idempotency-Key"] = secrets.token_hex(12)
            if isinstance(operation.request, Media):
                headers["Content-Type"] = operation.request.value
            url = served.url + operation.url_path(operation.example.path)
            async with session.request(
                operation.method, url, params=query, data=data, json=body, headers=headers
            ) as answer:
                if answer.status >= 400:
                    found.add(json.loads(await answer.read())["code"])
    return found
