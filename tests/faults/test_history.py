# SPDX-License-Identifier: Apache-2.0
"""The judge of every test of faults is judged first: it accepts what a hub did, and names each broken promise."""

from collections.abc import Callable
from copy import copy, deepcopy
from pathlib import Path

import pytest

from keys.verifying import verify_receipt
from tests.faults.history import History, Stored, guarded_heads, stored_in_sqlite, violations
from tests.faults.verifying import Forged, proof_of
from tests.hub.running import KEYS, RunningHub
from tests.programme import Programme

ORIGIN = "hub.example/audit"
MESSAGES = 5
FOREIGN = bytes(16)


class Run:
    """What is left of an undisturbed run, for a test to spoil."""

    def __init__(self, history: History, stored: Stored, heads: list[tuple[int, bytes]]) -> None:
        self.history = history
        self.stored = stored
        self.heads = heads

    def copy(self) -> "Run":
        """Return one to be spoilt."""
        history = copy(self.history)
        history.receipts = deepcopy(history.receipts)
        return Run(history, deepcopy(self.stored), list(self.heads))

    def judge(self) -> list[str]:
        """Return what is wrong with it."""
        return violations(self.history, self.stored, self.heads, origin=ORIGIN, audit_key=KEYS.audit.public)

    def receipt(self, place: int) -> bytes:
        """Return one of the receipts."""
        return list(self.history.receipts.values())[place][0]


@pytest.fixture
async def run(tmp_path: Path, programme: Programme) -> Run:
    folder = tmp_path / "hub"
    folder.mkdir()
    with History(tmp_path / "history") as history:
        async with RunningHub(folder, programme) as hub:
            sender, desk = programme.sender("gora-prison"), programme.members["reka-probation"].desk
            for _ in range(MESSAGES):
                sealed = sender.seal(desk)
                history.send(sealed.envelope_id, sealed.data)
                receipt = await hub.device(programme.members["gora-prison"]).submit(sealed.data)
                history.acknowledge(sealed.envelope_id, receipt)
    with History(tmp_path / "history") as history:
        return Run(history, stored_in_sqlite(folder / "hub.db"), guarded_heads(folder / "hub.guard", ORIGIN))


async def test_an_undisturbed_run_breaks_no_promise(run: Run) -> None:
    assert len(run.history.receipts) == MESSAGES
    assert run.heads
    assert not run.history.unanswered
    assert run.judge() == []


def lose_an_envelope(run: Run) -> None:
    run.stored.envelopes[2] = (2, FOREIGN)


def lose_the_newest(run: Run) -> None:
    for rows in (run.stored.envelopes, run.stored.leaves, run.stored.delivered):
        rows.pop()


def store_twice(run: Run) -> None:
    run.stored.envelopes[3] = (3, run.stored.envelopes[2][1])


def leave_a_gap(run: Run) -> None:
    index, data, hashed = run.stored.leaves[-1]
    run.stored.leaves[-1] = (index + 1, data, hashed)


def deliver_nothing(run: Run) -> None:
    run.stored.delivered.pop()


def deliver_twice(run: Run) -> None:
    run.stored.delivered.append(run.stored.delivered[-1])


def change_a_leaf(run: Run) -> None:
    index, data, hashed = run.stored.leaves[1]
    run.stored.leaves[1] = (index, data[:-1] + bytes([data[-1] ^ 1]), hashed)


def change_a_hash(run: Run) -> None:
    index, data, _ = run.stored.leaves[1]
    run.stored.leaves[1] = (index, data, bytes(32))


def change_the_head(run: Run) -> None:
    run.stored.head = (run.stored.head[0], bytes(32))


def fork_a_head(run: Run) -> None:
    run.heads.append((3, bytes(32)))


def promise_more_than_there_is(run: Run) -> None:
    run.heads.append((MESSAGES + 1, bytes(32)))


def mix_receipts(run: Run) -> None:
    id_ = next(iter(run.history.receipts))
    run.history.receipts[id_] = [run.receipt(1)]


def give_a_second_receipt(run: Run) -> None:
    id_ = next(iter(run.history.receipts))
    run.history.receipts[id_].append(run.receipt(1))


def forge_a_receipt(run: Run) -> None:
    id_ = next(iter(run.history.receipts))
    receipt = bytearray(run.receipt(0))
    receipt[-1] ^= 1
    run.history.receipts[id_] = [bytes(receipt)]


CASES: list[tuple[Callable[[Run], None], str]] = [
    (lose_an_envelope, "1 acknowledged envelopes are lost"),
    (lose_an_envelope, "1 envelopes are stored that nobody sent"),
    (lose_the_newest, "1 acknowledged envelopes are lost"),
    (lose_the_newest, "heads were handed out of sizes that the log never reached"),
    (store_twice, "1 envelopes are stored twice"),
    (leave_a_gap, "the leaves' indexes have gaps or repeat"),
    (leave_a_gap, "leaves and envelopes do not belong together"),
    (deliver_nothing, "not every envelope is in its recipient's mailbox once"),
    (deliver_twice, "not every envelope is in its recipient's mailbox once"),
    (change_a_leaf, "the recomputed root is not the last head's"),
    (change_a_leaf, "a head of 2 leaves was handed out that is of another history"),
    (change_a_leaf, "a leaf has another hash than is stored for it"),
    (change_a_hash, "a leaf has another hash than is stored for it"),
    (change_the_head, "the recomputed root is not the last head's"),
    (fork_a_head, "a head of 3 leaves was handed out that is of another history"),
    (promise_more_than_there_is, "heads were handed out of sizes that the log never reached"),
    (mix_receipts, "a receipt is of another envelope"),
    (mix_receipts, "1 indexes were given twice"),
    (give_a_second_receipt, "an envelope was given 2 different receipts"),
    (forge_a_receipt, "a receipt proves nothing: the signature is wrong"),
]


async def test_every_broken_promise_is_named(run: Run) -> None:
    for spoil, found in CASES:
        spoilt = run.copy()
        spoil(spoilt)
        assert [sentence for sentence in spoilt.judge() if found in sentence], found
    assert run.judge() == []


async def test_aud_5_a_second_reader_of_receipts_agrees_with_the_first(run: Run) -> None:
    for id_, (receipt,) in run.history.receipts.items():
        proof = proof_of(receipt, ORIGIN, KEYS.audit.public)
        body = verify_receipt(receipt, ORIGIN, KEYS.audit.public)
        assert (proof.envelope_id, proof.index, proof.size) == (id_, body.index, body.size)
        assert (proof.root, proof.leaf) == (body.root, body.leaf_bytes)
        with pytest.raises(Forged, match="another log"):
            proof_of(receipt, "other.example/audit", KEYS.audit.public)
        with pytest.raises(Forged):
            proof_of(receipt[:-1], ORIGIN, KEYS.audit.public)
