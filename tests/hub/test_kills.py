# SPDX-License-Identifier: Apache-2.0
"""Promise 1 and fault 1: whatever was answered with a receipt survives a kill -9 at any moment, once."""

import asyncio
import os
import random
import signal
import sqlite3
from pathlib import Path

import pytest

from hub.config import load_settings
from hub.service.logcheck import check_everything
from hub.service.signingkeys import open_keys
from keys.verifying import verify_receipt
from protocol.address import DeskAddress
from protocol.errors import HubUnreachable
from protocol.frames import ItemKind
from protocol.receipts import ReceiptBody
from protocol.slices import parse_slice
from protocol.tree import leaf_hash, root_of
from tests.hub.process import HubProcess, prepare
from tests.programme import Sealed, Sender

STEPS = ("before-commit", "after-commit", "after-guard", "after-sign")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="hubs are forked here")


class Ledger:
    """The client's own record: what it sent, and which receipts it got."""

    def __init__(self) -> None:
        self.sent: dict[bytes, Sealed] = {}
        self.receipts: dict[bytes, bytes] = {}

    async def send(self, hub: HubProcess, sealed: Sealed) -> None:
        """Submit, and note the receipt if there is one."""
        self.sent[sealed.envelope_id] = sealed
        try:
            receipt = await hub.device(hub.programme.members["gora-prison"]).submit(sealed.data)
        except HubUnreachable:
            return
        assert self.receipts.setdefault(sealed.envelope_id, receipt) == receipt

    async def send_until_it_dies(self, hub: HubProcess, sender: Sender, desk: DeskAddress) -> None:
        """Submit one message after the other over four lines until the hub is gone."""

        async def line() -> None:
            for _ in range(500):
                sealed = sender.seal(desk)
                await self.send(hub, sealed)
                if sealed.envelope_id not in self.receipts:
                    return

        await asyncio.gather(*(line() for _ in range(4)))

    async def retry(self, hub: HubProcess) -> None:
        """Submit everything again: what has a receipt must get the same, the rest gets one now."""
        await asyncio.gather(*(self.send(hub, sealed) for sealed in list(self.sent.values())))


def leaf_hashes(folder: Path) -> list[bytes]:
    with sqlite3.connect(f"file:{folder / 'hub.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT idx, hash FROM leaf WHERE log = 2 ORDER BY idx").fetchall()
    connection.close()
    assert [index for index, _ in rows] == list(range(len(rows)))
    return [value for _, value in rows]


def verified(ledger: Ledger, audit_key: bytes) -> list[ReceiptBody]:
    return [verify_receipt(raw, "hub.example/audit", audit_key) for raw in ledger.receipts.values()]


async def test_promise_1_nothing_acknowledged_is_lost_and_nothing_is_there_twice(tmp_path: Path) -> None:
    """A kill at each named step of the writer, then five at random moments; one database through all of them."""
    chance = random.Random(11)
    config, programme = prepare(tmp_path)
    settings = load_settings(config, {}).settings
    probation = programme.members["reka-probation"]
    sender, ledger = programme.sender("gora-prison"), Ledger()
    async with HubProcess(config, programme) as hub:
        await hub.start()
        await hub.publish()
        assert await hub.stop() == 0
        for step in STEPS:
            await hub.start(step, chance.randint(2, 8))
            await ledger.send_until_it_dies(hub, sender, probation.desk)
            assert await hub.ended() == -signal.SIGKILL
        for _ in range(5):
            await hub.start()
            sending = asyncio.create_task(ledger.send_until_it_dies(hub, sender, probation.desk))
            await asyncio.sleep(chance.uniform(0, 0.15))
            os.kill(hub.pid, signal.SIGKILL)
            await sending
            assert await hub.ended() == -signal.SIGKILL
        acknowledged = dict(ledger.receipts)
        assert 0 < len(acknowledged) < len(ledger.sent)

        restarted = await hub.start()
        assert restarted < 5
        hashes = leaf_hashes(settings.hub.data_dir)
        items = await hub.device(probation).items()
        stored = [parse_slice(item.data).common.envelope_id for item in items if item.kind is ItemKind.SLICE]
        assert len(stored) == len(set(stored)) == len(hashes)
        assert acknowledged.keys() <= set(stored) <= ledger.sent.keys()

        await ledger.retry(hub)
        assert ledger.receipts.keys() == ledger.sent.keys()
        assert await hub.stop() == 0
    assert (await check_everything(settings))["hub.example/audit"] == len(ledger.sent)
    hashes = leaf_hashes(settings.hub.data_dir)
    bodies = verified(ledger, open_keys(settings).audit.public)
    assert sorted(body.index for body in bodies) == list(range(len(hashes)))
    for body in bodies:
        assert root_of(hashes[: body.size]) == body.root
        assert leaf_hash(body.leaf_bytes) == hashes[body.index]
    assert max(body.size for body in bodies) == len(hashes)
