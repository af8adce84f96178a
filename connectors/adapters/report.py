# SPDX-License-Identifier: Apache-2.0
"""What became of every leaf of an export: sent, left out on purpose, or not understood.

The report names places, never values (ERR-2): it is shown to the officer who sends, and may stand in a log.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from connectors.adapters.traced import displayed, leaves

UNREAD = "nothing in the mapping reads it"
MAX_REPORTED = 2_000
"""Entries of a report: more than an officer reads, and what the local interface takes."""
MAX_PATH = 400
MAX_REASON = 200
NOT_JSON = "it is not a JSON file, so it was not read"
NOT_THERE = "the file is not there, so nothing of what it would hold is sent"
NO_RECORD = "the file holds no record, so nothing of what it would hold is sent"
NOTHING_FOUND = "the export has nothing for this section, so it is not sent"


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A place of the export, as `file-stem/key/0/key`, and why its content was not taken as it stands."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """How many leaves the mapping leaves out on purpose, for one reason."""

    reason: str
    count: int


@dataclass(slots=True)
class Report:
    """Collects what happens to leaves while a mapping is applied."""

    document: dict[str, Any] = field(repr=False)
    unread: str = UNREAD
    """The reason told of a leaf that nothing took, ignored or doubted."""
    _leaves: dict[str, int] = field(init=False)
    _taken: set[str] = field(default_factory=set)
    _ignored: dict[str, str] = field(default_factory=dict)
    _doubts: dict[NotUnderstood, None] = field(default_factory=dict)
    _doubted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._leaves = {path: place for place, path in enumerate(leaves(self.document))}

    def has(self, path: str) -> bool:
        """Tell whether `path` is a leaf that holds something."""
        return path in self._leaves

    def open(self, paths: Iterable[str]) -> bool:
        """Tell whether something is at `paths` of which nothing was said yet."""
        told = (self._taken, self._ignored, self._doubted)
        return any(path in self._leaves and not any(path in one for one in told) for path in paths)

    def take(self, paths: Iterable[str]) -> None:
        """Note leaves that were understood."""
        self._taken.update(paths)

    def doubt(self, paths: Iterable[str], reason: str) -> None:
        """Note leaves that hold something the mapping could not take as it stands."""
        for path in paths:
            if path in self._leaves:
                self.doubt_place(path, reason)

    def doubt_place(self, path: str, reason: str) -> None:
        """Note a place that is no leaf: an object or a list of the export, or a file beside it."""
        self._doubts[NotUnderstood(path, reason)] = None
        self._doubted.add(path)

    def ignore(self, paths: Iterable[str], reason: str) -> None:
        """Note leaves that are left out on purpose; the first reason counts."""
        for path in paths:
            if path in self._leaves:
                self._ignored.setdefault(path, reason)

    def ignored(self) -> tuple[Ignored, ...]:
        """Return the reasons for which leaves were left out, each with its count; what was sent is not counted."""
        counts: dict[str, int] = {}
        for path, reason in self._ignored.items():
            if path not in self._taken:
                counts[reason] = counts.get(reason, 0) + 1
        return tuple(Ignored(reason, count) for reason, count in counts.items())

    def not_understood(self) -> tuple[NotUnderstood, ...]:
        """Return what was doubtful and every leaf that was neither taken nor ignored, in the export's order.

        Beyond `MAX_REPORTED` places those that differ only in a list's index are told together, and if that is
        not enough the last entry says how many more there are.
        """
        unread = [
            NotUnderstood(path, self.unread)
            for path in self._leaves
            if path not in self._taken and path not in self._ignored and path not in self._doubted
        ]
        last = len(self._leaves)
        found = sorted([*self._doubts, *unread], key=lambda n: (self._leaves.get(n.path, last), n.path, n.reason))
        if len(found) > MAX_REPORTED:
            found = _together(found)
        if len(found) > MAX_REPORTED:
            more = len(found) - MAX_REPORTED + 1
            found = [*found[: MAX_REPORTED - 1], NotUnderstood("…", f"and {more} more places")]
        return tuple(NotUnderstood(_short(displayed(n.path), MAX_PATH), _short(n.reason, MAX_REASON)) for n in found)


def _together(found: list[NotUnderstood]) -> list[NotUnderstood]:
    counts: dict[NotUnderstood, int] = {}
    for each in found:
        place = "/".join("*" if part.isdecimal() else part for part in each.path.split("/"))
        alike = NotUnderstood(place, each.reason)
        counts[alike] = counts.get(alike, 0) + 1
    return [n if count == 1 else NotUnderstood(n.path, f"{n.reason} ({count} places)") for n, count in counts.items()]


def _short(text: str, most: int) -> str:
    half = most // 2
    return text if len(text) <= most else f"{text[: half - 1]}…{text[-half:]}"
