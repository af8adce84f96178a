# SPDX-License-Identifier: Apache-2.0
"""Which faults are the machine's and pass, and which a row's or file's own: those hold up nothing else (CON-8)."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from protocol.address import DeskAddress, parse_desk
from protocol.errors import InvalidInput, KeystoreError, MalformedEnvelope, OurError, StoreDamaged

TRANSIENT: Final = (OurError, SQLAlchemyError, sqlite3.Error, OSError, MemoryError)
"""Faults of the machine: they pass, and what waits stays as it is."""
DAMAGED: Final = (KeystoreError, MalformedEnvelope)
"""What reading something says that the disk has damaged."""

NO_DESK: Final = DeskAddress("damaged.damaged@damaged.invalid")
"""What is shown where a stored desk cannot be read: no such domain can ever be."""

_Named = TypeVar("_Named", bound=Enum)


@contextmanager
def telling_damage(*kinds: type[Exception]) -> Iterator[None]:
    """Have errors of `kinds`, by which a caller meets what the disk has damaged, told as `StoreDamaged` (CON-28)."""
    try:
        yield
    except kinds as error:
        raise StoreDamaged from error


def is_desk(stored: object) -> bool:
    """Tell whether what stands where a desk was stored is the address of one."""
    try:
        parse_desk(str(stored))
    except InvalidInput:
        return False
    return True


def desk_of_row(stored: DeskAddress) -> DeskAddress:
    """Return the desk that was stored, or `NO_DESK` where the disk has left none."""
    return stored if is_desk(stored) else NO_DESK


def named(names: type[_Named], stored: object) -> _Named:
    """Return which of `names` was stored; `KeystoreError` for a value that this program never stores."""
    try:
        return names(stored)
    except ValueError:
        raise KeystoreError("A stored row says what no program writes: the store is damaged.") from None
