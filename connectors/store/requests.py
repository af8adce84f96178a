# SPDX-License-Identifier: Apache-2.0
"""Answers given under an Idempotency-Key: the same request again gets the stored answer, not a second effect."""

import hashlib
from collections.abc import Collection
from typing import Final

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.faults import DAMAGED
from connectors.store.engine import Transaction
from connectors.store.tables import dropped, request
from protocol.errors import Conflict, IdempotencyKeyReused
from protocol.limits import DAY

KEPT: Final = 7 * DAY
"""Milliseconds: links may be down for days (conventions of the interface)."""

FILES_KEPT: Final = 366 * DAY
"""Milliseconds: after which a file that was begun and never put aside is not expected any more."""
GONE_KEPT: Final = 30 * DAY
"""Milliseconds after its begin that one which is gone is still expected: a share may be away for weeks."""

_PLACE: Final = "request"

_KEEP: Final = insert(request)
_EMPTY: Final = update(request).where(request.c.key == bindparam("which"))
_FIND: Final = select(request).where(request.c.key == bindparam("which"))
_FORGET: Final = delete(request).where(
    request.c.created_at < bindparam("before"),
    # Of what was given since the oldest file was begun that still lies there: it comes again (DRP-2).
    request.c.created_at < func.coalesce(select(func.min(dropped.c.begun_at)).scalar_subquery(), bindparam("before")),
)
_BEGIN_FILES: Final = upsert(dropped).on_conflict_do_nothing(index_elements=dropped.primary_key)
_END_FILES: Final = delete(dropped).where(dropped.c.name.in_(bindparam("which", expanding=True)))
_FILES_BEGUN: Final = select(dropped.c.name).where(dropped.c.begun_at < bindparam("before"))
_FORGET_FILES: Final = delete(dropped).where(dropped.c.begun_at < bindparam("before"))


def request_key(operation: str, key: str, desks: Collection[str] | None = None) -> bytes:
    """Return what a key is stored under: it counts for one operation, and for the `desks` that its token is bound to.

    A program of one desk must never be answered with what another desk sent under the same key (CON-19). Tokens that
    are bound alike, or not at all, share their keys, so that a program does nothing twice under a new token.
    """
    bound = "" if desks is None else "\0" + " ".join(sorted(desks))
    return hashlib.sha256(f"{operation}\0{key}{bound}".encode()).digest()


async def answer(tx: Transaction, key: bytes, body: bytes) -> bytes | None:
    """Return the answer stored under `key`, or None if there is none.

    Raises `IdempotencyKeyReused` if it was given to another body, and `Conflict` where it is damaged: what was asked
    for was done, and must not be done twice for want of an answer (CON-8).
    """
    row = (await tx.connection.execute(_FIND, {"which": key})).one_or_none()
    if row is None:
        return None
    if row.fingerprint != hashlib.sha256(body).digest():
        raise IdempotencyKeyReused
    try:
        return tx.vault.open(_PLACE, key, row.sealed)
    except DAMAGED:
        raise Conflict(
            "This was done before, and what was answered then cannot be read any more. Look at what was sent or "
            "stored before you ask for it again."
        ) from None


async def keep(tx: Transaction, key: bytes, body: bytes, answered: bytes, now: int) -> None:
    """Store the answer in the transaction that did what was asked, so that both happen or neither."""
    values = {
        "key": key,
        "fingerprint": hashlib.sha256(body).digest(),
        "created_at": now,
        "sealed": tx.vault.seal(_PLACE, key, answered),
    }
    await tx.connection.execute(_KEEP, values)


async def empty(tx: Transaction, key: bytes) -> None:
    """Forget what was answered under `key`, but not that it was: the answer is empty from now on."""
    await tx.connection.execute(_EMPTY, {"which": key, "sealed": tx.vault.seal(_PLACE, key, b"")})


def file_name(name: str) -> bytes:
    """Return what a dropped file is known by."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


async def begin_files(tx: Transaction, names: Collection[bytes], now: int) -> None:
    """Note that these dropped files are taken from now on: what they are answered is kept until they are put aside."""
    await tx.connection.execute(_BEGIN_FILES, [{"name": name, "begun_at": now} for name in names])


async def end_files(tx: Transaction, names: Collection[bytes]) -> None:
    """Note that these dropped files were put aside."""
    await tx.connection.execute(_END_FILES, {"which": list(names)})


async def files_begun(tx: Transaction, before: int) -> set[bytes]:
    """Return the dropped files that were begun before `before` (ms UTC) and not put aside."""
    return set((await tx.connection.execute(_FILES_BEGUN, {"before": before})).scalars())


async def forget_old(tx: Transaction, now: int) -> None:
    """Drop answers that are over seven days old, but none that a dropped file may still come again for."""
    await tx.connection.execute(_FORGET_FILES, {"before": now - FILES_KEPT})
    await tx.connection.execute(_FORGET, {"before": now - KEPT})
