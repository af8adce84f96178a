# SPDX-License-Identifier: Apache-2.0
"""Callers that leave before they have their answer: nobody may raise the operator's alarm by that."""

import asyncio
from pathlib import Path

import pytest
from yarl import URL

from hub.service.directory import DirectoryLog
from tests.hub.running import RunningHub, eventually
from tests.programme import Programme

pytestmark = pytest.mark.usefixtures("quick_keys")

PAGE = b"GET /v1/directory/statements HTTP/1.1\r\nHost: localhost\r\n\r\n"
FAILED = b'code="500",operation="listDirectoryStatements"'


async def test_http_16_a_stranger_that_leaves_an_answer_is_no_failure_of_the_hub(
    tmp_path: Path, programme: Programme
) -> None:
    """Else anybody fills the log with errors, and has the operator called."""
    async with RunningHub(tmp_path, programme) as hub:
        turn = hub.hub._handlers.handouts.turn
        async with turn, turn:
            _, writer = await asyncio.open_connection("127.0.0.1", URL(hub.url).port)
            writer.write(PAGE)
            await eventually(turn.locked)
            await eventually(lambda: bool(turn._waiters))
            writer.transport.abort()
            await asyncio.sleep(0.05)
        await eventually(lambda: hub.hub._handlers.handouts._held == 0 and not turn.locked())
        await asyncio.sleep(0.05)
        assert "request-failed" not in hub.logged.getvalue()
        told = await hub.hub.watch.metrics_text()
        assert FAILED not in told
        assert b'code="internal-error",operation="listDirectoryStatements"' not in told
        # It was served all the same, and whoever stays has the whole page.
        async with hub.session.get(f"{hub.url}/v1/directory/statements") as response:
            assert response.status == 200
            assert response.content_length is not None
            assert response.content_length > 64 << 10
            assert len(await response.read()) == response.content_length


async def test_http_16_a_connection_of_the_hubs_own_that_is_lost_is_one(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> None:
        raise ConnectionResetError

    async with RunningHub(tmp_path, programme) as hub:
        with monkeypatch.context() as patch:
            patch.setattr(DirectoryLog, "statements", lost)
            async with hub.session.get(f"{hub.url}/v1/directory/statements") as response:
                assert response.status == 500
        assert "request-failed" in hub.logged.getvalue()
        assert FAILED in await hub.hub.watch.metrics_text()
