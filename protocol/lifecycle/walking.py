# SPDX-License-Identifier: Apache-2.0
"""Looks at a whole table: what can be reached, where nothing leads on, who never has a move (LIF-3)."""

from dataclasses import dataclass

from protocol.lifecycle.machine import Machine, Turn


@dataclass(frozen=True, slots=True)
class Findings:
    """What a walk over every arrow found; names are in the order of the table."""

    transitions: int
    states: int
    dead_ends: tuple[str, ...]
    """States with no way out; in a sound table these are its final states."""
    unreachable: tuple[str, ...]
    """States to which no way leads from the beginning."""
    unfinished: tuple[str, ...]
    """States that can be reached, and from which no end can be: a dead end, or a final state that can be left."""
    idle: tuple[str, ...]
    """Actors who are named and never have a move in a state that can be reached."""


def walk(machine: Machine) -> Findings:
    """Follow every arrow of `machine` once."""
    onward: dict[str, set[str]] = {state: set() for state in machine.states}
    for transition in machine.transitions():
        onward[transition.source] |= _targets(machine, transition.source, transition.target)
    reached = _reach({machine.initial}, onward)
    dead = [state for state, targets in onward.items() if not targets - {state}]
    backward: dict[str, set[str]] = {state: set() for state in machine.states}
    for state, targets in onward.items():
        for target in targets:
            backward[target].add(state)
    finishing = _reach({*dead, *machine.finals}, backward)
    busy = {actor for one in machine.transitions() if one.source in reached for actor in one.actors}
    return Findings(
        transitions=sum(1 for _ in machine.transitions()),
        states=len(machine.states),
        dead_ends=tuple(dead),
        unreachable=tuple(state for state in machine.states if state not in reached),
        unfinished=tuple(state for state in machine.states if state in reached and state not in finishing),
        idle=tuple(sorted(machine.actors - busy)),
    )


def _targets(machine: Machine, source: str, target: str) -> set[str]:
    if target == Turn.SAME:
        return {source}
    if target == Turn.BACK:
        # Back to whatever a row that parks may have left behind on the way into this state.
        return {state for row in machine.rows if row.parks and row.target == source for state in row.sources}
    return {target}


def _reach(begin: set[str], onward: dict[str, set[str]]) -> set[str]:
    found, fresh = set(begin), list(begin)
    while fresh:
        new = onward[fresh.pop()] - found
        found |= new
        fresh.extend(new)
    return found
