# SPDX-License-Identifier: Apache-2.0
"""What a desk was shown, and when: no sealing that follows takes the record of it away (CON-17)."""

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.dialects import sqlite

from connectors.cli.handover import at_desk, describe
from connectors.migrations import NEWEST
from connectors.receipts import OPENED
from connectors.store import pruning, recipients, sealings
from connectors.store.engine import DATABASE_FILE, migrate
from connectors.store.pruning import EVIDENCE_KEPT
from connectors.store.tables import attempt, attempt_row
from protocol.http.handovers import HandoverPath, MessageState, RecipientView
from protocol.http.printing import PRINT_HANDOVER, ChosenPrint
from protocol.ids import MessageId
from protocol.limits import DAY, HOUR
from protocol.statements import Agency
from tests.connectors.cases.test_referral import refer, settle
from tests.connectors.conftest import World
from tests.connectors.damaging import asked
from tests.connectors.hand import count, digest_of, only_recipient, say
from tests.connectors.restoring import new_machine
from tests.connectors.stations import Station, open_station
from tests.connectors.test_asking import ask_until_quiet, follow_up

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


async def put_right(world: World, function: str) -> None:
    """Have the authority state another function of the probation office's desk, as after a mistake."""
    hub = world.hub
    hub.programme.now = hub.clock()
    member = world.probation.member
    before = hub.programme.directory.agency(member.address, hub.clock())
    assert before is not None
    subject = Agency(
        member.address, member.kind, member.identity.public, (("intake", function),), before.payload_types, before.name
    )
    await hub.hub.directory.append(hub.programme.state(subject, hub.programme.approvers[:2], age=0, life=300 * DAY))


async def seal_again(station: Station, message_id: MessageId) -> None:
    """Have a message of one desk sealed and sent once more."""
    async with station.parts.store.write() as tx:
        (row,) = await recipients.of(tx, message_id)
        await recipients.requeue(tx, row, now=0, error=None)
    await station.seal_and_send()


def held(one: RecipientView) -> list[list[str]]:
    """Return the categories that each sealing held, the oldest first."""
    return [[section.category for section in sealing.sections] for sealing in one.sealings]


async def test_con_17_a_desk_whose_function_is_put_right_was_shown_what_it_was_shown(
    world: World, tmp_path: Path
) -> None:
    prison, office = world.prison, world.probation
    first = await prison.send(office.desk)
    await settle(prison, office)
    shown = await only_recipient(prison, first)
    assert (held(shown), shown.withheld) == ([["identity", "risk-summary"]], [])
    world.hub.clock.advance(HOUR)
    await put_right(world, "social-work")
    async with new_machine(world, office, tmp_path / "again") as again:
        await prison.look()
        await follow_up(prison, first, again)
        await settle(prison, again)
        assert await ask_until_quiet(world, prison, again) == 1
        assert [one.category for one in (await again.view(first)).sections] == ["identity"]
    now = await only_recipient(prison, first)
    assert (now.state, now.attempts) == (MessageState.OPENED, 2)
    assert held(now) == [["identity", "risk-summary"], ["identity"]]
    assert [one.function for one in now.sealings] == ["probation-intake", "social-work"]
    assert [one.taken_in for one in now.sealings] == [True, True], "by two machines"
    assert [one.reason for one in now.sealings[1].withheld] == ["not-meant-for-this-function"]
    assert now.sealings[0].opened_at == now.opened_at == shown.opened_at
    assert now.opened_at is not None
    assert now.sealings[1].opened_at is not None
    assert now.sealings[1].opened_at > now.opened_at
    # What stands at the top is true of the desk, whatever it was last sealed for.
    assert [one.category for one in now.sections] == ["identity", "risk-summary"]
    assert now.withheld == []
    assert (now.envelope_id, now.receipt) == (shown.envelope_id, shown.receipt)
    # And so on paper and at the console: the first with what it held, for a desk of the function that it had then.
    printed = await print_of(prison, first)
    _, older, newer = re.split("Sealed envelope [12]: the recipient has", printed)
    for sheet, function, held_it in ((older, "probation intake", True), (newer, "social work", False)):
        assert f"({function})" in sheet.lower()
        assert ("It held" in sheet, "<li>Summary of the risk assessment</li>" in sheet) == (True, held_it)
    assert "not meant for this unit’s function" in newer
    assert "not meant for this unit’s function" not in printed.replace(newer, "")
    lines = list(describe("gora-prison", await prison.view(first)))
    assert "    sections 1 identity, 2 risk-summary" in lines
    (at,) = [number for number, line in enumerate(lines) if line.startswith("    envelope 2 env_")]
    assert lines[at].endswith(", taken in")
    assert "      for a desk of function social-work, by connector service" in lines[at:]
    assert "      withheld 2 risk-summary, for supervision: not meant for this desk's function" in lines[at:]


async def print_of(station: Station, message_id: MessageId) -> str:
    """Return the print of a handover."""
    path, query = HandoverPath(id=message_id), ChosenPrint()
    return bytes(await asked(station, PRINT_HANDOVER, query, path)).decode()


async def test_con_17_a_step_and_a_message_show_their_sealings_too(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await prison.seal_and_send()
    listing = prison.parts.prints._views.listing
    (step,) = (await listing.show(thread)).steps
    await seal_again(prison, step.message)
    await settle(prison, csw)
    shown = next(one for one in (await listing.show(thread)).steps if one.message == step.message)
    (recipient,) = shown.recipients
    assert [one.function for one in recipient.sealings] == ["social-work"] * 2
    assert [one.taken_in for one in recipient.sealings] == [True, False]
    lines = list(at_desk(recipient))
    assert sum(line.startswith("  envelope ") for line in lines) == 2


async def test_con_17_a_late_receipt_is_of_the_sealing_that_it_names(world: World) -> None:
    prison, office = world.prison, world.probation
    sent = await prison.send(office.desk)
    first = await only_recipient(prison, sent)
    await office.collect()
    await seal_again(prison, sent)
    newest = await only_recipient(prison, sent)
    assert newest.state is MessageState.ACCEPTED
    assert newest.envelope_id != first.envelope_id
    await office.seal_and_send()
    await prison.collect()
    now = await only_recipient(prison, sent)
    assert now.state is MessageState.OPENED
    assert [(one.taken_in, one.opened_at is not None) for one in now.sealings] == [(True, True), (False, False)]
    assert (now.envelope_id, now.receipt, now.accepted_at) == (first.envelope_id, first.receipt, first.accepted_at)
    # The other comes too, and is answered: the desk has the message by the first all the same.
    await settle(prison, office)
    now = await only_recipient(prison, sent)
    assert [(one.taken_in, one.opened_at is not None) for one in now.sealings] == [(True, True), (False, True)]
    assert now.opened_at == now.sealings[0].opened_at


async def test_con_17_a_receipt_of_a_sealing_for_others_marks_nothing(world: World) -> None:
    prison, office, csw = world.prison, world.probation, world.social_work
    sent = await prison.send(office.desk)
    other = await prison.send(csw.desk)
    await say(csw, OPENED, prison.desk, await digest_of(prison, sent), other)
    await say(csw, OPENED, prison.desk, await digest_of(prison, sent), sent)
    await prison.collect()
    assert [one.opened_at for one in (await only_recipient(prison, sent)).sealings] == [None]
    assert [one.opened_at for one in (await only_recipient(prison, other)).sealings] == [None]


async def test_con_17_a_sealing_of_before_an_update_says_that_its_content_was_not_kept(world: World) -> None:
    prison, office = world.prison, world.probation
    sent = await prison.send(office.desk)
    async with prison.parts.store.write() as tx:
        await tx.connection.execute(update(attempt_row).values(sealed=None))
    (only,) = (await only_recipient(prison, sent)).sealings
    assert [one.category for one in only.sections] == ["identity", "risk-summary"], "the newest is known"
    assert (only.function, only.signer, only.sealed_at, only.marks) == (None, None, None, [])
    await seal_again(prison, sent)
    old, new = (await only_recipient(prison, sent)).sealings
    assert (old.sections, old.withheld, old.marks) == ([], [], ["content-not-kept"])
    assert (new.function, new.signer) == ("probation-intake", "connector service")


async def test_con_17_an_update_fills_in_which_sealing_was_opened_where_that_is_certain(
    world: World, tmp_path: Path
) -> None:
    prison, office = world.prison, world.probation
    once, twice = [await prison.send(office.desk) for _ in range(2)]
    await seal_again(prison, twice)
    await settle(prison, office)
    unopened = await prison.send(office.desk)
    before = {one: (await only_recipient(prison, one)).opened_at for one in (once, twice)}
    folder = tmp_path / "updated"
    shutil.copytree(prison.folder, folder)
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        for name in ("sealed", "opened_at", "taken_in"):
            database.execute(f"ALTER TABLE attempt_row DROP COLUMN {name}")
        database.execute("ALTER TABLE recipient DROP COLUMN opened_again_at")
        database.execute("DROP INDEX ix_attempt_message_id")
        database.execute("UPDATE alembic_version SET version_num = '0023'")
        database.commit()
    migrate(folder / DATABASE_FILE, "0024")
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database:
        # What later migrations do has been done to this database already.
        database.execute("UPDATE alembic_version SET version_num = ?", (NEWEST,))
        database.commit()
    async with open_station(folder, prison.member, prison.installation, world.hub.clock) as updated:
        for sent, opened, taken in ((once, [before[once]], [True]), (twice, [None, None], [False, False])):
            shown = await only_recipient(updated, sent)
            assert (shown.state, shown.opened_at) == (MessageState.OPENED, before[sent])
            assert [one.opened_at for one in shown.sealings] == opened
            assert [one.taken_in for one in shown.sealings] == taken
        (only,) = (await only_recipient(updated, unopened)).sealings
        assert (only.opened_at, only.taken_in) == (None, False)


async def test_con_17_the_sealings_of_a_message_are_found_without_walking_through_all(world: World) -> None:
    compiled = sealings._OF.params(of=b"").compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    async with world.prison.parts.store.read() as tx:
        plan = await tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
        steps = [row.detail for row in plan]
    assert any("ix_attempt_message_id" in step for step in steps), steps
    assert not any(step.startswith("SCAN") for step in steps), steps


async def test_con_10_a_sealing_that_a_desk_opened_is_never_forgotten(world: World) -> None:
    prison, office = world.prison, world.probation
    sent = await prison.send(office.desk)
    await office.collect()
    for _ in range(2):
        await seal_again(prison, sent)
    async with prison.parts.store.write() as tx:
        # The hub's answer to the first got lost; that it was opened was told all the same.
        newest = (await recipients.of(tx, sent))[0].envelope_id
        await tx.connection.execute(
            update(attempt).where(attempt.c.envelope_id != newest).values(sealed_receipt=None, sealed_bytes=None)
        )
    await office.seal_and_send()
    await prison.collect()
    async with prison.parts.store.write() as tx:
        await pruning.forget_attempts(tx, world.hub.clock() + 9 * EVIDENCE_KEPT)
    assert await count(prison, "attempt") == 2
    old, _ = (await only_recipient(prison, sent)).sealings
    assert (old.taken_in, [one.category for one in old.sections]) == (True, ["identity", "risk-summary"])
