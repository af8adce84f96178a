# SPDX-License-Identifier: Apache-2.0
"""The one task that changes the database: it takes all that waits and commits it as one group.

While a group is being committed the next one gathers by itself (`hub.service.backlog`): a lone change is committed at
once, and under load the cost of a sync is shared by many. The order is that of AUD-3 and of no other: commit, guard,
sign, answer. A change that fails takes nobody with it: if a group cannot be
committed, its changes are tried one by one.

While the clock cannot be right nothing is committed (AUD-7). When the disk fails, the writer stops for good and
the hub with it; when the way to a database server is cut, it goes on with the next group. What was committed and
not yet answered is found again by the same bytes (HTTP-5).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from hub.logs import Event, Log, where
from hub.service.backlog import Backlog, Item, Queue, refuse_all
from hub.service.clocktrust import ClockTrust, ClockUnsure, ClockWrong
from hub.service.damage import EntryDamaged
from hub.service.following import Followed
from hub.service.guard import Guard, GuardedHead
from hub.service.transaction import Change, Finish, Nothing, Transaction
from hub.store import trees
from hub.store.engine import ConnectionLost, Store
from protocol.clockwatch import Clock, ClockWatch, machine_time
from protocol.errors import InternalError, StoreBehind, StoreFull, ThroughcareError, Unavailable
from protocol.limits import CLOCK_SKEW

T = TypeVar("T")

CHECKPOINT_EVERY = 4 << 20
"""Bytes written after which the write-ahead log is moved into the database file, between two groups.

Counted here: the file of the log does not shrink, so that its size does not tell what is still to be moved."""
GROUP_LEAST = 32 << 10
"""Bytes that even the smallest group counts for: each writes its pages whole."""

ANSWER_S = 7.0
"""Seconds that a group may take before everybody who waits is told to try again (HTTP-19).

A caller waits for thirty seconds, for two groups at most and with one ahead of each: its request's nonce, then its
envelope.
"""

_Finish = Finish[Any] | ThroughcareError
"""What makes the answer of a change, or the error it is refused with."""


class Counters:
    """What the writer has done, for metrics and tests."""

    def __init__(self) -> None:
        self.groups = 0
        self.changes = 0
        self.splits = 0


class Writer:
    """The group-committing writer. `write` is for everybody, `run` for the task that does it."""

    def __init__(
        self,
        store: Store,
        guard: Guard,
        origins: dict[trees.Log, str],
        clock: Clock,
        log: Log,
        queue: Queue,
        followed: Followed,
        reach: Callable[[str], None] = lambda step: None,
        elapsed: Clock = machine_time,
        trust: ClockTrust | None = None,
    ) -> None:
        """`elapsed` counts ms whatever the clock does; without `trust` the clock is believed as it starts.

        `reach` is told each step of a group by name; tests kill the process there.
        """
        self.counters = Counters()
        self.log_time = 0
        """The newest time in the logs, ms UTC, which never goes back; set once at the start, and kept up here."""
        self._store = store
        self._guard = guard
        self._origins = origins
        self._clock = clock
        self._log = log
        self._watch = ClockWatch(clock, elapsed)
        self._trust = trust
        self._followed = followed
        self._reach = reach
        self._waiting = Backlog(queue)
        self._unmoved = 0
        self._closing = False
        self._failed = False
        self._met: type[Exception] | None = None
        self._unguarded: list[Transaction] = []
        self._stuck = False
        self._listeners: list[Callable[[Transaction], None]] = []

    def on_commit(self, listener: Callable[[Transaction], None]) -> None:
        """Have `listener` called after each committed and guarded group, before answers are given."""
        self._listeners.append(listener)

    @property
    def waiting(self) -> int:
        """How many changes wait."""
        return len(self._waiting)

    @property
    def capacity(self) -> int:
        """How many changes may wait."""
        return self._waiting.limit.changes

    @property
    def healthy(self) -> bool:
        """Whether changes are taken."""
        return not (self._failed or self._closing)

    @property
    def stuck(self) -> bool:
        """Whether the database is too slow to wait for, so that everybody is told to try again."""
        return self._stuck

    @property
    def clock_is_sound(self) -> bool:
        """Whether `check_clock` raises nothing."""
        try:
            self.check_clock()
        except ClockWrong:
            return False
        return True

    def check_clock(self) -> None:
        """Raise ClockWrong, or ClockUnsure, while nothing may be written and nothing signed.

        The clock must have moved as time has since the start, must not be behind the logs (AUD-7), and must be believed
        (AUD-11).
        """
        if not self._watch.is_sound() or self.log_time > self._clock() + CLOCK_SKEW:
            raise ClockWrong
        if self._trust is not None and not self._trust.given:
            raise ClockUnsure

    def is_guarded(self, size: int) -> bool:
        """Tell whether the first `size` audit leaves are guarded, so that a receipt may name them (AUD-3).

        Between commit and guard whoever reads the database sees more than that. Where processes share a database, what
        another one has committed is its to guard, and this one notes it with its own next group.
        """
        return self._store.shared or size <= self._guard.size_of(self._origins[trees.Log.AUDIT])

    def expect(self, log: trees.Log, size: int) -> None:
        """Note that another process has committed `size` leaves of `log`: a database with fewer is another (AUD-8)."""
        self._followed.expect(log, size)

    async def settle(self) -> None:
        """Wait until everything that is committed now is guarded."""
        await self.write(Nothing())

    def queue(self, change: Change[T]) -> "asyncio.Future[T]":
        """Have `change` committed with the next group, and return the future of its answer.

        That is the error which the change is refused with, if it is refused, and StoreFull when the disk is full.
        Raises Unavailable when too much waits or the hub is stopping. A caller that goes away takes nothing back; nor
        is anything taken back when the database is too slow to wait for, and it may still be committed.
        """
        if not self.healthy or self._stuck:
            raise Unavailable
        return self._waiting.add(change)

    async def write(self, change: Change[T]) -> T:
        """Do what `queue` does, and wait for the answer."""
        return await self.queue(change)

    async def run(self) -> None:
        """Commit group after group until `close`; raises when the disk or the database failed."""
        try:
            while await self._something_waits():
                await self._waiting.gather()
                group, size = self._waiting.take()
                self._unmoved += max(size, GROUP_LEAST)
                await self._serve(group)
                await self._checkpoint()
        except BaseException:
            self._failed = True
            raise
        finally:
            self._closing = True
            self._waiting.refuse(Unavailable)

    async def _checkpoint(self) -> None:
        if self._unmoved > CHECKPOINT_EVERY:
            try:
                await self._store.checkpoint()
                self._unmoved = 0
            except MemoryError:
                # It is tried again after the next group; what is committed stands in the log meanwhile.
                self._log.warning(Event.CHECKPOINT_PUT_OFF)

    def close(self) -> None:
        """Take nothing new; `run` returns once all that waits is committed."""
        self._closing = True
        self._waiting.wake()

    async def _something_waits(self) -> bool:
        while not self._closing:
            await self._waiting.wait()
            if self._waiting:
                return True
            self._waiting.rest()
        return bool(self._waiting)

    async def _serve(self, group: Sequence[Item]) -> None:
        patience = asyncio.get_running_loop().call_later(ANSWER_S, self._give_up_waiting, group)
        try:
            await self._commit(group)
        finally:
            patience.cancel()
            self._stuck = False

    def _give_up_waiting(self, group: Sequence[Item]) -> None:
        """Let everybody go who waits for a database that is too slow; what is being committed goes on."""
        self._stuck = True
        self._log.warning(Event.WRITER_SLOW, count=len(group) + len(self._waiting))
        refuse_all(group, Unavailable)
        self._waiting.refuse(Unavailable)

    async def _commit(self, group: Sequence[Item]) -> None:
        try:
            transaction, finishes = await self._transact([change for change, _ in group])
            self._met = None
            self._answer(group, transaction, finishes)
        except StoreFull:
            refuse_all(group, StoreFull)
        except (Unavailable, MemoryError) as error:
            if isinstance(error, ClockWrong):
                if self._is_news(error):
                    unsure = isinstance(error, ClockUnsure)
                    self._log.error(Event.CLOCK_UNSURE if unsure else Event.CLOCK_WRONG, count=len(group))
                refuse_all(group, type(error))
            else:
                # Descriptors or memory ran out for now. If it is committed, that shows as after a lost connection.
                self._log.warning(Event.RESOURCES_SHORT, count=len(group), where=where(error))
                refuse_all(group, Unavailable)
        except ConnectionLost as error:
            # Whether it is committed shows when the same is asked for again; `Followed` sees it with the next group.
            if self._is_news(error):
                self._log.warning(Event.CONNECTION_LOST, count=len(group), where=where(error))
            refuse_all(group, Unavailable)
        except _OneFailed as failed:
            if len(group) > 1:
                self.counters.splits += 1
                self._log.warning(Event.GROUP_SPLIT, count=len(group), where=where(failed.error))
                for item in group:
                    await self._commit([item])
            else:
                self._log.error(Event.REQUEST_FAILED, where=where(failed.error))
                refuse_all(group, InternalError)
        except BaseException as error:
            # The disk failed, or an answer could not be made of what is committed: nobody may be told anything.
            self._failed = True
            self._log.error(Event.WRITER_STOPPED, where=where(error))
            refuse_all(group, Unavailable)
            raise

    def _is_news(self, error: Exception) -> bool:
        """Tell whether the group before met something else: what lasts is logged once, however many ask meanwhile."""
        news, self._met = type(error) is not self._met, type(error)
        return news

    async def _transact(self, changes: Sequence[Change[Any]]) -> tuple[Transaction, list[_Finish]]:
        """Commit the group, then guard it (AUD-3)."""
        now = self._clock()
        self.check_clock()
        if self._unguarded:
            # There was no room for the guard's line. Nothing more is committed before it is written.
            await self._store.write(lambda connection: self._unguarded[-1], self._note)

        def work(connection: Connection) -> tuple[Transaction, list[_Finish]]:
            try:
                transaction = Transaction(connection, now, changes, self._followed)
                if transaction.clock_is_behind:
                    raise ClockWrong
                finishes = [_apply(change, transaction) for change in changes]
                transaction.flush()
                if (news := transaction.news()) is not None:
                    self._store.tell(connection, news)
            except (StoreBehind, ClockWrong, MemoryError):
                raise
            except _OneFailed:
                raise
            except Exception as error:
                if self._store.is_fault(error):
                    raise
                raise _OneFailed(error) from error
            self._reach("before-commit")
            return transaction, finishes

        def guard(done: tuple[Transaction, list[_Finish]]) -> None:
            self._reach("after-commit")
            done[0].committed()
            self._unguarded.append(done[0])
            self._note(done[0])
            self._reach("after-guard")

        return await self._store.write(work, guard)

    def _note(self, transaction: Transaction) -> None:
        """Guard all that is committed: more than this group, if the last ones found no room in the guard."""
        heads = [(self._origins[log], state, at) for log, state, at in transaction.heads()]
        self._guard.append(
            [
                GuardedHead(origin, state.size, state.root, at)
                for origin, state, at in heads
                if state.size != self._guard.size_of(origin)
            ]
        )

    def _answer(self, group: Sequence[Item], transaction: Transaction, finishes: Sequence[_Finish]) -> None:
        """Sign what is committed and guarded, then answer (AUD-3)."""
        outcomes = [finish if isinstance(finish, ThroughcareError) else _finish(finish) for finish in finishes]
        self._reach("after-sign")
        self.counters.groups += 1
        self.counters.changes += len(group)
        self.log_time = max(self.log_time, transaction.now)
        committed, self._unguarded = self._unguarded, []
        for one in committed:
            for listener in self._listeners:
                listener(one)
        for (_, future), outcome in zip(group, outcomes, strict=True):
            if future.done():
                continue
            if isinstance(outcome, ThroughcareError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)


class _OneFailed(Exception):
    """A change could not be applied, and nothing of its group is committed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def _apply(change: Change[Any], transaction: Transaction) -> _Finish:
    before = transaction.steps
    try:
        return change.apply(transaction)
    except ThroughcareError as error:
        if transaction.steps != before:
            # Half a change must never be committed, whatever has ended it.
            raise _OneFailed(error) from error
        return error


def _finish(finish: Finish[Any]) -> Any:
    """Return the answer of a change; what an earlier one has stored may be damaged, which stops nobody else."""
    try:
        return finish()
    except EntryDamaged as error:
        return error
