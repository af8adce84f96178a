# SPDX-License-Identifier: Apache-2.0
"""The writer: groups, their order of steps, and that nobody suffers for his neighbour."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hub.logs import make_log
from hub.migrations import migrate
from hub.service import backlog
from hub.service import writer as writer_module
from hub.service.backlog import GROUP_CHANGES, QUIET_TURNS, Queue
from hub.service.following import Followed
from hub.service.guard import Guard, GuardedHead
from hub.service.transaction import Change, Finish, Transaction
from hub.service.writer import Writer
from hub.store import trees
from hub.store.nonces import NEW_NONCES
from hub.store.sqlite import SqliteStore
from hub.store.trees import Log
from protocol.errors import Conflict, InternalError, StoreFailed, StoreFull, Unavailable
from protocol.tree import leaf_hash, root_of

ORIGINS = {Log.DIRECTORY: "hub.example/directory", Log.AUDIT: "hub.example/audit"}


def read(path: Path) -> Guard:
    guard = Guard(path)
    guard.read()
    return guard


class Append(Change[int]):
    """Append a leaf; `fault` is raised in the transaction, `late` when the answer is made."""

    def __init__(self, leaf: bytes, fault: Exception | None = None, weight: int = 100, patience_s: float = 0) -> None:
        self.leaf = leaf
        self.fault = fault
        self.weight = weight
        self.patience_s = patience_s

    def apply(self, transaction: Transaction) -> Finish[int]:
        if isinstance(self.fault, Conflict):
            raise self.fault
        index = transaction.append(Log.AUDIT, self.leaf)
        if self.fault is not None:
            raise self.fault
        return lambda: index


class Bench:
    """A writer on a real database, with everything it did in order."""

    def __init__(self, store: SqliteStore, guard: Guard, queue: Queue) -> None:
        self.store = store
        self.guard = guard
        self.steps: list[str] = []
        self.now = 1_000
        self.logged = io.StringIO()
        log = make_log("debug", "json", stream=self.logged, strict=True)
        self.writer = Writer(store, guard, ORIGINS, lambda: self.now, log, queue, Followed(), self.steps.append)
        self.task = asyncio.create_task(self.writer.run())

    async def write(self, *changes: Change[int]) -> list[int | BaseException]:
        """Have all of `changes` wait at once; return answers and errors."""
        return await asyncio.gather(*(self.writer.write(change) for change in changes), return_exceptions=True)

    async def leaves(self) -> list[bytes]:
        """Return the leaves of the audit log."""
        return await self.store.read(lambda connection: trees.leaves(connection, Log.AUDIT, 0, 10_000))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    store = await SqliteStore.open(tmp_path / "hub.db")
    await store.write(migrate)
    guard = read(tmp_path / "hub.guard")
    guard.start([])
    made = Bench(store, guard, Queue(changes=1_000, bytes=1 << 20))
    yield made
    made.writer.close()
    await asyncio.gather(made.task, return_exceptions=True)
    guard.close()
    await store.close()


async def test_aud_3_commit_guard_sign_in_this_order_for_each_group(bench: Bench) -> None:
    await bench.write(Append(b"a"))
    assert bench.steps == ["before-commit", "after-commit", "after-guard", "after-sign"]
    head = read(bench.guard.path).heads["hub.example/audit"]
    assert head == GuardedHead("hub.example/audit", 1, root_of([leaf_hash(b"a")]), 1_000)


async def test_what_waits_while_a_group_is_committed_forms_the_next_group(bench: Bench) -> None:
    answers = await bench.write(*(Append(b"%d" % number) for number in range(200)))
    assert answers == list(range(200))
    # One change takes the writer, all others gather behind it.
    assert bench.writer.counters.groups <= 3
    assert await bench.leaves() == [b"%d" % number for number in range(200)]


async def test_a_burst_that_comes_turn_by_turn_makes_one_group(bench: Bench) -> None:
    """As from a socket, of which each turn of the loop reads some: the first one does not go alone."""
    before, answers = bench.writer.counters.groups, list[asyncio.Future[int]]()
    for number in range(30):
        answers.append(bench.writer.queue(Append(b"%d" % number)))
        for _ in range(1 + number % (QUIET_TURNS - 1)):
            await asyncio.sleep(0)
    assert await asyncio.gather(*answers) == list(range(30))
    assert bench.writer.counters.groups == before + 1


async def test_what_nobody_waits_for_shares_a_commit_with_what_comes_next(bench: Bench) -> None:
    before = bench.writer.counters.groups
    patient = bench.writer.queue(Append(b"patient", patience_s=60))
    await asyncio.sleep(0.02)
    assert not patient.done()
    assert await bench.writer.write(Append(b"next")) == 1
    assert await patient == 0
    assert bench.writer.counters.groups == before + 1


async def test_what_nobody_waits_for_does_not_keep_the_queue_full(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.writer._waiting, "limit", Queue(8, 1 << 20))
    patient = [bench.writer.queue(Append(b"patient", patience_s=60)) for _ in range(4)]
    assert sorted(await asyncio.gather(*patient)) == [0, 1, 2, 3]


async def test_what_nobody_waits_for_goes_alone_after_a_moment_and_before_the_end(bench: Bench) -> None:
    assert await bench.writer.write(Append(b"alone", patience_s=0.01)) == 0
    patient = bench.writer.queue(Append(b"at the end", patience_s=60))
    bench.writer.close()
    assert await patient == 1


async def test_what_comes_with_every_turn_is_not_waited_for_without_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "GROUP_CHANGES", 1 << 30)
    monkeypatch.setattr(bench.writer._waiting, "limit", Queue(1 << 20, 1 << 30))
    first = bench.writer.queue(Append(b"first"))
    behind = list[asyncio.Future[int]]()
    while not first.done():
        behind.append(bench.writer.queue(Append(b"behind")))
        await asyncio.sleep(0)
    await asyncio.gather(*behind)


async def test_a_group_is_bounded_in_changes_and_in_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.write(*(Append(b"x") for _ in range(2 * GROUP_CHANGES + 1)))
    assert bench.writer.counters.groups >= 3
    monkeypatch.setattr(backlog, "GROUP_BYTES", 1_000)
    before = bench.writer.counters.groups
    await bench.write(*(Append(b"x", weight=400) for _ in range(10)))
    assert bench.writer.counters.groups - before >= 5
    await bench.write(Append(b"larger than a group", weight=5_000))


async def test_a_refused_change_takes_nobody_with_it(bench: Bench) -> None:
    answers = await bench.write(Append(b"a"), Append(b"b", Conflict()), Append(b"c"))
    assert answers[0] == 0
    assert isinstance(answers[1], Conflict)
    assert answers[2] == 1
    assert bench.writer.counters.splits == 0


async def test_a_change_that_fails_unforeseen_is_refused_alone_and_leaves_no_gap(bench: Bench) -> None:
    answers = await bench.write(Append(b"a"), Append(b"poison", RuntimeError("secret")), Append(b"c"))
    assert [answer for answer in answers if isinstance(answer, int)] == [0, 1]
    assert isinstance(answers[1], InternalError)
    assert await bench.leaves() == [b"a", b"c"]
    assert "secret" not in bench.logged.getvalue()
    assert bench.writer.healthy


async def test_a_row_that_the_database_refuses_is_refused_alone(bench: Bench) -> None:
    class Twice(Append):
        def apply(self, transaction: Transaction) -> Finish[int]:
            index = transaction.size(Log.AUDIT)
            for _ in range(2):
                transaction.insert(NEW_NONCES, {"device_id": b"d", "nonce": b"n", "expires": 1})
            return lambda: index

    answers = await bench.write(Append(b"a"), Twice(b"b"), Append(b"c"))
    assert isinstance(answers[1], InternalError)
    assert await bench.leaves() == [b"a", b"c"]


async def test_too_much_waiting_is_refused_with_a_time_to_retry(bench: Bench) -> None:
    answers = await bench.write(*(Append(b"x") for _ in range(1_200)))
    refused = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert len(refused) == 200
    # Whoever was sent away is spread over some seconds, not asked to come back all at once.
    assert {answer.retry_after for answer in refused} == {1, 2, 3}
    (too_many_bytes,) = await bench.write(Append(b"x", weight=2 << 20))
    assert isinstance(too_many_bytes, Unavailable)
    assert bench.writer.waiting == 0


async def test_a_caller_that_goes_away_takes_nothing_back(bench: Bench) -> None:
    gone = asyncio.create_task(bench.writer.write(Append(b"a")))
    await asyncio.sleep(0)
    gone.cancel()
    await bench.write(Append(b"b"))
    assert await bench.leaves() == [b"a", b"b"]


async def test_closing_commits_what_waits_and_takes_nothing_new(bench: Bench) -> None:
    waiting = [asyncio.create_task(bench.writer.write(Append(b"%d" % number))) for number in range(10)]
    await asyncio.sleep(0)
    bench.writer.close()
    assert sorted(await asyncio.gather(*waiting)) == list(range(10))
    await bench.task
    with pytest.raises(Unavailable):
        await bench.writer.write(Append(b"late"))


async def test_a_failing_disk_stops_the_writer_and_acknowledges_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 19 as far as it can be had without a failing disk: no second try on the same file."""

    async def failing(*_: object) -> None:
        raise StoreFailed

    monkeypatch.setattr(bench.store, "write", failing)
    answers = await bench.write(Append(b"a"), Append(b"b"))
    assert all(isinstance(answer, Unavailable) for answer in answers)
    with pytest.raises(StoreFailed):
        await bench.task
    assert not bench.writer.healthy
    assert "writer-stopped" in bench.logged.getvalue()


async def test_aud_3_without_the_guard_nothing_is_acknowledged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_heads: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(bench.guard, "append", full)
    answers = await bench.write(Append(b"a"), Append(b"b"))
    assert all(isinstance(answer, Unavailable) for answer in answers)
    with pytest.raises(StoreFailed):
        await bench.task
    assert bench.steps[-1] == "after-commit"


class Unanswerable(Append):
    """A change that is committed and then cannot be answered."""

    def apply(self, transaction: Transaction) -> Finish[int]:
        super().apply(transaction)

        def finish() -> int:
            raise RuntimeError

        return finish


async def test_what_is_committed_and_cannot_be_answered_is_never_tried_again(bench: Bench) -> None:
    answers = await bench.write(Append(b"a"), Unanswerable(b"b"))
    assert sum(isinstance(answer, Unavailable) for answer in answers) >= 1
    with pytest.raises(RuntimeError):
        await bench.task
    assert await bench.leaves() == [b"a", b"b"]


async def test_a_full_disk_refuses_the_group_and_the_writer_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        async def full(*_: object) -> None:
            raise StoreFull

        patch.setattr(bench.store, "write", full)
        answers = await bench.write(Append(b"a"), Append(b"b"))
    assert all(isinstance(answer, StoreFull) for answer in answers)
    assert await bench.write(Append(b"c")) == [0]


async def test_the_write_ahead_log_is_moved_into_the_file_between_groups(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_EVERY", 100_000)
    size: Callable[[], int] = lambda: bench.store.path.stat().st_size  # noqa: E731
    before = size()
    for _ in range(30):
        await bench.write(Append(bytes(10_000)))
    assert size() > before + 100_000


async def test_a_write_ahead_log_whose_file_stays_large_is_not_moved_after_every_group(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "CHECKPOINT_EVERY", 10 * writer_module.GROUP_LEAST)
    checkpoint, moved = bench.store.checkpoint, list[int]()

    async def counted() -> None:
        moved.append(bench.store.log_size())
        await checkpoint()

    monkeypatch.setattr(bench.store, "checkpoint", counted)
    for _ in range(45):
        await bench.write(Append(b"a"))
    # The eleventh group is above the bound; the file of the log never shrinks.
    assert len(moved) == 4
    assert bench.store.log_size() >= max(moved) > 0


async def test_aud_3_the_index_comes_from_the_state_read_in_the_same_transaction(bench: Bench) -> None:
    await bench.write(Append(b"a"), Append(b"b"))
    bench.now = 500
    await bench.write(Append(b"c"))
    stored = await bench.store.read(trees.stored_heads)
    assert stored[Log.AUDIT] == (3, root_of(leaf_hash(leaf) for leaf in (b"a", b"b", b"c")))
    assert stored[Log.DIRECTORY][0] == 0
    # The clock went back; the log's time did not.
    assert read(bench.guard.path).heads["hub.example/audit"].at == 1_000
