# SPDX-License-Identifier: Apache-2.0
"""A receipt means what it says: at most one final state, and no negative after a positive (delivery promise 4)."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.receipts import OPENED, report
from connectors.store import attempts, outgoing, recipients
from connectors.store.attempts import Attempt, AttemptState
from connectors.store.engine import DATABASE_FILE, Store, Transaction, migrate
from connectors.store.recipients import FINAL_STATES, Plan, RecipientRow, RecipientState
from connectors.vault import Vault
from protocol.address import DeskAddress
from protocol.errors import NotFound
from protocol.ids import EnvelopeId, KeyId, MessageId, OfficerId, ThreadId, new_id
from protocol.sections import Actor, ActorKind

DESK = DeskAddress("intake.reka-probation@hub.example")
OTHER = DeskAddress("intake.polje-csw@hub.example")
SENDER = DeskAddress("release.gora-prison@hub.example")
ACTOR = Actor(OfficerId(bytes(16)), ActorKind.SERVICE, "service", bytes(32))

Event = Callable[[Transaction, MessageId], Awaitable[None]]


async def row_of(tx: Transaction, message_id: MessageId, desk: DeskAddress = DESK) -> RecipientRow:
    return await recipients.find(tx, message_id, desk)


async def seal(tx: Transaction, message_id: MessageId) -> None:
    row = await row_of(tx, message_id)
    envelope_id = EnvelopeId(new_id())
    attempt = Attempt(envelope_id, message_id, bytes(32), 10**15, AttemptState.READY, 0, {DESK: KeyId(bytes(32))}, None)
    await attempts.add(tx, attempt, b"bytes", 0)
    await recipients.sealed(tx, row, envelope_id, Plan())


async def accept(tx: Transaction, message_id: MessageId) -> None:
    row = await row_of(tx, message_id)
    if row.envelope_id is not None:
        await recipients.accepted(tx, row.envelope_id, 5)


async def open_(tx: Transaction, message_id: MessageId) -> None:
    await recipients.opened(tx, message_id, DESK, 6)


async def complain(tx: Transaction, message_id: MessageId) -> None:
    await recipients.requeue(tx, await row_of(tx, message_id), now=1, error="cannot-open", complained=True)


async def refuse(tx: Transaction, message_id: MessageId) -> None:
    await recipients.fail(tx, message_id, [DESK], "malformed-envelope")


async def expire(tx: Transaction, message_id: MessageId) -> None:
    await recipients.expire(tx, message_id, [DESK])


async def wait(tx: Transaction, message_id: MessageId) -> None:
    await recipients.wait(tx, message_id, DESK, until=9, error="recipient-unavailable")


async def call_back(tx: Transaction, message_id: MessageId) -> None:
    await recipients.call_back(tx, await row_of(tx, message_id), now=1, error="called-back")


EVENTS: list[Event] = [seal, accept, open_, complain, refuse, expire, wait, call_back]


async def play(folder: Path, events: list[Event]) -> list[RecipientState]:
    """Return the state after each event, for a message to two desks of which only one is played with."""
    store = await Store.open(folder / DATABASE_FILE, Vault(bytes(32)))
    message = report(
        OPENED,
        digest=bytes(32),
        message_id=None,
        thread=ThreadId(new_id()),
        sender=SENDER,
        actor=ACTOR,
        now=0,
        deadline=10**15,
    )
    seen = []
    try:
        async with store.write() as tx:
            await outgoing.add(tx, message, {DESK: Plan(), OTHER: Plan()})
            for event in events:
                await event(tx, message.message_id)
                seen.append((await row_of(tx, message.message_id)).state)
            assert (await row_of(tx, message.message_id, OTHER)).state is RecipientState.QUEUED
    finally:
        await store.close()
    return seen


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty database, to be copied."""
    path = tmp_path_factory.mktemp("empty") / DATABASE_FILE
    migrate(path)
    return path


@settings(max_examples=40)
@given(st.lists(st.sampled_from(EVENTS), max_size=12))
def test_con_4_no_order_of_events_takes_back_a_final_state(empty: Path, events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(empty, folder)
        seen = asyncio.run(play(Path(folder), events))
    final: RecipientState | None = None
    for event, state in zip(events, seen, strict=True):
        if final is RecipientState.OPENED:
            assert state is RecipientState.OPENED
        elif final is not None:
            # A failure stays one, unless the desk proves that it has opened the message after all.
            assert state is (RecipientState.OPENED if event is open_ else final)
        if state in FINAL_STATES:
            final = state


async def test_a_desk_that_was_no_recipient_is_not_found(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / DATABASE_FILE, Vault(bytes(32)))
    async with store.read() as tx:
        with pytest.raises(NotFound):
            await recipients.find(tx, MessageId(bytes(16)), DESK)
        with pytest.raises(NotFound):
            await outgoing.load(tx, MessageId(bytes(16)))
        with pytest.raises(NotFound):
            await outgoing.at(tx, 7)
    await store.close()
