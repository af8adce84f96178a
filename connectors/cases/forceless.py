# SPDX-License-Identifier: Apache-2.0
"""Which moves of ours have no force, since the other side will never have them (SEQ-11)."""

from collections.abc import Collection

from connectors.cases.sides import Roles
from connectors.store.moves import MoveRow
from connectors.store.sequences import Direction
from connectors.store.threads import ThreadRow
from protocol.ids import MessageId


def forceless(row: ThreadRow, roles: Roles, stored: Collection[MoveRow]) -> frozenset[MessageId]:
    """Return the moves of ours that were given up; where the beginning was, those too that need nothing else.

    The beginning itself keeps its force here: the other side has no history that could differ, and time ends it.
    """
    unbegun = any(one.given_up for one in stored if one.message_id == row.begun_by)
    return frozenset(
        one.message_id
        for one in stored
        if one.message_id != row.begun_by
        and (one.given_up or (unbegun and one.direction is Direction.OUT and one.event in roles.binding))
    )
