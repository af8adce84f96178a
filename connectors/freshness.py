# SPDX-License-Identifier: Apache-2.0
"""Whether the directory that is here is fresh enough to seal by, and how that is told (DIR-11)."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from protocol.errors import ClockSkewed, DirectoryInconsistent, DirectoryStale
from protocol.limits import CLOCK_SKEW, DIRECTORY_MARKED, DIRECTORY_REFUSED
from protocol.receipts import Head


class Freshness(StrEnum):
    """Whether the directory is good enough to seal by (DIR-11)."""

    NORMAL = "normal"
    MARKED = "marked"
    STALE = "stale"
    INCONSISTENT = "inconsistent"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the directory stands; times in ms UTC."""

    freshness: Freshness
    size: int
    confirmed_at: int | None
    clock_difference: int | None
    error: str | None


def is_marked(head: Head | None, now: int, difference: int | None) -> bool:
    """Return whether what is sealed at `now` (ms UTC) by the directory of `head` is marked, or refuse to seal (DIR-11).

    `difference` is by how many ms the hub's clock was ahead of this machine's, None where the hub has not been asked.
    Raises `ClockSkewed` if that is over 10 minutes either way, `DirectoryStale` if the head is over 72 hours old.
    """
    if difference is not None and abs(difference) > CLOCK_SKEW:
        raise ClockSkewed
    if head is None:
        raise DirectoryStale
    age = now - head.at
    if age < -CLOCK_SKEW:
        raise ClockSkewed
    if age > DIRECTORY_REFUSED:
        raise DirectoryStale
    return age > DIRECTORY_MARKED


def freshness_by(check: Callable[[], bool]) -> tuple[Freshness, str | None]:
    """Return how fresh `check` finds the directory, which tells whether to mark or refuses, and the refusal's code."""
    try:
        return (Freshness.MARKED if check() else Freshness.NORMAL), None
    except DirectoryInconsistent as refusal:
        return Freshness.INCONSISTENT, refusal.code
    except (DirectoryStale, ClockSkewed) as refusal:
        return Freshness.STALE, refusal.code
