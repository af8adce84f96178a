# SPDX-License-Identifier: Apache-2.0
"""What the messages of a thread say of its case: values only, and how they come together (CAS-1).

What is known of a thread only grows: `merge` gives the same whatever the order in which messages are taken note of,
and however often, so a replay of the stored messages ends where the first time did (CAS-2).
"""

from dataclasses import dataclass, fields, replace
from typing import Final

from connectors.numbering import telling
from protocol import cbor, limits
from protocol.ids import CaseId, MessageId, ThreadId
from protocol.shapes import as_bytes, as_int, as_list, as_text, as_tuple

NUMBER_OURS: Final = 1
PERSON_OURS: Final = 2
WITHHELD: Final = 4
"""Of a thread that came and was entered in error: what it says leads no other thread anywhere (CON-26)."""
OTHER_OURS: Final = 8
BEGAN: Final = 16
"""Of a thread that our own agency began."""


@dataclass(frozen=True, slots=True, order=True)
class Stated:
    """Something that a message says. What our own agency says counts before what another says."""

    ours: bool
    at: int
    message_id: MessageId
    values: tuple[str, ...]

    def value(self) -> cbor.Value:
        """Return the stored form."""
        return [int(self.ours), self.at, self.message_id, list(self.values)]

    @classmethod
    def of(cls, stored: cbor.Value) -> "Stated":
        """Read it again."""
        ours, at, message_id, values = as_tuple(stored, 4)
        return cls(
            bool(as_int(ours)),
            as_int(at),
            MessageId(as_bytes(message_id)),
            tuple(as_text(one, most=limits.MAX_NAME * 10) for one in as_list(values, most=8)),
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the messages of one thread say, each the newest of its kind.

    `number` is our register's number of the correspondence, `other_number` another agency and its own; `own_person`
    the person's number in our register, `other_person` another agency and its own; `link` a thread that this one goes
    on from; `name` the family name, the given names and the date of birth, as far as they are known.
    """

    number: Stated | None = None
    other_number: Stated | None = None
    own_person: Stated | None = None
    other_person: Stated | None = None
    link: Stated | None = None
    name: Stated | None = None

    def value(self) -> cbor.Value:
        """Return the stored form."""
        known = ((place, getattr(self, one.name)) for place, one in enumerate(fields(self)))
        return [[place, stated.value()] for place, stated in known if stated is not None]

    @classmethod
    def of(cls, stored: cbor.Value) -> "Facts":
        """Read it again."""
        names = [one.name for one in fields(cls)]
        found = {}
        for item in as_list(stored, most=len(names)):
            place, stated = as_tuple(item, 2)
            found[names[as_int(place, most=len(names) - 1)]] = Stated.of(stated)
        return cls(**found)


_NUMBERS: Final = frozenset({"number", "other_number", "own_person", "other_person"})


def merge(one: Facts, other: Facts) -> Facts:
    """Return what both say together; what only stands for a number takes the place of none that was said (CAS-7)."""
    changed = {}
    for name in (field.name for field in fields(Facts)):
        mine, theirs = getattr(one, name), getattr(other, name)
        if theirs is not None and (mine is None or _rank(name, theirs) > _rank(name, mine)):
            changed[name] = theirs
    return replace(one, **changed)


def _rank(name: str, stated: Stated) -> tuple[bool, Stated]:
    return name not in _NUMBERS or telling(stated.values[-1]), stated


@dataclass(frozen=True, slots=True)
class CaseThread:
    """One thread in its case; times in ms UTC. The keys are keyed hashes of what the facts name.

    `ours` says which of them our own agency said, whether it began the thread, or that the thread is withheld and none
    of them leads.
    """

    thread: ThreadId
    case_id: CaseId
    begun_at: int
    changed_at: int
    facts: Facts
    own_person: bytes | None = None
    other_person: bytes | None = None
    number: bytes | None = None
    link: ThreadId | None = None
    ours: int = 0
    damaged: bool = False
    """What it says cannot be read any more; the keys stand in clear."""

    @property
    def keys(self) -> tuple[bytes | None, bytes | None, bytes | None, ThreadId | None, int]:
        """What decides the case."""
        return self.own_person, self.other_person, self.number, self.link, self.ours
