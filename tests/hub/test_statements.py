# SPDX-License-Identifier: Apache-2.0
"""Statements whose text is made once: many rows, or many values, with few of them."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, bindparam, delete, select

from hub.migrations import migrate
from hub.store.sqlite import SqliteStore
from hub.store.statements import Among, Inserts, Query
from hub.store.tables import nonce

NEW = Inserts(nonce)
NAMES = nonce.columns.keys()
ALL = Query(select(nonce).order_by(nonce.c.expires))
FOUND = Among(
    nonce.c.nonce, lambda wanted: select(nonce.c.expires).where(nonce.c.nonce.in_(wanted)).order_by(nonce.c.expires)
)
DROP = Among(
    nonce.c.nonce,
    lambda wanted: delete(nonce).where(nonce.c.device_id == bindparam("device"), nonce.c.nonce.in_(wanted)),
)


def _rows(count: int) -> list[dict[str, object]]:
    return [
        {"device_id": b"device", "nonce": number.to_bytes(2, "big"), "expires": number * 1_000}
        for number in range(count)
    ]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "hub.db")
    await opened.write(migrate)
    yield opened
    await opened.close()


@pytest.mark.parametrize("count", [*range(34), 64, 100])
async def test_rows_go_in_whole_and_in_few_statements(store: SqliteStore, count: int) -> None:
    rows, statements = _rows(count), list[str]()

    def work(connection: Connection) -> list[dict[str, object]]:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_trace_callback(statements.append)
        NEW.run(connection, rows)
        driver.set_trace_callback(None)
        assert len(statements) <= count // 32 + (2 if count % 32 <= 16 else 3)
        return [dict(zip(NAMES, row, strict=True)) for row in ALL.run(connection)]

    assert await store.write(work) == rows


@pytest.mark.parametrize("count", [0, 1, 5, 17, 300, 1_030])
async def test_a_list_of_any_length_finds_and_changes_exactly_its_rows(store: SqliteStore, count: int) -> None:
    rows = _rows(1_100)
    values = [row["nonce"] for row in rows[:count]]

    def work(connection: Connection) -> tuple[list[object], int]:
        NEW.run(connection, rows)
        found = [expires for (expires,) in FOUND.run(connection, values)]
        DROP.run(connection, values, device=b"another")
        assert len(ALL.run(connection)) == len(rows)
        DROP.run(connection, values, device=b"device")
        return found, len(ALL.run(connection))

    found, left = await store.write(work)
    assert found == [row["expires"] for row in rows[:count]]
    assert left == len(rows) - count
