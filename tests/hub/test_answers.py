# SPDX-License-Identifier: Apache-2.0
"""Answers cost by their size whoever asks for them, and nobody else waits for it (HTTP-14)."""

from pathlib import Path

import pytest

from connectors.hub_client import HubClient
from hub.web import strangers as strangers_module
from protocol.errors import TooManyRequests
from protocol.http import hub as api
from protocol.http import strictjson
from tests.hub.running import RunningHub
from tests.programme import Programme

FEW = ("[limits]", "stranger_requests_per_minute = 60")


async def page(hub: RunningHub, address: str, start: int = 0) -> tuple[int, str | None]:
    """Ask for a page of the directory from an address behind the proxy; return the status and the seconds to wait."""
    url, headers = f"{hub.url}/v1/directory/statements", {"X-Forwarded-For": address}
    async with hub.session.get(url, params={"from_index": start}, headers=headers) as response:
        await response.read()
        return response.status, response.headers.get("Retry-After")


async def read_for_ever(client: HubClient) -> None:
    while True:
        await client.directory_statements(0)


async def test_http_14_a_stranger_pays_for_the_directory_by_its_bytes_and_others_read_on(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers_module, "ANSWER_UNIT", 4 << 10)
    async with RunningHub(tmp_path, programme, more=("behind_proxy = true", *FEW)) as hub:
        whole = sum(map(len, programme.statements)) * 4 // 3 // (4 << 10)
        assert whole > 15
        answered = 0
        while (told := await page(hub, "192.0.2.1"))[0] == 200:
            answered += 1
        assert answered == -(-60 // (whole + 1))
        # What it used too much of, it waits for too.
        assert told[0] == 429
        assert told[1] is not None
        assert int(told[1]) <= whole + 1
        assert (await page(hub, "192.0.2.2"))[0] == 200
        # A small answer costs what it always did.
        assert [(await page(hub, "192.0.2.3", 10_000))[0] for _ in range(61)] == [200] * 60 + [429]
        hub.clock.advance(int(told[1]) * 1_000)
        assert (await page(hub, "192.0.2.1"))[0] == 200


async def test_http_14_a_connector_that_reads_a_long_directory_waits_as_it_is_told_and_goes_on(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beginning anew with each refusal it would never come to the end of one that costs more than a minute's share."""
    monkeypatch.setattr(strangers_module, "ANSWER_UNIT", 1 << 10)
    monkeypatch.setattr(api, "STATEMENT_PAGE", 20_000)
    waits = list[float]()
    async with RunningHub(tmp_path, programme, more=FEW) as hub:

        async def wait(seconds: float) -> None:
            waits.append(seconds)
            hub.clock.advance(int(seconds * 1_000))

        client, found = HubClient(hub.session, hub.url, hub.clock, pause=wait), list[bytes]()
        while more := await client.directory_statements(len(found)):
            found += more
        assert found == programme.statements
        assert waits

        async def wait_for_nothing(_: float) -> None:
            waits.append(0)

        impatient = HubClient(hub.session, hub.url, hub.clock, pause=wait_for_nothing)
        waits.clear()
        with pytest.raises(TooManyRequests):
            await read_for_ever(impatient)
        assert waits == [0] * 20


async def test_the_link_to_the_next_page_is_written_as_the_answer_writes_it(hub: RunningHub) -> None:
    async with hub.session.get(f"{hub.url}/v1/directory/statements", params={"limit": 2}) as response:
        body = strictjson.parse(await response.read())
        assert isinstance(body, dict)
        assert body["next_index"] == 2
        assert response.headers["Link"] == '</v1/directory/statements?limit=2&from_index=2>; rel="next"'
