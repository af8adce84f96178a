# SPDX-License-Identifier: Apache-2.0
"""Tokens of the local interface: the hash of each secret, and for what it is good (CON-14)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, func, insert, or_, select, update

from connectors.faults import DAMAGED
from connectors.store.engine import Transaction
from connectors.store.tables import token
from protocol import cbor
from protocol.address import MAX_ADDRESS, DeskAddress, parse_desk
from protocol.errors import KeystoreError
from protocol.ids import TokenId
from protocol.limits import DAY, HASH
from protocol.shapes import as_bytes, as_int, as_list, as_text, as_tuple

KEPT: Final = 90 * DAY
"""Milliseconds for which a token that ended or was revoked is still shown."""

DAMAGED_NAME: Final = "damaged"
"""How a token is called whose row cannot be read any more."""

_PLACE: Final = "token"
_MOST: Final = 32_768
MAX_DESKS: Final = 100
"""Desks that one token can be bound to."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token; times in ms UTC. `asked_by` is under what the answer to its making is kept (CON-14).

    `desks` are those of ours to which it is bound; none is all of them (CON-19).
    """

    token_id: TokenId
    digest: bytes
    name: str
    scopes: tuple[str, ...]
    made_at: int
    ends_at: int
    revoked_at: int | None = None
    asked_by: bytes | None = None
    desks: tuple[DeskAddress, ...] = ()

    def counts(self, now: int) -> bool:
        """Say whether it is good for anything at `now`."""
        return self.revoked_at is None and now < self.ends_at


_ADD: Final = insert(token)
_BY_DIGEST: Final = select(token).where(token.c.digest == bindparam("which"))
_BY_ID: Final = select(token).where(token.c.token_id == bindparam("which"))
_EVERY: Final = select(token).order_by(token.c.made_at.desc(), token.c.token_id)
_IN_FORCE: Final = (
    select(func.count()).select_from(token).where(token.c.revoked_at.is_(None), token.c.ends_at > bindparam("now"))
)
_REVOKE: Final = update(token).where(token.c.token_id == bindparam("which"), token.c.revoked_at.is_(None))
_FORGET: Final = delete(token).where(
    or_(token.c.ends_at < bindparam("before"), token.c.revoked_at < bindparam("before"))
)


async def add(tx: Transaction, row: TokenRow) -> None:
    """Store a new token."""
    # Also what stands in clear: whoever can write to the file must not make one good for more, or for longer.
    held = cbor.encode([row.name, list(row.scopes), row.digest, row.ends_at, row.asked_by, list(row.desks)])
    values = {
        "token_id": row.token_id,
        "digest": row.digest,
        "made_at": row.made_at,
        "ends_at": row.ends_at,
        "revoked_at": row.revoked_at,
        "sealed": tx.vault.seal(_PLACE, row.token_id, held),
    }
    await tx.connection.execute(_ADD, values)


async def by_digest(tx: Transaction, digest: bytes) -> TokenRow | None:
    """Return the token whose secret has that hash, or None."""
    row = (await tx.connection.execute(_BY_DIGEST, {"which": digest})).one_or_none()
    return None if row is None else _row(tx, row)


async def by_id(tx: Transaction, token_id: TokenId) -> TokenRow | None:
    """Return the token of that id, or None; it may be damaged, as in the list."""
    row = (await tx.connection.execute(_BY_ID, {"which": token_id})).one_or_none()
    return None if row is None else _listed(tx, row)


async def every(tx: Transaction) -> Sequence[TokenRow]:
    """Return all tokens, the newest first; one that cannot be read any more is good for nothing (CON-8)."""
    rows = await tx.connection.execute(_EVERY)
    return [_listed(tx, row) for row in rows]


async def in_force(tx: Transaction, now: int) -> int:
    """Return how many tokens count at `now`."""
    return (await tx.connection.execute(_IN_FORCE, {"now": now})).scalar_one()


async def revoke(tx: Transaction, token_id: TokenId, at: int) -> None:
    """End a token; one that is revoked already stays as it is."""
    await tx.connection.execute(_REVOKE, {"which": token_id, "revoked_at": at})


async def forget_old(tx: Transaction, now: int) -> None:
    """Drop tokens that were good for nothing for long."""
    await tx.connection.execute(_FORGET, {"before": now - KEPT})


def _listed(tx: Transaction, row: Row[Any]) -> TokenRow:
    try:
        return _row(tx, row)
    except DAMAGED:
        return TokenRow(row.token_id, row.digest, DAMAGED_NAME, (), row.made_at, row.ends_at, row.revoked_at)


def _row(tx: Transaction, row: Row[Any]) -> TokenRow:
    opened = tx.vault.open(_PLACE, row.token_id, row.sealed)
    held = as_list(cbor.decode(opened, limit=_MOST), most=6)
    (name, scopes, digest, ends_at), more = as_tuple(held[:4], 4), held[4:]
    if (as_bytes(digest, size=HASH), as_int(ends_at)) != (row.digest, row.ends_at):
        raise KeystoreError("A stored token is not as it was made: the store was altered.")
    return TokenRow(
        token_id=row.token_id,
        digest=row.digest,
        name=as_text(name, most=60),
        scopes=tuple(as_text(one, most=20) for one in as_list(scopes, most=20)),
        made_at=row.made_at,
        ends_at=row.ends_at,
        revoked_at=row.revoked_at,
        # A token from before these were kept has neither.
        asked_by=as_bytes(more[0], size=HASH) if more and more[0] is not None else None,
        desks=tuple(parse_desk(as_text(one, most=MAX_ADDRESS)) for one in as_list(more[1], most=MAX_DESKS))
        if more[1:]
        else (),
    )
