# SPDX-License-Identifier: Apache-2.0
"""A webhook that fails is named by the doctor and counted for Prometheus; it never fails silently."""

from typing import Any

import pytest
from sqlalchemy import insert

from connectors.store import webhooks
from connectors.store.engine import DATABASE_FILE
from connectors.store.tables import delivery, webhook
from protocol.diagnosis import Condition
from tests.connectors.conftest import World
from tests.connectors.test_doctor import looked_at, settings_of

URL = "http://localhost:9/told"


def row(number: int, state: str) -> dict[str, Any]:
    return {"event": number, "url": URL, "state": state, "tries": 1, "next_try_at": 0, "outcome": "http-500"}


@pytest.mark.parametrize(
    ("states", "disabled_at", "told", "counted"),
    [
        ([], None, "No webhook has failed for good.", (0, 0, 0)),
        (["waiting"], None, "No webhook has failed for good.", (1, 0, 0)),
        (["waiting", "failed"], None, "1 event was not confirmed after all tries.", (1, 1, 0)),
        (["failed", "failed"], None, "2 events were not confirmed after all tries.", (0, 2, 0)),
        ([], 7, "A webhook answered 410 and is told nothing more.", (0, 0, 1)),
    ],
)
async def test_a_failing_webhook_is_named_and_counted(
    world: World, states: list[str], disabled_at: int | None, told: str, counted: tuple[int, int, int]
) -> None:
    one = world.prison
    (one.folder / DATABASE_FILE).chmod(0o600)
    settings_of(one)
    async with one.parts.store.write() as tx:
        await tx.connection.execute(insert(webhook).values(url=URL, planned=9, disabled_at=disabled_at))
        for number, state in enumerate(states):
            await tx.connection.execute(insert(delivery).values(**row(number, state)))
    found = (await looked_at(one, world.hub.clock))["webhooks"]
    assert (found.found, found.condition is Condition.OK) == (told, counted[1:] == (0, 0))
    text = (await one.parts.metrics.text()).decode()
    names = ('webhook_deliveries{state="waiting"}', 'webhook_deliveries{state="failed"}', "webhooks_disabled")
    for name, number in zip(names, counted, strict=True):
        assert f"throughcare_{name} {float(number)}" in text
    async with one.parts.store.read() as tx:
        assert sum((await webhooks.counts(tx)).values()) == len(states)
