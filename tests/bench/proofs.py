# SPDX-License-Identifier: Apache-2.0
"""What the audit log costs whoever checks it, and how many envelopes it takes when they come in batches."""

import time
from pathlib import Path

from protocol.ids import ID_SIZE
from protocol.limits import HASH
from protocol.receipts import Leaf
from protocol.tree import CompactRange, inclusion_proof, leaf_hash, verify_inclusion
from tests.bench import writing
from tests.bench.further import Promise
from tests.bench.hubserver import exchanged
from tests.bench.rounds import Extent, cpu_per_call
from tests.bench.targets import Figure

_BATCHED = 256
"""Envelopes in flight: a whole group of the writer."""


def log_checks(extent: Extent) -> list[Promise]:
    """Return the CPU of checking one proof, and of hashing a whole log anew."""
    count = extent.leaves
    data = [Leaf(at, bytes(HASH), at.to_bytes(ID_SIZE, "big")).encode() for at in range(count)]
    begin = time.process_time()
    state = CompactRange()
    for one in data:
        state.append(leaf_hash(one))
    audited = time.process_time() - begin
    hashes = [leaf_hash(one) for one in data]
    begin = time.process_time()
    CompactRange().extend(hashes)
    restarted = time.process_time() - begin
    index = count // 3
    proof = inclusion_proof(index, count, hashes.__getitem__)
    proving = cpu_per_call(lambda: verify_inclusion(data[index], index, count, proof, state.root), extent.cpu_seconds)
    return [
        Promise(Figure(f"a proof of one of {count:,} leaves is verified", proving * 1e6, "µs CPU"), 100),
        Promise(Figure(f"an auditor hashes {count:,} leaves anew", audited, "s CPU"), 10),
        Promise(Figure(f"a starting hub adds up {count:,} leaf hashes", restarted, "s CPU"), 2),
    ]


async def batched_acceptance(folder: Path, extent: Extent) -> list[Promise]:
    """Return how many checked envelopes a second the writer takes with their audit leaves, a full group at a time."""
    async with writing.WriterBench(folder / "batched") as bench:
        with exchanged(writing, "IN_FLIGHT", _BATCHED):
            await bench.write(min(extent.written, _BATCHED))
            runs = [await bench.write(extent.written) for _ in range(extent.rounds)]
    best = max(run.rate for run in runs)
    busy = min(run.cpu / run.messages for run in runs)
    return [
        Promise(Figure("audited envelopes a second, batched, on SQLite, best round", best, "/s"), 5_000, at_least=True),
        Promise(Figure("the same, if the disk cost no time", 1 / busy, "/s"), 5_000, at_least=True),
    ]
