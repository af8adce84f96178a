# SPDX-License-Identifier: Apache-2.0
"""Statements that the writer runs for every group, each for many rows: their text is made once for each database.

SQLAlchemy would look the compiled statement up and take each row's parameters apart anew, which costs more than the
row costs the database.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Delete, Dialect, Insert, Update

Row = Mapping[str, object]


class Many:
    """An insert, update or delete that is run for several rows at once."""

    def __init__(self, statement: Insert | Update | Delete, *columns: str) -> None:
        """`columns` are those that every row of an insert names; other statements name their parameters themselves."""
        self._statement = statement
        self._columns = columns or None
        self._made: dict[str, tuple[str, Callable[[Row], Any]]] = {}

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it for `rows`, of which there may be none."""
        if not rows:
            return
        text, parameters = self._made.get(connection.dialect.name) or self._make(connection.dialect)
        connection.exec_driver_sql(text, [parameters(row) for row in rows])

    def _make(self, dialect: Dialect) -> tuple[str, Callable[[Row], Any]]:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns, for_executemany=True)
        # Both our drivers count the places of parameters, so there is always a list.
        names = compiled.positiontup or []
        one = itemgetter(*names)
        made = str(compiled), one if len(names) > 1 else lambda row: (one(row),)
        self._made[dialect.name] = made
        return made
