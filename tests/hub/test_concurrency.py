# SPDX-License-Identifier: Apache-2.0
"""Promise 3: many senders at once, and nothing of one message ever turns up with another."""

import asyncio
import random
from pathlib import Path

from keys.verifying import verify_receipt
from protocol.envelope import parse_envelope
from protocol.frames import Accepted
from protocol.slices import parse_slice
from tests.hub.running import RunningHub
from tests.programme import Sealed, make_programme, open_as

SENDERS = 8
EACH = 8


async def test_promise_3_payload_recipient_and_receipt_always_belong_together(tmp_path: Path) -> None:
    """64 messages of 8 senders in flight at once, singly and in batches, each with its own canary."""
    chance = random.Random(3)
    programme = make_programme(agencies=SENDERS)
    names = [f"agency-{number}" for number in range(SENDERS)]
    sent: dict[bytes, tuple[str, list[str], bytes, Sealed]] = {}
    for name in names:
        sender = programme.sender(name)
        for number in range(EACH):
            to = chance.sample([other for other in names if other != name], chance.randint(1, 3))
            desks = [programme.members[other].desk for other in to]
            canary = f"{name} {number} to {to}".encode()
            sealed = sender.seal(*desks, payload=canary, sections=[(canary + b" all", desks), (canary, desks[:1])])
            sent[sealed.envelope_id] = (name, to, canary, sealed)
    receipts: dict[bytes, bytes] = {}

    async with RunningHub(tmp_path, programme) as hub:

        async def singly(name: str, sealed: Sealed) -> None:
            receipts[sealed.envelope_id] = await hub.device(programme.members[name]).submit(sealed.data)

        async def together(name: str, batch: list[Sealed]) -> None:
            results = await hub.device(programme.members[name]).submit_batch([one.data for one in batch])
            for one, result in zip(batch, results, strict=True):
                assert isinstance(result, Accepted)
                receipts[one.envelope_id] = result.receipt

        tasks = []
        for name in names:
            own = [sealed for sender_name, _, _, sealed in sent.values() if sender_name == name]
            tasks += [singly(name, sealed) for sealed in own[: EACH // 2]]
            tasks.append(together(name, own[EACH // 2 :]))
        chance.shuffle(tasks)
        await asyncio.gather(*tasks)

        indexes = set()
        for envelope_id, (name, _, _, sealed) in sent.items():
            body = verify_receipt(receipts[envelope_id], "hub.example/audit", hub.audit_key)
            assert body.detail.envelope_id == envelope_id
            assert body.detail.digest == parse_envelope(sealed.data).digest
            assert body.detail.sender_desk == programme.members[name].desk
            indexes.add(body.index)
        assert indexes == set(range(SENDERS * EACH))

        expected = {name: {id_ for id_, (_, to, _, _) in sent.items() if name in to} for name in names}
        for name in names:
            member = programme.members[name]
            items = await hub.device(member).items()
            assert {parse_slice(item.data).common.envelope_id for item in items} == expected[name]
            assert len(items) == len(expected[name])
            for item in items:
                message = open_as(member, item.data, programme=programme, audit_key=hub.audit_key)
                sender_name, to, canary, _ = sent[message.envelope_id]
                assert message.payload == canary
                assert message.sender_desk == programme.members[sender_name].desk
                assert message.leaf_index == item.index
                assert parse_slice(item.data).receipt == receipts[message.envelope_id]
                bodies = [section.body for section in message.sections.values()]
                assert bodies == [canary + b" all", *([canary] if to[0] == name else [])]
