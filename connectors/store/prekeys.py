# SPDX-License-Identifier: Apache-2.0
"""Our own prekeys: their statements and when the log got them; their seeds are in the keystore (DIR-9)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from connectors.faults import DAMAGED, named
from connectors.store.engine import Transaction
from connectors.store.tables import prekey

_PLACE = "prekey"


class PrekeyState(StrEnum):
    """How far a prekey has come."""

    MADE = "made"
    """Its seed is stored; the log may or may not have its statement."""
    LOGGED = "logged"
    DESTROYED = "destroyed"


@dataclass(frozen=True, slots=True)
class OwnPrekey:
    """One prekey of this device; times in ms UTC. `statement` is empty where it cannot be read any more."""

    epoch: int
    made_at: int
    logged_at: int | None
    state: PrekeyState
    statement: bytes = field(repr=False)


async def load_all(tx: Transaction) -> list[OwnPrekey]:
    """Return all prekeys of this device, by epoch."""
    rows = await tx.connection.execute(select(prekey).order_by(prekey.c.epoch))
    return [
        OwnPrekey(
            epoch=row.epoch,
            made_at=row.made_at,
            logged_at=row.logged_at,
            state=_state(row.state),
            statement=_statement(tx, row),
        )
        for row in rows
    ]


def _state(stored: str) -> PrekeyState:
    """Return how far it has come; where that is not known its seed is kept as that of one that others may use."""
    try:
        return named(PrekeyState, stored)
    except DAMAGED:
        return PrekeyState.LOGGED


def _statement(tx: Transaction, row: Row[Any]) -> bytes:
    try:
        return tx.vault.open(_PLACE, str(row.epoch).encode(), row.sealed)
    except DAMAGED:
        return b""


async def add(tx: Transaction, own: OwnPrekey) -> None:
    """Store a new prekey; its epoch must be new."""
    sealed = tx.vault.seal(_PLACE, str(own.epoch).encode(), own.statement)
    await tx.connection.execute(
        insert(prekey).values(
            epoch=own.epoch, made_at=own.made_at, logged_at=own.logged_at, state=own.state, sealed=sealed
        )
    )


async def logged(tx: Transaction, epoch: int, at: int) -> None:
    """Note that the log has the prekey of `epoch`, seen at `at`."""
    await tx.connection.execute(
        update(prekey)
        .where(prekey.c.epoch == epoch, prekey.c.state == PrekeyState.MADE)
        .values(state=PrekeyState.LOGGED, logged_at=at)
    )


async def destroyed(tx: Transaction, epoch: int) -> None:
    """Note that the seed of `epoch` is gone."""
    await tx.connection.execute(update(prekey).where(prekey.c.epoch == epoch).values(state=PrekeyState.DESTROYED))


async def forget_all(tx: Transaction) -> None:
    """Forget every prekey: they were another device's, and their seeds are not here (BAK-3)."""
    await tx.connection.execute(delete(prekey))
