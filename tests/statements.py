# SPDX-License-Identifier: Apache-2.0
"""Statements that are compiled once for all databases of a process.

A program opens one database, and SQLAlchemy compiles each statement once for it. Tests open thousands, and would
compile everything for each of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Engine
from sqlalchemy.util import LRUCache

STATEMENTS = 2_000


@contextmanager
def compiled_once() -> Iterator[None]:
    """Let all engines share what is compiled; a dialect is one with all others of its class."""
    shared: LRUCache[object, object] = LRUCache(STATEMENTS)
    with pytest.MonkeyPatch.context() as patch:
        for dialect in (SQLiteDialect_aiosqlite, SQLiteDialect_pysqlite, PGDialect_asyncpg):
            patch.setattr(dialect, "__eq__", lambda self, other: type(self) is type(other), raising=False)
            patch.setattr(dialect, "__hash__", lambda self: hash(type(self)), raising=False)
        patch.setattr(Engine, "_compiled_cache", property(lambda _: shared, lambda _, own: None), raising=False)
        yield
