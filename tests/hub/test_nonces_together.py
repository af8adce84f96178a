# SPDX-License-Identifier: Apache-2.0
"""A group asks a server once for all its nonces, under the lock that all processes take turns by (HTTP-15)."""

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, text

from hub.migrations import migrate
from hub.store import nonces
from hub.store.engine import Store
from hub.store.opening import open_store
from protocol.ids import KeyId
from tests.hub.running import make_settings, on_postgres
from tests.programme import Programme

DEVICES = [KeyId(bytes([number]) * 32) for number in range(4)]
NAMES = [bytes([number]) * 16 for number in range(6)]
Pairs = list[tuple[KeyId, bytes]]
pairs = st.lists(st.tuples(st.sampled_from(DEVICES), st.sampled_from(NAMES)), max_size=30)


@pytest.fixture
async def store(tmp_path: Path, postgres_url: str, programme: Programme) -> AsyncIterator[Store]:
    opened = await open_store(tmp_path, make_settings(tmp_path, programme, *on_postgres(postgres_url)).store)
    await opened.write(migrate)
    yield opened
    await opened.close()


def put(connection: Connection, which: Pairs) -> None:
    rows: list[dict[str, object]] = [{"device_id": device, "nonce": one, "expires": 1} for device, one in which]
    nonces.NEW_NONCES.run(connection, rows)


def asked(connection: Connection, which: Pairs) -> tuple[set[tuple[KeyId, bytes]], list[str]]:
    """Return which were used, and the statements by which that was asked."""
    seen = list[str]()

    def note(_: Connection, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    event.listen(connection, "before_cursor_execute", note)
    try:
        return nonces.used(connection, which), seen
    finally:
        event.remove(connection, "before_cursor_execute", note)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=pairs, which=pairs)
async def test_http_2_exactly_those_are_used_that_this_device_has_used(
    store: Store, stored: Pairs, which: Pairs
) -> None:
    """Another device's nonce of the same name is another nonce."""

    def work(connection: Connection) -> set[tuple[KeyId, bytes]]:
        connection.execute(text("DELETE FROM nonce"))
        put(connection, list(dict.fromkeys(stored)))
        return nonces.used(connection, which)

    assert await store.write(work) == set(stored) & set(which)


@pytest.mark.parametrize("count", [0, 1, 3, 16, 100, 256, 600])
async def test_http_15_a_group_asks_once_whatever_it_brings(store: Store, count: int) -> None:
    which = [(device, number.to_bytes(16, "big")) for number in range(150) for device in DEVICES][:count]

    def work(connection: Connection) -> tuple[set[tuple[KeyId, bytes]], list[str]]:
        put(connection, which[::2])
        return asked(connection, which)

    found, statements = await store.write(work)
    assert found == set(which[::2])
    assert len(statements) == -(-count // 256)


def explaining(_: Connection, __: Any, statement: str, parameters: Any, *___: Any) -> tuple[str, Any]:
    return f"EXPLAIN {statement}", parameters


async def test_http_15_no_number_of_nonces_makes_it_walk_through_all(store: Store) -> None:
    which = [(device, number.to_bytes(16, "big")) for device, number in product(DEVICES, range(5_000))]

    def work(connection: Connection) -> list[str]:
        put(connection, which)
        connection.execute(text("ANALYZE nonce"))
        event.listen(connection, "before_cursor_execute", explaining, retval=True)
        try:
            return [str(row[0]) for row in connection.execute(nonces.asking(which[::80]))]
        finally:
            event.remove(connection, "before_cursor_execute", explaining)

    steps = await store.write(work)
    assert steps
    assert not [step for step in steps if "Seq Scan" in step]
