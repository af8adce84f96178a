# SPDX-License-Identifier: Apache-2.0
"""A life cycle is a table, and this is the one engine that reads it (LIF-1).

A row says: in these states this event, by one of these actors, leads there. What no row says is illegal, for
everybody. A move that is refused changes nothing: positions are values, and the caller keeps the one it had.
The engine knows nothing of time, messages or storage.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from protocol.errors import IllegalTransition, MoveIncomplete


class Turn(StrEnum):
    """Where a row leads that names no state of its own."""

    SAME = "same"
    """The state stays as it is; the event is on record."""
    BACK = "previous"
    """Back to the state that a row with `parks` set aside last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of a table.

    `number` is its place in the specification; rows that differ only in their outcome share one. `needs` names what
    the move must carry. A row that `parks` sets the state aside for a later `Turn.BACK`; one that `opens` a matter
    lets a row that `wants` it close the matter, once. A row is good for `within` ms from when its source was reached.
    """

    number: int
    sources: tuple[str, ...]
    event: str
    actors: frozenset[str]
    target: str
    needs: frozenset[str] = frozenset()
    parks: bool = False
    opens: str | None = None
    wants: str | None = None
    within: int | None = None

    def in_time(self, since: int, at: int) -> bool:
        """Tell whether the row still holds at `at` in a state that was reached at `since` (ms UTC)."""
        return self.within is None or at - since <= self.within


@dataclass(frozen=True, slots=True)
class Position:
    """Where a thread stands: its state, the states set aside below it, and the matters that are open."""

    state: str
    parked: tuple[str, ...] = ()
    matters: frozenset[str] = frozenset()


class Transition(NamedTuple):
    """One arrow of the table: a row read for one of its sources."""

    number: int
    source: str
    event: str
    actors: frozenset[str]
    target: str


@dataclass(frozen=True)
class Machine:
    """A table with a beginning. Rows that would leave a move undecided are refused when it is made."""

    name: str
    initial: str
    rows: tuple[Row, ...]
    finals: frozenset[str] = field(default=frozenset())
    """States in which nothing is due any more; some can still be left, by reopening."""

    def __post_init__(self) -> None:
        if len(self._table) != sum(len(row.sources) * len(row.actors) for row in self.rows):
            raise ValueError(f"two rows of {self.name} answer the same state, event and actor")

    @cached_property
    def _table(self) -> Mapping[tuple[str, str, str], Row]:
        return {(source, row.event, actor): row for row in self.rows for source in row.sources for actor in row.actors}

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Every state, in the order of the table."""
        named = [self.initial]
        for row in self.rows:
            named += [*row.sources, *_named(row.target)]
        return tuple(dict.fromkeys(named))

    @cached_property
    def events(self) -> tuple[str, ...]:
        """Every event, in the order of the table."""
        return tuple(dict.fromkeys(row.event for row in self.rows))

    @cached_property
    def actors(self) -> frozenset[str]:
        """Everybody whom some row names."""
        return frozenset().union(*(row.actors for row in self.rows))

    def transitions(self) -> Iterator[Transition]:
        """Yield every arrow, in the order of the table."""
        for row in self.rows:
            for source in row.sources:
                yield Transition(row.number, source, row.event, row.actors, row.target)

    def begin(self) -> Position:
        """Return the position in which every thread begins."""
        return Position(self.initial)

    def row(self, position: Position, event: str, actor: str) -> Row:
        """Return the row that permits `event` by `actor`; raises IllegalTransition if there is none (LIF-1)."""
        row = self._table.get((position.state, event, actor))
        if row is None or (row.wants is not None and row.wants not in position.matters):
            raise IllegalTransition
        if row.target == Turn.BACK and not position.parked:
            raise IllegalTransition
        return row

    def step(self, position: Position, event: str, actor: str, carried: Iterable[str] = ()) -> Position:
        """Return the position after `event` by `actor`, who brings what `carried` names.

        Raises IllegalTransition where no row permits it and MoveIncomplete where something is missing that the row
        needs; `position` is a value and stays what it was (LIF-2).
        """
        row = self.row(position, event, actor)
        missing = row.needs - frozenset(carried)
        if missing:
            raise MoveIncomplete(f"The step lacks: {', '.join(sorted(missing))}.")
        return _after(position, row)

    def open_to(self, position: Position, actor: str) -> tuple[Row, ...]:
        """Return the rows by which `actor` could move on from here, in the order of the table."""
        found = []
        for row in self.rows:
            if position.state in row.sources and actor in row.actors:
                wanted = row.wants is None or row.wants in position.matters
                if wanted and (row.target != Turn.BACK or position.parked):
                    found.append(row)
        return tuple(found)


def _after(position: Position, row: Row) -> Position:
    parked, matters = position.parked, position.matters
    match row.target:
        case Turn.SAME:
            state = position.state
        case Turn.BACK:
            state, parked = parked[-1], parked[:-1]
        case target:
            state = target
            parked = (*parked, position.state) if row.parks else ()
    if state != position.state and not row.parks and row.target != Turn.BACK:
        matters = frozenset()
    if row.wants is not None:
        matters -= {row.wants}
    if row.opens is not None:
        matters |= {row.opens}
    return Position(state, parked, matters)


def _named(target: str) -> tuple[str, ...]:
    return () if target in frozenset(Turn) else (target,)
