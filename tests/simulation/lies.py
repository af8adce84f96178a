# SPDX-License-Identifier: Apache-2.0
"""What a malicious operator does to mail and directory, with the hub's keys and nobody's secrets besides."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from hub.app import Hub
from protocol.errors import ThroughcareError
from protocol.frames import Item, ItemKind
from protocol.ids import KeyId
from protocol.slices import parse_slice
from tests.connectors.tampering import TAMPERINGS, rebuilt, with_receipt
from tests.simulation.machines import Nature


class Liar:
    """Bends what a hub shows. What it makes up itself it remembers, so that the oracle can look for it."""

    def __init__(self, nature: Nature) -> None:
        self._nature = nature
        self._stopped = False
        self.forged: set[bytes] = set()
        """SHA-256 of every item that no agency has made."""
        self._elsewhere: dict[KeyId, list[Item]] = {}
        self._old_head: bytes | None = None

    def honest(self) -> None:
        """Lie no more."""
        self._stopped = True

    def corrupt(self, hub: Hub) -> None:
        """Make `hub` lie from now on, in a seed in which its operator is malicious."""
        if not self._nature.faults.lying:
            return
        mailboxes, directory = hub.mailboxes, hub.directory
        read, head = mailboxes.read, directory.head

        async def bent_read(device_id: KeyId, cursor: int, most: int, most_bytes: int | None = None) -> list[Item]:
            return self._bend(device_id, await read(device_id, cursor, most, most_bytes))

        async def bent_head() -> bytes:
            newest = await head()
            if self._old_head is None or self._stopped or not self._happens("lie-older-directory"):
                self._old_head = self._old_head or newest
                return newest
            return self._old_head

        mailboxes.read = bent_read  # type: ignore[method-assign] # a malicious operator changes his program
        directory.head = bent_head  # type: ignore[method-assign]

    def _happens(self, name: str) -> bool:
        return not self._stopped and self._nature.faults.happens(name)

    def _bend(self, device_id: KeyId, items: list[Item]) -> list[Item]:
        if not items or self._stopped:
            return items
        genuine = list(items)
        others = [item for device, kept in sorted(self._elsewhere.items()) if device != device_id for item in kept]
        for name, lie in self._lies(others).items():
            if items and self._happens(name):
                self._nature.history.note("hub", f"lies to {device_id.hex()[:6]}: {name.removeprefix('lie-')}")
                items = lie(items)
        self._elsewhere[device_id] = genuine[-3:]
        return items

    def _lies(self, others: list[Item]) -> dict[str, Callable[[list[Item]], list[Item]]]:
        return {
            "lie-withheld": lambda items: [],
            "lie-dropped": self._without_one,
            "lie-damaged": self._damaged,
            "lie-spliced": lambda items: self._spliced(items, others),
            "lie-swapped": lambda items: [*items, *(replace(one, index=items[-1].index) for one in others[:1])],
            "lie-reordered": lambda items: list(reversed(items)),
            "lie-repeated": lambda items: [*items, *items],
        }

    def _without_one(self, items: list[Item]) -> list[Item]:
        place = self._nature.faults.number(len(items))
        return items[:place] + items[place + 1 :]

    def _damaged(self, items: list[Item]) -> list[Item]:
        faults = self._nature.faults
        place = faults.number(len(items))
        tampering = sorted(TAMPERINGS)[faults.number(len(TAMPERINGS))]
        signed = faults.number(2) == 1

        def damage(data: bytes) -> bytes:
            changed = TAMPERINGS[tampering](data)
            return with_receipt(changed) if signed else changed

        return [*items[:place], *self._forge(items[place], damage), *items[place + 1 :]]

    def _spliced(self, items: list[Item], others: list[Item]) -> list[Item]:
        sources = [one for one in (*items, *others) if one.kind is ItemKind.SLICE]
        other = parse_slice(sources[self._nature.faults.number(len(sources))].data) if sources else None
        if other is None:
            return items
        parts: dict[str, object] = {"wrap": other.wrap, "sections": other.sections, "receipt": other.receipt}
        name = sorted(parts)[self._nature.faults.number(len(parts))]
        return [one for item in items for one in self._forge(item, lambda data: rebuilt(data, **{name: parts[name]}))]

    def _forge(self, item: Item, change: Callable[[bytes], bytes]) -> list[Item]:
        """Return the item changed, and remember it; what cannot be changed stays."""
        if item.kind is not ItemKind.SLICE:
            return [item]
        try:
            changed = change(item.data)
        except (ThroughcareError, KeyError, ValueError):
            return [item]
        if changed == item.data:
            return [item]
        self.forged.add(hashlib.sha256(changed).digest())
        return [replace(item, data=changed)]
