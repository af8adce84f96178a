# SPDX-License-Identifier: Apache-2.0
"""Which faults are the machine's and pass, and which a row's or file's own: those hold up nothing else (CON-8)."""

import sqlite3
from enum import Enum
from typing import Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from protocol.errors import KeystoreError, MalformedEnvelope, OurError

TRANSIENT: Final = (OurError, SQLAlchemyError, sqlite3.Error, OSError, MemoryError)
"""Faults of the machine: they pass, and what waits stays as it is."""
DAMAGED: Final = (KeystoreError, MalformedEnvelope)
"""What reading something says that the disk has damaged."""

_Named = TypeVar("_Named", bound=Enum)


def named(names: type[_Named], stored: object) -> _Named:
    """Return which of `names` was stored; `KeystoreError` for a value that this program never stores."""
    try:
        return names(stored)
    except ValueError:
        raise KeystoreError("A stored row says what no program writes: the store is damaged.") from None
