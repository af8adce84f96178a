# SPDX-License-Identifier: Apache-2.0
"""Cursors of lists: places that nobody but this connector can make or read."""

from connectors.store.engine import Transaction
from connectors.store.history import Entry
from protocol import cbor
from protocol.errors import InvalidInput, KeystoreError, MalformedEnvelope
from protocol.http.fields import decode_base64url, encode_base64url
from protocol.shapes import as_int, as_list, as_text, as_tuple

_MOST = 8


def seal(tx: Transaction, purpose: str, place: list[cbor.Value]) -> str:
    """Return a place in the list `purpose` as text."""
    return encode_base64url(tx.vault.seal(purpose, b"", cbor.encode(place)))


def unseal(tx: Transaction, purpose: str, cursor: str) -> list[cbor.Value]:
    """Return the place that `seal` wrote, or raise `InvalidInput`."""
    try:
        return as_list(cbor.decode(tx.vault.open(purpose, b"", decode_base64url(cursor)), limit=200), most=_MOST)
    except (KeystoreError, InvalidInput, MalformedEnvelope):
        raise InvalidInput("The cursor is not one that this connector gave.") from None


def text(tx: Transaction, purpose: str, entry: Entry) -> str:
    """Return the cursor of an entry of a history."""
    return seal(tx, purpose, [entry.at, entry.direction, entry.position])


def entry(tx: Transaction, purpose: str, cursor: str | None) -> Entry | None:
    """Return the entry whose cursor this is; None for the beginning."""
    if cursor is None:
        return None
    at, direction, position = as_tuple(unseal(tx, purpose, cursor), 3)
    return Entry(as_int(at), as_text(direction, most=10), as_int(position))
