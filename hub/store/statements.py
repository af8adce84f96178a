# SPDX-License-Identifier: Apache-2.0
"""Statements that run for every group: their text is made once for each database.

SQLAlchemy would look the compiled statement up and take each row's parameters apart anew, which costs more than the
row costs the database.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import BindParameter, Column, Connection, Delete, Dialect, Insert, Select, Update, bindparam
from sqlalchemy import Row as Found

Row = Mapping[str, object]
Wanted = Sequence[BindParameter[Any]]


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
        sql, parameters = self._made.get(connection.dialect.name) or self._make(connection.dialect)
        connection.exec_driver_sql(sql, [parameters(row) for row in rows])

    def _make(self, dialect: Dialect) -> tuple[str, Callable[[Row], Any]]:
        text = _Text.of(self._statement, dialect, column_keys=self._columns, for_executemany=True)
        one = itemgetter(*text.names)
        made = text.sql, one if len(text.names) > 1 else lambda row: (one(row),)
        self._made[dialect.name] = made
        return made


class Query:
    """A select whose parameters have names."""

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement
        self._made: dict[str, _Text] = {}

    def run(self, connection: Connection, **values: object) -> Sequence[Found[*tuple[Any, ...]]]:
        """Return the rows that it finds."""
        text = self._made.get(connection.dialect.name)
        if text is None:
            text = self._made[connection.dialect.name] = _Text.of(self._statement, connection.dialect)
        return connection.exec_driver_sql(text.sql, text.parameters(values)).all()


class Among:
    """A select of the rows whose `column` is one of many values; `make` puts a condition for them into the select."""

    SIZES = (1, 4, 16, 64, 256, 1_024)
    """Lengths of lists for which there is a text; a list is filled up by its last value."""

    def __init__(self, column: Column[Any], make: Callable[[Wanted], Select[Any]]) -> None:
        self._type = column.type
        self._make = make
        self._made: dict[tuple[str, int], _Text] = {}

    def run(self, connection: Connection, values: Sequence[object]) -> Iterator[Found[*tuple[Any, ...]]]:
        """Yield the rows that it finds for `values`, of which there may be none."""
        most = self.SIZES[-1]
        for start in range(0, len(values), most):
            yield from self._some(connection, values[start : start + most])

    def _some(self, connection: Connection, values: Sequence[object]) -> Sequence[Found[*tuple[Any, ...]]]:
        size = next(size for size in self.SIZES if size >= len(values))
        names = [f"value_{place}" for place in range(size)]
        text = self._made.get((connection.dialect.name, size))
        if text is None:
            wanted = [bindparam(name, type_=self._type) for name in names]
            text = self._made[connection.dialect.name, size] = _Text.of(self._make(wanted), connection.dialect)
        filled = [*values, *[values[-1]] * (size - len(values))]
        return connection.exec_driver_sql(text.sql, text.parameters(dict(zip(names, filled, strict=True)))).all()
