# SPDX-License-Identifier: Apache-2.0
"""Statements that run for every group: their text is made once for each database.

SQLAlchemy would look the compiled statement up and take each row's parameters apart anew, which costs more than the
row costs the database.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    Connection,
    Delete,
    Dialect,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    insert,
)
from sqlalchemy.exc import IntegrityError

TEXTS = 256
"""How many texts a connection should keep prepared: more than there are here."""

TAKEN = (sqlite3.IntegrityError, IntegrityError)
"""What a row is refused with whose key another one has."""
Row = Mapping[str, object]
Found = Sequence[tuple[Any, ...]]
"""Rows as they are found: values in the order of the columns."""
Wanted = Sequence[BindParameter[Any]]


def _sqlite(connection: Connection) -> sqlite3.Connection | None:
    """Return the driver's own connection, if it is SQLite's.

    What SQLAlchemy puts around a statement costs more than most statements cost SQLite, which waits for no server.
    Errors are `sqlite3.Error` then, not SQLAlchemy's.
    """
    driver = connection.connection.dbapi_connection
    return driver if isinstance(driver, sqlite3.Connection) else None


def _run(connection: Connection, sql: str, values: tuple[object, ...]) -> Found:
    """Run one text; return the rows that it finds, if it is one that finds any."""
    if (driver := _sqlite(connection)) is not None:
        return driver.execute(sql, values).fetchall()
    result = connection.exec_driver_sql(sql, values)
    return result.all() if result.returns_rows else ()


@dataclass(frozen=True, slots=True)
class _Text:
    """A statement as one database spells it: the names of its parameters by place, and the values that never change."""

    sql: str
    names: Sequence[str]
    constants: Row

    @classmethod
    def of(cls, statement: Insert | Update | Delete | Select[Any], dialect: Dialect, **how: Any) -> "_Text":
        compiled = statement.compile(dialect=dialect, **how)
        # Both our drivers count the places of parameters, so there is always a list.
        return cls(str(compiled), compiled.positiontup or [], compiled.params)

    def parameters(self, values: Row) -> tuple[object, ...]:
        return tuple(values[name] if name in values else self.constants[name] for name in self.names)


class Many:
    """An update or delete that is run for several rows at once; it names its parameters itself."""

    def __init__(self, statement: Update | Delete) -> None:
        self._statement = statement
        self._made: dict[str, tuple[str, Callable[[Row], Any]]] = {}

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Run it for `rows`, of which there may be none."""
        if not rows:
            return
        sql, parameters = self._made.get(connection.dialect.name) or self._make(connection.dialect)
        values = [parameters(row) for row in rows]
        if (driver := _sqlite(connection)) is not None:
            driver.executemany(sql, values)
        else:
            connection.exec_driver_sql(sql, values)

    def _make(self, dialect: Dialect) -> tuple[str, Callable[[Row], Any]]:
        text = _Text.of(self._statement, dialect, for_executemany=True)
        made = self._made[dialect.name] = text.sql, _taking(text.names)
        return made


class Inserts:
    """Rows put into a table, many with one statement: for each statement a thread gives up its turn, and waits for it.

    Every row names every column of the table. When one is refused, the transaction must not be committed.
    """

    SIZES = (32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
    """Numbers of rows for which there is a text, so that two do for up to sixteen rows, and three for any rest."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._taking = _taking(list(table.columns.keys()))
        self._made: dict[tuple[str, int], str] = {}

    def run(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert `rows`, of which there may be none."""
        start = 0
        for size in self.SIZES:
            while len(rows) - start >= size:
                some = rows[start : start + size]
                start += size
                values = tuple(chain.from_iterable(map(self._taking, some)))
                _run(connection, self._text(connection.dialect, size), values)

    def _text(self, dialect: Dialect, size: int) -> str:
        text = self._made.get((dialect.name, size))
        if text is None:
            columns = self._table.columns
            names = [[f"{column.name}_{row}" for column in columns] for row in range(size)]
            rows = [
                {column.name: bindparam(name, type_=column.type) for column, name in zip(columns, row, strict=True)}
                for row in names
            ]
            # A refused row ends the whole transaction: SQLite need not note how to take back the rows before it alone.
            statement = insert(self._table).prefix_with("OR FAIL", dialect="sqlite").values(rows)
            made = _Text.of(statement, dialect)
            if made.names != list(chain.from_iterable(names)):
                raise TypeError("the parameters of an insert are not in the order of its rows")
            text = self._made[dialect.name, size] = made.sql
        return text


def _taking(names: Sequence[str]) -> Callable[[Row], tuple[object, ...]]:
    """Return what takes the values of `names` out of a row."""
    one = itemgetter(*names)
    return one if len(names) > 1 else lambda row: (one(row),)


class Query:
    """A select whose parameters have names."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._made: dict[str, _Text] = {}

    def run(self, connection: Connection, **values: object) -> Found:
        """Return the rows that it finds."""
        text = self._made.get(connection.dialect.name)
        if text is None:
            text = self._made[connection.dialect.name] = _Text.of(self._statement, connection.dialect)
        return _run(connection, text.sql, text.parameters(values))


class Among:
    """A statement for the rows whose `column` is one of many values; `make` puts a condition for them into it."""

    SIZES = (1, 4, 16, 64, 256, 1_024)
    """Lengths of lists for which there is a text; a list is filled up by its last value."""

    def __init__(self, column: Column[Any], make: Callable[[Wanted], Select[Any] | Update | Delete]) -> None:
        self._type = column.type
        self._make = make
        self._made: dict[tuple[str, int], tuple[_Text, list[str]]] = {}

    def run(self, connection: Connection, values: Sequence[object], **others: object) -> Found:
        """Run it for `values`, of which there may be none, and its `others` by their names; return what it finds."""
        most, found = self.SIZES[-1], list[tuple[Any, ...]]()
        for start in range(0, len(values), most):
            some = values[start : start + most]
            size = next(size for size in self.SIZES if size >= len(some))
            text, names = self._made.get((connection.dialect.name, size)) or self._text(connection.dialect, size)
            filled = [*some, *[some[-1]] * (size - len(some))]
            given = {**others, **dict(zip(names, filled, strict=True))}
            found.extend(_run(connection, text.sql, text.parameters(given)))
        return found

    def _text(self, dialect: Dialect, size: int) -> tuple[_Text, list[str]]:
        names = [f"value_{place}" for place in range(size)]
        wanted = [bindparam(name, type_=self._type) for name in names]
        made = self._made[dialect.name, size] = _Text.of(self._make(wanted), dialect), names
        return made
