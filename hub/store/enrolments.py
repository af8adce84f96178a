# SPDX-License-Identifier: Apache-2.0
"""Enrolment codes by their id, and the key request that redeemed each (ENR-2)."""

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select

from hub.store.tables import code, key_request
from protocol.ids import CodeId


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A key request as received, with its MAC, and when (ms UTC)."""

    request: bytes = field(repr=False)
    mac: bytes = field(repr=False)
    received_at: int


def registration(connection: Connection, code_id: CodeId) -> bytes | None:
    """Return what the authority signed for this code, or None for an unknown code."""
    found: bytes | None = connection.scalar(select(code.c.registration).where(code.c.code_id == code_id))
    return found


def register(connection: Connection, code_id: CodeId, registration: bytes, expires: int) -> None:
    """Store a new code."""
    connection.execute(insert(code), {"code_id": code_id, "registration": registration, "expires": expires})


def request_of(connection: Connection, code_id: CodeId) -> StoredRequest | None:
    """Return the key request that redeemed this code, or None."""
    row = connection.execute(select(key_request).where(key_request.c.code_id == code_id)).one_or_none()
    return None if row is None else StoredRequest(row.request, row.mac, row.received_at)


def redeem(connection: Connection, code_id: CodeId, request: StoredRequest) -> None:
    """Store the one key request of this code."""
    connection.execute(
        insert(key_request),
        {
            "code_id": code_id,
            "request": request.request,
            "mac": request.mac,
            "received_at": request.received_at,
        },
    )


def void_unused(connection: Connection) -> int:
    """Delete the codes that nobody has used as far as is known, and return how many there were (GEN-6)."""
    used = select(key_request.c.code_id)
    return connection.execute(delete(code).where(code.c.code_id.not_in(used))).rowcount
