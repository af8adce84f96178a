# SPDX-License-Identifier: Apache-2.0
"""Which moves of ours have no force, since the other side will never have them (SEQ-11)."""

from collections.abc import Collection

from connectors.cases.sides import Roles
from connectors.store.moves import MoveRow
from connectors.store.sequences import Direction
from connectors.store.threads import ThreadRow
from protocol.ids import MessageId


def forceless(row: ThreadRow, roles: Roles, stored: Collection[MoveRow]) -> frozenset[MessageId]:
    """Return the moves of ours that were given up; where the beginning was, those instead that bind the other side.

    The beginning itself keeps its force here, as does what ended it: the other side has no history that could differ.
    Whoever has moved the thread since has the beginning, whatever became of its receipt (LIF-4).
    """
    given_up = any(one.given_up for one in stored if one.message_id == row.begun_by)
    answered = any(one.direction is Direction.IN and one.actor in roles.machine.actors for one in stored)
    if given_up and not answered:
        return frozenset(
            one.message_id
            for one in stored
            if one.message_id != row.begun_by and one.direction is Direction.OUT and one.event in roles.binding
        )
    return frozenset(one.message_id for one in stored if one.given_up and one.message_id != row.begun_by)
