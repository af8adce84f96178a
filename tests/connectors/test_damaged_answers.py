# SPDX-License-Identifier: Apache-2.0
"""A stored answer that the disk has damaged: what it answered was done, and is done no second time (CON-8)."""

import secrets
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import update

from connectors.store.tables import request
from protocol.errors import Conflict
from protocol.http.handovers import HandoverRequest
from tests.connectors.cases.test_thread_api import serve
from tests.connectors.conftest import World
from tests.connectors.stations import package


async def test_con_8_a_damaged_answer_has_nothing_done_twice(world: World) -> None:
    key, asked = secrets.token_hex(12), HandoverRequest(to=[world.probation.desk], package=package())
    async with asynccontextmanager(serve)(world.prison, world) as served:
        await served.client.send(asked, idempotency_key=key)
        async with world.prison.parts.store.write() as tx:
            await tx.connection.execute(update(request).values(sealed=b"damaged"))
        with pytest.raises(Conflict, match="was done before"):
            await served.client.send(asked, idempotency_key=key)
        assert len((await served.client.handovers()).items) == 1
