# SPDX-License-Identifier: Apache-2.0
"""What became of a thread: its moves in the order of the hub's log, each done or refused (LIF-4).

Every side holds the same signed moves and sorts them by the leaf index under which the hub accepted them, so every
side arrives at the same state, in whatever order they came. A move stands behind all that its sender said before it,
also where that had to be sealed anew and has a later leaf: nobody, the hub least of all, puts one agency's own steps
into another order. A move that the table refuses at its place has no effect; whose it was is told by a signed conflict.
A move of one's own that the hub has not accepted yet stands at the end, with all that was said after it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from protocol.errors import IllegalTransition, MoveIncomplete, TooLate
from protocol.ids import MessageId
from protocol.lifecycle.machine import Machine, Position

_Place: TypeAlias = tuple[bool, int, int, int, bytes]

GIVEN_UP: Final = "given-up"
"""Why a move has no effect that its sender gave up before the other side had it (SEQ-11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One signed message that wants to move a thread.

    `index` is the leaf index of the sealing that its recipient opened, None while the hub has not accepted it; `at`
    the hub's time of acceptance, or of composing, in ms UTC; `signer` who acted, as the claims name it; `carried`
    what the move brings, in the words of the table.
    """

    message_id: MessageId
    index: int | None
    at: int
    event: str
    actor: str
    signer: str
    carried: frozenset[str] = frozenset()
    order: int = 0
    """The order of composing, for moves that the hub has not accepted yet."""
    line: str | None = None
    """The desk whose sequence in the thread it belongs to (SEQ-1).

    None for what waits for nothing and holds up nothing: a receipt, and what came after its place was passed (SEQ-11).
    """
    seq: int = 0
    """Its number there."""
    void: str | None = None
    """Why it has no force, whatever the table says; None where it has."""
    opened_by: int | None = None
    """The leaf index of the A1 that its place follows from; None where there is none, or it is another's move."""


@dataclass(frozen=True, slots=True)
class Step:
    """A move at its place: the position before and after it, and the code of the refusal if it had no effect."""

    move: Move
    before: Position
    after: Position
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Every step of a thread, in order."""

    machine: Machine
    steps: tuple[Step, ...]

    @property
    def position(self) -> Position:
        """Where the thread stands now."""
        return self.steps[-1].after if self.steps else self.machine.begin()

    @property
    def since(self) -> int:
        """When it came to that state, in ms UTC; 0 before its beginning."""
        return max(map(_changed_at, self.steps), default=0)

    @property
    def state(self) -> str:
        """The state it is in now."""
        return self.position.state

    @property
    def done(self) -> Iterator[Step]:
        """The steps that had an effect."""
        return (step for step in self.steps if step.refused is None)

    @property
    def conflicts(self) -> tuple[Step, ...]:
        """The steps that had none."""
        return tuple(step for step in self.steps if step.refused is not None)

    @property
    def settled(self) -> bool:
        """Whether the hub has accepted every move, so that no place can change any more."""
        return all(step.move.index is not None for step in self.steps)


def fold(machine: Machine, moves: Iterable[Move], *, receipt: tuple[str, str] | None = None) -> History:
    """Return the history that `moves` make, in whatever order they are given; a message_id counts once.

    `receipt` names the event and the actor of the automatic receipt: a later move of that actor proves the receipt,
    so where it overtook it the receipt is implied, and a receipt that comes late has no effect and is no conflict.
    """
    position, steps, since = machine.begin(), list[Step](), 0
    for move in _in_order(moves):
        step = _step(machine, position, move, receipt, since)
        if step is not None:
            steps.append(step)
            position, since = step.after, max(since, _changed_at(step))
    return History(machine, tuple(steps))


def _changed_at(step: Step) -> int:
    # What stands behind a step that was sealed anew has an earlier time than that, and came about no earlier.
    return step.move.at if step.after.state != step.before.state else 0


def _step(machine: Machine, position: Position, move: Move, receipt: tuple[str, str] | None, since: int) -> Step | None:
    before = position
    if move.void is not None:
        return Step(move, before, before, move.void)
    if receipt is not None and move.actor == receipt[1]:
        if move.event == receipt[0] and not _permits(machine, position, receipt):
            return None
        if move.event != receipt[0] and not _permits(machine, position, (move.event, move.actor)):
            position = _after_receipt(machine, position, receipt)
    try:
        if not machine.row(position, move.event, move.actor).in_time(since, move.at):
            raise TooLate
        return Step(move, before, machine.step(position, move.event, move.actor, move.carried))
    except (IllegalTransition, MoveIncomplete) as error:
        return Step(move, before, before, error.code)


def _permits(machine: Machine, position: Position, step: tuple[str, str]) -> bool:
    try:
        machine.row(position, *step)
    except IllegalTransition:
        return False
    return True


def _after_receipt(machine: Machine, position: Position, receipt: tuple[str, str]) -> Position:
    if not _permits(machine, position, receipt):
        return position
    return machine.step(position, *receipt, machine.row(position, *receipt).needs)


def _in_order(moves: Iterable[Move]) -> list[Move]:
    """Return each move once, at the highest leaf index of it and of what stands before it on its line."""
    once = {move.message_id: move for move in sorted(moves, key=_own_place, reverse=True)}
    by_number = sorted(once.values(), key=lambda move: move.seq)
    known = _known_places(by_number)
    highest: dict[str, _Place] = {}
    placed: list[tuple[_Place, Move]] = []
    for move in by_number:
        place = known[move.message_id]
        if move.line is not None:
            place = max(place, highest.get(move.line, place))
            if move.void is None:
                # The other side does not have one that was given up, nor any place of it.
                highest[move.line] = place
        placed.append((place, move))
    # No two leaves are one, so what shares a place is of one line.
    return [move for _, move in sorted(placed, key=lambda one: (one[0], one[1].seq, _own_place(one[1])))]


def _known_places(by_number: list[Move]) -> dict[MessageId, _Place]:
    """Return the place of each move by itself.

    Who says that he opened a move had all before it: a sealing of an earlier one that the hub accepted after that word
    was not the one that he took in. Else he could ask for an earlier move again, to put a later one behind his own.
    """
    places = dict[MessageId, _Place]()
    opened: dict[str, list[tuple[int, _Place]]] = {}
    for move in reversed(by_number):
        place = _own_place(move)
        if move.line is not None:
            later = opened.setdefault(move.line, [])
            if move.index is not None and move.void is None:
                place = min([place, *(bound for word, bound in later if word < move.index)])
            if move.opened_by is not None and move.void is None:
                later.append((move.opened_by, place))
        places[move.message_id] = place
    return places


def _own_place(move: Move) -> _Place:
    # What the hub has not accepted comes last, in the order of composing; ids only make the order certain.
    return (move.index is None, move.index or 0, 0 if move.index is not None else move.order, move.at, move.message_id)
