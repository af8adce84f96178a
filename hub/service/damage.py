# SPDX-License-Identifier: Apache-2.0
"""How a check names what it found damaged, and what to do about it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from protocol.errors import InternalError, StoreBehind, ThroughcareError

NEXT = "Do not go on with it: restore the newest backup that is sound (`throughcare-hub restore`)."
"""What to do, at the end of every StoreBehind that a check raises."""
GO_BACK = "Stop the hub; `throughcare-hub restore` goes on from the newest backup, or from what is left (`--in-place`)."
"""What to do instead where the database is sound and has only lost the newest that was signed."""


UNREADABLE = (ThroughcareError, ValueError, TypeError, AttributeError, LookupError, OverflowError)
"""What reading damaged values leads to. In SQLite's file one bit makes bytes a text, or a number."""


class EntryDamaged(InternalError):
    """What is stored of an audit entry is not what its leaf commits to: no receipt can be made of it (AUD-5)."""


def damaged(what: str) -> StoreBehind:
    """Return the error that says that `what` is damaged."""
    return StoreBehind(f"{what} is damaged. {NEXT}")


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Turn whatever damaged values lead to inside the block into the error that names `what`."""
    try:
        yield
    except StoreBehind:
        raise
    except UNREADABLE as error:
        raise damaged(what) from error


def require(condition: object, what: str) -> None:
    """Raise the error that names `what` unless `condition` holds."""
    if not condition:
        raise damaged(what)


def no_gap(indexes: Sequence[int], start: int) -> None:
    """Raise StoreBehind that names the first leaf missing from `start` on.

    Indexes ascend and none is there twice, so the last one tells whether one is missing.
    """
    if indexes[-1] != start + len(indexes) - 1:
        missing = next(expected for expected, index in enumerate(indexes, start) if index != expected)
        raise StoreBehind(f"Leaf {missing} of a log is missing. {NEXT}")
