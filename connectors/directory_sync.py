# SPDX-License-Identifier: Apache-2.0
"""This connector's own copy of the directory: replayed whole, verified statement by statement, never taken on trust.

What the hub shows must continue what was seen before (DIR-10). Whatever does not is refused, stops sealing and
is shown; opening goes on with what is verified. Two signed heads that contradict each other are evidence against
the hub, and sealing stays stopped until a person has looked at it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from connectors import fork
from connectors.faults import DAMAGED
from connectors.fork import SIGNED_HEAD
from connectors.freshness import Standing, freshness_by, is_marked
from connectors.hub_restored import agreed, check_minimum, check_restored, hand_back, kept_of
from connectors.hub_signers import Signing, lacking
from connectors.logs import Log
from connectors.store import facts, statements
from connectors.store.engine import Store, Transaction
from connectors.timing import Clock
from keys.directory import Directory
from keys.verifying import head_generation, verify_head
from protocol import cbor
from protocol.clockwatch import ClockWatch
from protocol.contradiction import Form
from protocol.errors import (
    ClockSkewed,
    DirectoryError,
    DirectoryInconsistent,
    DirectorySplit,
    EnvelopeError,
    KeystoreError,
)
from protocol.generations import generation_in, origin_of
from protocol.http.hub import HubInfo
from protocol.limits import CLOCK_SKEW
from protocol.receipts import Head, ReceiptBody
from protocol.shapes import as_bytes, as_int, as_tuple

_HEAD: Final = "directory-head"
_MAX_FACT: Final = 16_384
_BREATH: Final = 50
"""Statements verified before other tasks get a turn: about 30 ms."""


class DirectorySource(Protocol):
    """Where the directory is read from; nothing it says is believed."""

    async def hub(self) -> HubInfo:
        """Return what the hub says about itself."""

    async def directory_head(self) -> bytes:
        """Return the newest signed head."""

    async def directory_statements(self, from_index: int) -> list[bytes]:
        """Return some of the statements from `from_index` on; none if there are none now."""

    async def submit_statement(self, statement: bytes) -> int:
        """Append a statement and return its index."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """What enrolment pinned of the directory (DIR-4, DIR-13, ENR-1)."""

    root_fingerprint: bytes
    domain: str
    origin: str
    key: bytes
    minimum_size: int


class DirectorySync:
    """Keeps the verified directory up to date. `load` comes first, then `sync` as often as one likes."""

    def __init__(
        self, store: Store, source: DirectorySource, pinned: Pinned, clock: Clock, log: Log, watch: ClockWatch
    ) -> None:
        """Nothing is read before `load`; `watch` is told the hub's time at each look."""
        self._store = store
        self._source = source
        self._pinned = pinned
        self._clock = clock
        self._log = log
        self._watch = watch
        self._directory = self._empty()
        self._head: Head | None = None
        self._lost: Head | None = None
        self._refused: DirectoryError | None = None
        self._forked = False
        self._waiting = False
        """Whether something signed is kept that may turn out to be a lie when the directory comes to its size."""
        self._clock_difference: int | None = None
        self._turn = asyncio.Lock()
        self.wanted = asyncio.Event()
        """Set when somebody needs a newer directory than the one that is here."""

    @property
    def directory(self) -> Directory:
        """The verified directory, perhaps while it is being replayed; to seal or open by it, use `settled`."""
        return self._directory

    @asynccontextmanager
    async def settled(self) -> AsyncIterator[Directory]:
        """Give the directory as a signed head vouches for it: nobody replays while it is in use (DIR-10)."""
        async with self._turn:
            yield self._directory

    @property
    def clock_is_sound(self) -> bool:
        """Whether this machine's clock is known to be right: the hub told the same time, and it has not jumped since.

        Whatever cannot be undone waits for that (CON-23).
        """
        return self._watch.compared and self._watch.is_sound()

    @property
    def clock_is_wrong(self) -> bool:
        """Whether it is known to be wrong; before the first look at the hub neither may be known."""
        return not self._watch.is_sound()

    def time(self) -> int:
        """Return the time (ms UTC) for what is to last from now on: no clock that is behind may cut it short (CON-24).

        Where this machine's clock is behind what the hub told, or signed newest, that counts. Where it is ahead of it
        its own word does: nothing is lost by that, and a hub that lies of the time shortens nothing either.
        """
        now = self._clock()
        known = max(self._head.at if self._head else 0, self._watch.told() if self._watch.compared else 0)
        return known if known > now + CLOCK_SKEW else now

    def _empty(self) -> Directory:
        return Directory(self._pinned.root_fingerprint, self._pinned.domain)

    async def load(self) -> None:
        """Replay what this installation verified and stored before.

        What the disk has damaged is fetched anew at the next look, and nothing is sealed before: what the stored head
        says still binds the hub (DIR-10).
        """
        async with self._store.read() as tx:
            raws, whole = await statements.load_whole(tx)
            self._head = await _known_head(tx)
            self._forked = await fork.is_kept(tx)
            self._waiting = await fork.is_waiting(tx)
        self._directory = await self._replayed(raws)
        if not whole:
            self._log.event("part-failed", part="directory", code=KeystoreError.code)
            self._lost, self._head = self._head, None
        if self._head is not None and (self._head.size, self._head.root) != (
            self._directory.size,
            self._directory.root,
        ):
            raise DirectoryInconsistent("The stored directory is not complete. Restore the newest copy of the store.")

    async def _replayed(self, raws: list[bytes]) -> Directory:
        directory = self._empty()
        for index, raw in enumerate(raws):
            directory.apply(raw, verified=True)
            if index % _BREATH == 0:
                await asyncio.sleep(0)
        return directory

    async def sync(self) -> int:
        """Take one look at the hub's directory, replay what is new, and return how many statements that was.

        Raises `DirectoryInconsistent` for whatever contradicts what was seen or pinned (DIR-10), and
        `HubUnreachable` and the like if the hub does not answer; then what is known stays as it was.
        """
        async with self._turn:
            try:
                grown = await self._look()
            except (DirectoryError, EnvelopeError) as error:
                self._refused = error if isinstance(error, DirectoryError) else DirectoryInconsistent(error.detail)
                self._log.event("directory-inconsistent", code=error.code, size=self._directory.size)
                raise DirectoryInconsistent(error.detail) from error
            self._refused = None
        if grown:
            self._log.event("directory-synced", size=self._directory.size, count=grown)
        return grown

    async def _look(self, *, handed_back: bool = False) -> int:
        info = await self._source.hub()
        self._clock_difference = info.server_time - self._clock()
        if (info.directory.origin, info.directory.key) != (self._pinned.origin, self._pinned.key):
            raise DirectoryInconsistent("The hub names another directory log than the one that was pinned.")
        raw_head = await self._source.directory_head()
        # Not before: a hub that is not sure of its clock signs no head, and its time is not to be believed (AUD-11).
        self._watch.compare(info.server_time)
        generation = head_generation(raw_head, self._pinned.origin)
        head = verify_head(raw_head, origin_of(self._pinned.origin, generation), self._pinned.key)
        if head.at > self._clock() + CLOCK_SKEW:
            # Stored, it would outlive the lie or the wrong clock that made it.
            raise ClockSkewed("The directory's head is dated over 10 minutes ahead of this machine's clock.")
        known = self._directory.generation
        if generation < known:
            raise DirectoryInconsistent("The hub shows its directory as it was before it was restored.")
        kept, behind = self._directory.size, list[bytes]()
        if generation > known:
            kept, behind = await self._agreed(kept_of(info, known, kept))
        elif self._directory.root_at(head.size) not in (head.root, None):
            await self._keep_evidence(raw_head, stops=True)
            raise DirectorySplit("The hub signed two different directories of the same size.")
        elif head.size < (self._lost.size if self._lost else self._directory.size):
            await self._keep_evidence(raw_head, stops=False)
            raise DirectoryInconsistent("The hub shows an older directory than it showed before.")
        signing = Signing.of(self._directory, behind)
        try:
            lost = await self._cut(kept)
            new = await self._fetch(head)
            self._check_lost(known == generation)
            check_restored(self._directory, known, generation, kept if lost else None, signing, new, lost, behind)
            if generation > known and not await self._may_let_go([*lost, *behind]):
                if handed_back:
                    raise DirectoryInconsistent("The hub was restored, and does not show what it was given back.")
                await self._go_back()
                return await self._look(handed_back=True)
            check_minimum(self._directory, self._pinned.minimum_size)
            await self._store_progress(head, raw_head, kept, new)
        except BaseException as error:
            # Memory never runs ahead of what is stored, whatever failed: a lie, the disk, or a cancellation.
            await self._go_back()
            if isinstance(error, (DirectoryError, EnvelopeError)):
                # What came with it may be to blame; what the hub signed is its word all the same.
                await self._keep_evidence(raw_head, stops=False)
            raise
        return len(new)

    async def _agreed(self, kept: int) -> tuple[int, list[bytes]]:
        async with self._store.read() as tx:
            raws, _ = await statements.load_whole(tx)
            behind = await statements.load_behind(tx)
        return await agreed(self._source, raws, kept), behind

    async def _may_let_go(self, lost: list[bytes]) -> bool:
        """Hand back what the hub has `lost`; tell whether its directory is enough as it is, to let go of that here.

        It is not while it lacks who signs for the authority (GEN-9), or what enrolment pinned, which may be among that.
        """
        handed = await hand_back(self._source, self._directory, lost, self._log)
        if handed:
            self.wanted.set()
        small = handed > 0 and self._directory.size < self._pinned.minimum_size
        return not small and not any(lacking(self._directory, lost))

    async def _cut(self, kept: int) -> list[bytes]:
        """Go back to the first `kept` statements, in memory; return those that followed them here (GEN-4)."""
        if kept == self._directory.size:
            return []
        async with self._store.read() as tx:
            raws, _ = await statements.load_whole(tx)
        self._directory = await self._replayed(raws[:kept])
        return raws[kept:]

    async def _fetch(self, head: Head) -> list[bytes]:
        """Replay up to `head` and return the new statements, or raise if its root is not reached (DIR-10)."""
        new: list[bytes] = []
        while self._directory.size < head.size:
            page = await self._source.directory_statements(self._directory.size)
            if not page:
                raise DirectoryInconsistent("The hub withholds statements that its head counts.")
            for raw in page[: head.size - self._directory.size]:
                self._directory.apply(raw)
                new.append(raw)
                if len(new) % _BREATH == 0:
                    await asyncio.sleep(0)
        if self._directory.root != head.root:
            raise DirectoryInconsistent("The hub's statements do not add up to the head that it signed.")
        return new

    async def _go_back(self) -> None:
        if self._head is not None and (self._head.size, self._head.root) == (
            self._directory.size,
            self._directory.root,
        ):
            return
        async with self._store.read() as tx:
            raws, _ = await statements.load_whole(tx)
        self._directory = await self._replayed(raws)

    async def _store_progress(self, head: Head, raw_head: bytes, kept: int, new: list[bytes]) -> None:
        before = self._head or self._lost
        at = max(head.at, before.at if before else 0)
        newest = Head(head.origin, head.size, head.root, at)
        async with self._store.write() as tx:
            await statements.cut(tx, kept)
            await statements.append(tx, head.size - len(new), new)
            await facts.put(tx, SIGNED_HEAD, raw_head)
            await facts.put(tx, _HEAD, cbor.encode([head.size, head.root, at]))
            contradicted = self._waiting and await fork.settle(tx, self._directory)
            self._waiting = self._waiting and await fork.is_waiting(tx)
        self._head, self._lost = newest, None
        self._forked = self._forked or contradicted

    def _check_lost(self, same_generation: bool) -> None:
        """Compare what was fetched with what stood here before the disk damaged it (DIR-10)."""
        lost = self._lost
        if lost is not None and same_generation and self._directory.root_at(lost.size) != lost.root:
            raise DirectoryInconsistent("The hub shows another directory than it showed before.")

    async def _keep_evidence(self, raw_head: bytes, *, stops: bool) -> None:
        async with self._store.write() as tx:
            stops = await fork.keep(tx, Form.HEAD, raw_head, self._clock(), stops=stops)
        self._forked, self._waiting = self._forked or stops, self._waiting or not stops

    def contradicts(self, receipt: ReceiptBody) -> bool:
        """Tell whether a verified receipt names another directory than a head of the hub vouches for here (DIR-18)."""
        size, root = receipt.detail.directory_size, receipt.detail.directory_root
        known = self._head is not None and size <= self._head.size
        same = generation_in(f"{self._pinned.domain}/audit", receipt.origin) == self._directory.generation
        return known and same and self._directory.root_at(size) not in (root, None)

    def is_later(self, receipt: ReceiptBody) -> bool:
        """Tell whether a receipt is of a time later than the newest head: then there may be a larger directory."""
        return self._head is None or receipt.leaf.at > self._head.at

    async def keep_receipt(self, tx: Transaction, raw: bytes) -> None:
        """Keep a receipt of the hub's, which was verified, as evidence that it shows two directories (DIR-18)."""
        self._forked = await fork.keep(tx, Form.RECEIPT, raw, self._clock(), stops=True) or self._forked

    def standing(self) -> Standing:
        """Say how the directory stands now."""
        freshness, error = freshness_by(self.check_sealing)
        return Standing(
            freshness,
            self._directory.size,
            self._head.at if self._head else None,
            self._clock_difference,
            error,
        )

    def check_sealing(self) -> bool:
        """Return whether sealing goes on marked (the newest head is over 24 hours old), or refuse (DIR-11).

        Raises `DirectorySplit` while evidence against the hub is kept, `DirectoryInconsistent` after a refused
        directory, `ClockSkewed` if this machine's clock is over 10 minutes from the hub's, `DirectoryStale` if the
        newest head is over 72 hours old.
        """
        if self._forked:
            raise DirectorySplit
        if self._refused is not None:
            raise DirectoryInconsistent
        return is_marked(self._head, self._clock(), self._clock_difference)


async def _known_head(tx: Transaction) -> Head | None:
    """Return the newest head that was stored; None where it cannot be read any more: the next look brings another."""
    try:
        stored = await facts.get(tx, _HEAD)
        return None if stored is None else _stored_head(stored)
    except DAMAGED:
        return None


def _stored_head(data: bytes) -> Head:
    size, root, at = as_tuple(cbor.decode(data, limit=_MAX_FACT), 3)
    return Head("", as_int(size), as_bytes(root, size=32), as_int(at))
