# SPDX-License-Identifier: Apache-2.0
"""The statements of every group and of every reading look rows up: none walks through a table that grows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Select, bindparam

from hub.migrations import migrate
from hub.store import envelopes, mailboxes, nonces, trees
from hub.store.sqlite import SqliteStore
from hub.store.statements import Among, Query

STATEMENTS: dict[str, Query | Among | Select[Any]] = {
    "known ids": envelopes._KNOWN,
    "an entry": envelopes._ACCEPTED,
    "what is due": envelopes._DUE,
    "a page": mailboxes._PAGE,
    "its sections": mailboxes._SECTIONS,
    "what is acknowledged": mailboxes._UP_TO,
    "who still waits": mailboxes._STILL_WANTED,
    "what is removed": mailboxes._REMOVE,
    "sections that nobody wants": mailboxes._DROP_SECTIONS,
    "what is over": envelopes._EMPTY,
    "a nonce": nonces._ONE,
    "leaves": trees._LEAVES,
    "leaf hashes": trees._HASHES,
}


def plan(statement: Query | Among | Select[Any], size: int) -> Callable[[Connection], list[str]]:
    if isinstance(statement, Among):
        names = [f"value_{place}" for place in range(size)]
        made = statement._make([bindparam(name, type_=statement._type) for name in names])
    else:
        made = statement._statement if isinstance(statement, Query) else statement

    def explained(connection: Connection) -> list[str]:
        text = str(made.compile(dialect=connection.dialect))
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", (1,) * text.count("?"))
        return [str(row[3]) for row in rows]

    return explained


@pytest.mark.parametrize("size", [1, 16, 256])
async def test_no_statement_of_a_group_walks_through_a_table(tmp_path: Path, size: int) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db")
    try:
        await store.write(migrate)
        for name, statement in STATEMENTS.items():
            steps = await store.read(plan(statement, size))
            assert steps, name
            assert not [step for step in steps if step.startswith("SCAN")], (name, steps)
            # A part of a log's key is no looking up either.
            assert not [step for step in steps if step.endswith("(log=?)")], (name, steps)
    finally:
        await store.close()
