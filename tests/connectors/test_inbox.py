# SPDX-License-Identifier: Apache-2.0
"""Receiving: one effect in one transaction, acknowledged only afterwards, and nothing blocks the mailbox."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.composition import Composer, Share
from connectors.delivery import Delivery
from connectors.handover_form import HandoverComposer
from connectors.store import incoming, mailboxes, recipients, sequences
from connectors.store.outgoing import OutgoingMessage
from keys.sealing import SectionDraft
from protocol.bodies.needs import Narrative
from protocol.clearance import Basis, Category, DeskFunction, Label, Purpose
from protocol.content import encode_payload
from protocol.errors import StoreFailed
from protocol.frames import Item, ItemKind
from protocol.handover import PackageSection
from protocol.http.handovers import MessageState
from protocol.limits import DAY, MINUTE
from protocol.rows import EnvelopeClass
from tests.connectors.conftest import World
from tests.connectors.hand import Hand, count, items_of, offer
from tests.connectors.stations import open_station, package, person_section
from tests.hub.running import RunningHub

ROOT = Path(__file__).parents[2]


# Exactly once


async def test_env_19_an_item_delivered_again_before_it_was_acknowledged_has_one_effect(world: World) -> None:
    await world.prison.send(world.probation.desk)
    items = await items_of(world.probation)
    await world.probation.parts.inbox.take(items)
    await world.probation.parts.inbox.take(items)
    assert await count(world.probation, "incoming") == 1
    assert await count(world.probation, "outgoing") == 1
    assert await world.probation.quarantined() == []


async def test_env_19_an_envelope_replayed_at_another_place_is_refused_and_shown(world: World) -> None:
    """Attack 37."""
    await world.prison.send(world.probation.desk)
    (item,) = await items_of(world.probation)
    await world.probation.take((item,))
    await world.probation.parts.inbox.take((replace(item, index=item.index + 1),))
    assert await world.probation.quarantined() == ["replayed"]
    assert await count(world.probation, "incoming") == 1


async def test_env_19_a_replay_is_known_after_a_restart(world: World) -> None:
    """Attack 37: also after restart."""
    await world.prison.send(world.probation.desk)
    (item,) = await items_of(world.probation)
    await world.probation.take((item,))
    await world.probation.parts.store.close()
    old = world.probation
    async with open_station(old.folder, old.member, old.installation, world.hub.clock) as restarted:
        await restarted.parts.inbox.take((replace(item, index=item.index + 7),))
        assert await restarted.quarantined() == ["replayed"]


SECOND_PROCESS = """
import asyncio, sys
from pathlib import Path
from connectors.installation import open_installation
from protocol.frames import Item, ItemKind
from tests.connectors.stations import PASSPHRASE, open_station

async def main(folder, now, index, raw):
    installation = open_installation(folder, PASSPHRASE)
    async with open_station(folder, None, installation, lambda: now) as station:
        await station.parts.inbox.take((Item(index, ItemKind.SLICE, raw),))
        print(*await station.quarantined())

folder, now, index = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
asyncio.run(main(folder, now, index, sys.stdin.buffer.read()))
"""


async def test_env_19_a_replay_is_known_to_a_second_process_of_the_installation(world: World) -> None:
    """Attack 37: from a second process of the same installation."""
    await world.prison.send(world.probation.desk)
    (item,) = await items_of(world.probation)
    await world.probation.take((item,))
    arguments = [str(world.probation.folder), str(world.hub.clock()), str(item.index + 1)]
    second = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SECOND_PROCESS,
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )
    told, _ = await second.communicate(item.data)
    assert (second.returncode, told.split()) == (0, [b"replayed"])
    assert await count(world.probation, "incoming") == 1


async def test_env_19_two_that_take_the_same_item_at_once_give_one_effect(world: World) -> None:
    await world.prison.send(world.probation.desk)
    (item,) = await items_of(world.probation)
    old = world.probation
    async with open_station(old.folder, old.member, old.installation, world.hub.clock) as second:
        await asyncio.gather(old.parts.inbox.take((item,)), second.parts.inbox.take((item,)), return_exceptions=False)
        assert await second.quarantined() == []
    assert await count(world.probation, "incoming") == 1
    assert await count(world.probation, "outgoing") == 1


async def test_env_19_what_comes_twice_in_one_batch_has_one_effect(world: World) -> None:
    await world.prison.send(world.probation.desk)
    (item,) = await items_of(world.probation)
    await world.probation.parts.inbox.take((item, item, replace(item, index=item.index + 1)))
    assert await count(world.probation, "incoming") == 1
    assert await count(world.probation, "outgoing") == 1
    assert await world.probation.quarantined() == ["replayed"]


async def test_env_19_a_message_sealed_anew_has_one_effect_and_is_answered_again(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    await world.probation.collect()
    async with world.prison.parts.store.write() as tx:
        row = await recipients.find(tx, sent, world.probation.desk)
        await recipients.requeue(tx, row, now=world.hub.clock(), error=None)
    await world.prison.seal_and_send()
    await world.probation.turn()
    assert (await world.probation.parts.overview.status()).counts.received == 1
    assert await count(world.probation, "outgoing") == 2
    assert await world.probation.quarantined() == []
    await world.prison.collect()
    assert await world.prison.states(sent) == {world.probation.desk: MessageState.OPENED}


async def test_another_agency_cannot_suppress_a_message_by_using_its_id_first(world: World) -> None:
    hand = Hand(world)
    sealed = hand.seal(world.probation.desk)
    async with world.probation.parts.store.write() as tx:
        await hand.submit(sealed)
        (item,) = await items_of(world.probation)
        assert (await incoming.known(tx, sealed.message_id, world.social_work.desk, world.probation.desk)) is None
    await world.probation.take((item,))
    async with world.probation.parts.store.read() as tx:
        assert await incoming.known(tx, sealed.message_id, world.prison.desk, world.probation.desk)
        assert not await incoming.known(tx, sealed.message_id, world.social_work.desk, world.probation.desk)


# One transaction


@pytest.mark.parametrize("step", ["mark_seen", "add", "advance", "_answer", "stored"])
async def test_con_3_a_failure_at_any_step_leaves_nothing_and_the_next_try_completes(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await world.prison.send(world.probation.desk)
    (item,) = await items_of(world.probation)
    owner = {"mark_seen": incoming, "add": incoming, "advance": sequences, "_answer": Delivery, "stored": mailboxes}[
        step
    ]

    async def fail(*_: object, **__: object) -> None:
        raise StoreFailed

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, fail)
        with pytest.raises(StoreFailed):
            await world.probation.parts.inbox.take((item,))
    for table in ("incoming", "replay", "sequence", "outgoing", "mailbox", "quarantine"):
        assert await count(world.probation, table) == 0
    assert await world.probation.parts.inbox.unacknowledged() is None
    await world.probation.turn()
    assert (await world.probation.parts.overview.status()).counts.received == 1


async def test_con_3_nothing_is_acknowledged_before_it_is_stored(world: World) -> None:
    await world.prison.send(world.probation.desk)
    items = await items_of(world.probation)
    assert await world.probation.parts.inbox.unacknowledged() is None
    await world.probation.parts.inbox.take(items)
    assert await world.probation.parts.inbox.unacknowledged() == items[-1].index


# Poison


async def test_http_10_items_that_cannot_be_read_do_not_block_the_mailbox(world: World) -> None:
    await world.prison.send(world.probation.desk)
    (good,) = await items_of(world.probation)
    poison: Sequence[bytes] = [b"", b"\x00", b"\xff" * 100, good.data[:-1], good.data + b"\x00", b"\x8a" + b"\x80" * 10]
    items = [Item(good.index, ItemKind.SLICE, data) for data in poison]
    notices = [Item(good.index, ItemKind.NOTICE, data) for data in poison]
    await world.probation.parts.inbox.take((*items, *notices, good))
    assert set(await world.probation.quarantined()) == {"malformed-envelope"}
    assert (await world.probation.parts.overview.status()).counts.received == 1


async def test_http_10_what_nobody_foresaw_goes_into_quarantine_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.prison.send(world.probation.desk)
    await world.prison.send(world.probation.desk)
    first, second = await items_of(world.probation)

    def fail(*_: object) -> None:
        raise ZeroDivisionError("planted-phrase in an exception")

    with monkeypatch.context() as patch:
        patch.setattr(world.probation.parts.inbox._admission, "admit", fail)
        await world.probation.parts.inbox.take((first,))
    await world.probation.parts.inbox.take((second,))
    assert await world.probation.quarantined() == ["internal-error"]
    # It is reported, so that it comes again: a mistake of ours must not lose a handover.
    assert (await world.probation.parts.overview.status()).counts.received == 1
    for station in (world.probation, world.prison, world.probation):
        await station.turn()
    assert (await world.probation.parts.overview.status()).counts.received == 2
    assert "planted-phrase" not in world.probation.logged.getvalue()


async def test_http_10_the_same_poison_delivered_again_is_one_entry(world: World) -> None:
    poison = Item(3, ItemKind.SLICE, b"poison")
    for _ in range(3):
        await world.probation.parts.inbox.take((poison,))
    assert await world.probation.quarantined() == ["malformed-envelope"]


async def test_http_10_the_sender_of_a_poison_message_is_told_and_seals_it_anew(world: World) -> None:
    hand = Hand(world)
    await hand.submit(hand.seal(world.probation.desk, payload=b"{}"))
    await world.probation.turn()
    assert await world.probation.quarantined() == ["malformed-envelope"]
    # The report is of a message that the prison's connector did not send (the test did), and so counts for nothing.
    await world.prison.collect()
    assert await world.prison.quarantined() == ["policy-denied"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"payload": b"{}"}, "malformed-envelope"),
        # Section 5, attack 3: content in the machine state that every recipient reads.
        ({"payload": offer()[:-1] + b',"zz":"content"}'}, "malformed-envelope"),
        ({"payload_type": "unknown.type"}, "malformed-envelope"),
        ({"klass": EnvelopeClass.RECORD}, "malformed-envelope"),
        ({"klass": EnvelopeClass.RECEIPT, "sections": []}, "malformed-envelope"),
        ({"sections": [(b"not json", None)]}, "malformed-envelope"),
        ({"sections": [(encode_payload(person_section().body) + b" ", None)]}, "malformed-envelope"),
    ],
)
async def test_content_that_cannot_be_read_is_found_at_the_door(
    world: World, more: dict[str, object], code: str
) -> None:
    desk = world.probation.desk
    if "sections" in more:
        more["sections"] = [(body, [desk]) for body, _ in more["sections"]]  # type: ignore[attr-defined]
    hand = Hand(world)
    await hand.submit(hand.seal(desk, thread=None, **more))
    await world.probation.collect()
    assert await world.probation.quarantined() == [code]
    assert await count(world.probation, "incoming") == 0


class Careless:
    """A composer that gives every section to every desk."""

    def sections(self, message: OutgoingMessage) -> tuple[SectionDraft, ...]:
        return HandoverComposer().sections(message)

    def share(self, message: OutgoingMessage, function: str) -> Share:
        return Share(included=tuple(range(len(self.sections(message)))))


async def test_con_7_a_section_that_the_desk_may_never_hold_is_refused_whole_and_reported(world: World) -> None:
    """Section 5, attack 2: a sender gives a recipient the key of a section that is not for it."""
    intelligence = PackageSection(
        category=Category.INTELLIGENCE,
        purpose=Purpose.PUBLIC_PROTECTION,
        basis=Basis.STATUTE,
        citation="Invented Act, art. 3",
        label=Label.RESTRICTED,
        functions=(DeskFunction.PRISON_SECURITY,),
        body=Narrative(entries=()),
    )
    careless: dict[str, Composer] = {"handover.offer": Careless()}
    world.prison.parts.sealer._composers = careless
    sent = await world.prison.send(world.social_work.desk, content=package(person_section(), intelligence))
    await world.social_work.turn()
    assert await world.social_work.quarantined() == ["policy-denied"]
    assert await count(world.social_work, "incoming") == 0
    await world.prison.collect()
    (recipient,) = (await world.prison.view(sent)).recipients
    assert (recipient.state, recipient.error) == (MessageState.QUEUED, "cannot-open")


async def test_an_agency_sends_only_what_its_certificate_allows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.prison.send(world.probation.desk)
    register = world.probation.parts.directory.directory._register
    entries = register.agencies[world.prison.member.address]
    monkeypatch.setitem(
        register.agencies, world.prison.member.address, [replace(entries[0], payload_types=("receipt.opened",))]
    )
    await world.probation.collect()
    assert await world.probation.quarantined() == ["policy-denied"]


async def test_a_stranger_s_slice_is_not_for_us(world: World) -> None:
    await world.prison.send(world.social_work.desk)
    (item,) = await items_of(world.social_work)
    await world.probation.parts.inbox.take((item,))
    assert await world.probation.quarantined() == ["not-a-recipient"]


async def test_env_17_what_a_device_sent_before_it_was_revoked_opens_and_is_marked(
    world: World, hub: RunningHub
) -> None:
    """Attack 35."""
    sent = await world.prison.send(world.probation.desk)
    hub.clock.advance(MINUTE)
    hub.programme.now = hub.clock()
    hub.programme.revoke_device(world.prison.member)
    await hub.catch_up()
    await world.probation.look()
    await world.probation.collect()
    view = await world.probation.view(sent)
    assert view.origin is not None
    assert view.origin.marks == ["revoked-since"]


async def test_dir_8_a_message_under_an_old_prekey_is_marked(world: World, hub: RunningHub) -> None:
    hub.clock.advance(15 * DAY)
    await world.prison.look()
    sent = await world.prison.send(world.probation.desk)
    await world.probation.look()
    await world.probation.collect()
    view = await world.probation.view(sent)
    assert view.origin is not None
    assert view.origin.marks == ["old-prekey"]
