# SPDX-License-Identifier: Apache-2.0
"""What must be true when the faults are over, judged apart from the code under test.

The delivery promises of the design, numbers in brackets: what was acknowledged to a caller was opened once at each
recipient or has visibly failed at its sender (1, 3, 6); order in each thread (4); nobody has what is not theirs or was
made up; receipts are of one log, whole and without a fork; nothing that people wrote is at the hub (9). And nothing is
held back for ever, nothing is opened without its effect, and both sides of a thread tell one history, also after
machines were lost that had said more than their backups know.
"""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, select

from connectors import fork
from connectors.cases.threads import history_of
from connectors.receipts import FORK, GIVEN_UP
from connectors.store import attempts, incoming, moves, owed, quarantine, recipients, tables, threads
from connectors.store.incoming import IncomingState, ReceivedMessage
from connectors.store.quarantine import page as quarantined
from connectors.store.recipients import FINAL_STATES, OPEN_STATES, RecipientState
from connectors.store.threads import ThreadRow
from hub.config import DATABASE_NAME
from hub.service.logcheck import check_everything
from keys.verifying import verify_receipt
from protocol.errors import NotFound
from protocol.handover import PAYLOAD_TYPE
from protocol.ids import MessageId, ThreadId
from protocol.receipts import ReceiptBody
from protocol.slices import parse_slice
from protocol.tree import CompactRange, leaf_hash
from tests.hub.running import KEYS, make_settings
from tests.simulation.agencymachine import AgencyMachine, fingerprint
from tests.simulation.machines import MARK
from tests.simulation.people import People, Sent
from tests.simulation.world import World


class Broken(AssertionError):
    """A promise was broken."""


def demand(truth: bool, what: str) -> None:
    """Raise `Broken` unless `truth`."""
    if not truth:
        raise Broken(what)


async def all_settled(world: World, people: People) -> bool:
    """Tell whether every machine runs and every message has come to an end at its sender."""
    return world.hub.hub is not None and not await unsettled(world, people)


async def unsettled(world: World, people: People) -> list[str]:
    """Return what is not at its end yet."""
    waiting = [agency.name for agency in world.agencies if agency.life is None]
    for sent in people.ledger:
        if sent.sender.life is None or sent.lost:
            continue
        async with sent.sender.life.parts.store.read() as tx:
            rows = await recipients.of(tx, sent.message_id)
        waiting += [f"{sent.phrase} for {row.desk} is {row.state}" for row in rows if row.state not in FINAL_STATES]
    for agency in world.agencies:
        if agency.life is not None:
            async with agency.life.parts.store.read() as tx:
                held = await tx.connection.scalar(select(func.count()).where(tables.incoming.c.state == "held"))
                untold = await owed.untold(tx, 1) or await owed.unheard(tx, GIVEN_UP, 1)
                unsent = await tx.connection.scalar(
                    select(func.count()).where(tables.recipient.c.state.in_([str(state) for state in OPEN_STATES]))
                )
            waiting += [f"{agency.name} holds {held} back"] if held else []
            waiting += [f"{agency.name} has not said what it gave up"] if untold else []
            waiting += [f"{agency.name} has {unsent} to send"] if unsent else []
    return waiting


class Oracle:
    """Judges one world; `agencies` while they run, `hub` when it was stopped."""

    def __init__(self, world: World, people: People) -> None:
        self._world = world
        self._people = people
        self._by_desk = {agency.desk: agency for agency in world.agencies}
        self._receipts: list[ReceiptBody] = []
        self.opened = 0
        self.failed = 0
        self.forks = 0
        """Messages that were refused for a number which a lost machine had used (SEQ-12)."""
        self.caught = 0
        """Items that the hub made up and that are in the quarantine of whichever agency got them."""

    async def agencies(self) -> None:
        """Judge what stands at the agencies."""
        for sent in self._people.ledger:
            if not sent.lost:
                await self._judge(sent)
        for agency in self._world.agencies:
            await self._judge_mail(agency)
        for thread, sender in {sent.thread: sent.sender for sent in self._people.ledger}.items():
            await self._judge_history(thread, sender)

    async def _judge_history(self, thread: ThreadId, sender: AgencyMachine) -> None:
        """Both sides of a thread tell the same of every message that both have (LIF-4)."""
        ours = await _told(sender, thread)
        if ours is None:
            return
        row, told = ours
        other = self._by_desk[row.peer_desk]
        theirs = await _told(other, thread)
        if theirs is None:
            return
        both = told.keys() & theirs[1].keys()
        for one, two in zip(
            [(key, told[key]) for key in told if key in both],
            [(key, theirs[1][key]) for key in theirs[1] if key in both],
            strict=True,
        ):
            demand(one == two, f"{sender.name} and {other.name} tell different histories: {one[1]}, {two[1]}")

    async def _judge(self, sent: Sent) -> None:
        assert sent.sender.life is not None
        async with sent.sender.life.parts.store.read() as tx:
            rows = {row.desk: row for row in await recipients.of(tx, sent.message_id)}
        demand(set(rows) == set(sent.desks), f"{sent.phrase}: its sender lost it")
        for desk, row in rows.items():
            agency = self._by_desk[desk]
            came = await _came(agency, sent)
            gone = (sent.message_id, sent.sender.desk) in agency.lost
            demand(row.state in FINAL_STATES, f"{sent.phrase} for {desk} is {row.state} for ever")
            demand(len(came) <= 1, f"{sent.phrase} came {len(came)} times to {desk}")
            if row.state is RecipientState.OPENED:
                self.opened += 1
                demand(len(came) == 1 or gone, f"{sent.phrase} counts as opened at {desk}, which does not have it")
                if came:
                    demand(came[0].state is IncomingState.DELIVERED, f"{sent.phrase} is opened and has no effect")
                    await _judge_attachment(agency, sent, came[0], gone=gone)
            else:
                self.failed += 1
                demand(row.error is not None, f"{sent.phrase} for {desk} is {row.state}, and nobody is told why")

    async def _judge_mail(self, agency: AgencyMachine) -> None:
        assert agency.life is not None
        known = {(sent.message_id, sent.sender.desk): sent for sent in self._people.ledger}
        async with agency.life.parts.store.read() as tx:
            demand(not await fork.is_kept(tx), f"{agency.name} has evidence of a forked directory")
            positions = (await tx.connection.execute(select(tables.incoming.c.position))).scalars().all()
            messages = [await incoming.at(tx, position) for position in positions]
            raws = [await incoming.slice_of(tx, message) for message in messages]
            held_back = {
                fingerprint(await quarantine.raw(tx, one.position))
                for one in await quarantined(tx, before=None, limit=10_000)
            }
            passed = (
                await tx.connection.execute(select(tables.lost).where(tables.lost.c.passed_at.is_not(None)))
            ).all()
            envelopes = (await tx.connection.execute(select(tables.attempt.c.envelope_id))).scalars().all()
            receipts = [await attempts.receipt(tx, envelope_id) for envelope_id in envelopes]
            forks = select(func.count()).where(tables.outgoing.c.payload_type == FORK)
            self.forks += await tx.connection.scalar(forks) or 0
        for message, raw in zip(messages, raws, strict=True):
            demand(fingerprint(raw) not in self._world.hub.liar.forged, f"{agency.name} believed what the hub made up")
            demand(message.recipient_desk == agency.desk, f"{agency.name} has mail of {message.recipient_desk}")
            self._receipt(parse_slice(raw).receipt)
            if message.payload_type == PAYLOAD_TYPE and (sent := known.get((message.message_id, message.sender_desk))):
                demand(agency.desk in sent.desks, f"{sent.phrase} came to {agency.name}, whom it is not for")
                names = [json.loads(one.body).get("family_name") for one in message.sections]
                demand(sent.phrase in names, f"{sent.phrase} came to {agency.name} as something else")
        for raw_receipt in receipts:
            if raw_receipt is not None:
                self._receipt(raw_receipt)
        self.caught += len(held_back & self._world.hub.liar.forged)
        _judge_order(agency, messages, passed)

    def _receipt(self, raw: bytes) -> None:
        origin = f"{self._world.programme.domain}/audit"
        self._receipts.append(verify_receipt(raw, origin, KEYS.audit.public))

    async def hub(self) -> None:
        """Judge the hub's log by itself and by every receipt that any agency holds, and search it for content."""
        folder = self._world.hub.disk.folder
        await check_everything(make_settings(folder, self._world.programme))
        hashes = _leaf_hashes(folder)
        roots = _roots(hashes, {body.size for body in self._receipts})
        for body in self._receipts:
            demand(body.size <= len(hashes), f"the log has {len(hashes)} leaves, a receipt says {body.size}")
            demand(roots[body.size] == body.root, f"two heads of size {body.size}")
            demand(leaf_hash(body.leaf_bytes) == hashes[body.index], f"a receipt's leaf {body.index} is another one")
        for path in sorted(folder.rglob("*")):
            demand(not path.is_file() or MARK.encode() not in path.read_bytes(), f"content in the hub's {path.name}")
        demand(MARK not in self._world.hub.logged.getvalue(), "content in the hub's running log")
        for agency in self._world.agencies:
            demand(MARK not in agency.logged.getvalue(), f"content in the running log of {agency.name}")


async def _came(agency: AgencyMachine, sent: Sent) -> list[ReceivedMessage]:
    assert agency.life is not None
    async with agency.life.parts.store.read() as tx:
        found = await incoming.find(tx, sent.message_id, PAYLOAD_TYPE)
    return [one for one in found if one.sender_desk == sent.sender.desk]


async def _judge_attachment(agency: AgencyMachine, sent: Sent, message: ReceivedMessage, *, gone: bool) -> None:
    if sent.attachment is None:
        return
    assert agency.life is not None
    number = next(one.number for one in message.sections if one.category == "identity")
    try:
        opened = await agency.life.parts.attachments.open(sent.message_id, number, 0)
    except NotFound:
        if gone:
            return
        raise Broken(f"{sent.phrase} counts as opened at {agency.name} without its attachment") from None
    data = b"".join([piece async for piece in opened.pieces])
    demand(data == sent.attachment, f"the attachment of {sent.phrase} came to {agency.name} as something else")


async def _told(
    agency: AgencyMachine, thread: ThreadId
) -> tuple[ThreadRow, dict[MessageId, tuple[str, str | None]]] | None:
    """Return what an agency tells of a thread: each message in order, its event and why it had no effect."""
    assert agency.life is not None
    async with agency.life.parts.store.read() as tx:
        row = await threads.find(tx, thread)
        if row is None:
            return None
        steps = history_of(row, await moves.of(tx, thread)).steps
    # The automatic receipt is on no line, and is implied by whatever its sender says later.
    told = {step.move.message_id: (step.move.event, step.refused) for step in steps if step.move.event != "receive"}
    return row, told


def _judge_order(agency: AgencyMachine, messages: list[ReceivedMessage], passed: Sequence[Row[Any]]) -> None:
    gone: dict[tuple[bytes, str], list[int]] = {}
    for row in passed:
        gone.setdefault((row.thread, row.sender_desk), []).append(row.seq)
    lines: dict[tuple[bytes, str], list[ReceivedMessage]] = {}
    for message in messages:
        if not message.klass.bare:
            # Moves of time stand between the offers of a thread, and are counted with them (SEQ-1).
            lines.setdefault((message.thread, message.sender_desk), []).append(message)
    for key, line in lines.items():
        delivered = sorted([one.seq for one in line if one.state is IncomingState.DELIVERED] + gone.get(key, []))
        held = [one.seq for one in line if one.state is IncomingState.HELD]
        whole = delivered == list(range(1, len(delivered) + 1))
        demand(whole, f"{agency.name} has a gap in a thread: {delivered}")
        demand(not held, f"{agency.name} holds messages of a thread back for ever: {held}")


def _leaf_hashes(folder: Path) -> list[bytes]:
    with closing(sqlite3.connect(f"file:{folder / DATABASE_NAME}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT idx, hash FROM leaf WHERE log = 2 ORDER BY idx").fetchall()
    demand([index for index, _ in rows] == list(range(len(rows))), "the log's indexes are not contiguous")
    return [value for _, value in rows]


def _roots(hashes: list[bytes], sizes: set[int]) -> dict[int, bytes]:
    state, found = CompactRange(), dict[int, bytes]()
    for hashed in hashes:
        state.append(hashed)
        if state.size in sizes:
            found[state.size] = state.root
    return found
