# SPDX-License-Identifier: Apache-2.0
"""A step that an agency with copies gets at its second desk alone is answered as opened, so somebody must see it."""

import json
from pathlib import Path
from typing import Any

from connectors.cases.threads import history_of
from connectors.store import moves, threads
from protocol.ids import MessageId, ThreadId, new_id
from tests.connectors.cases.test_another_desk import DENIED, answered, send
from tests.connectors.cases.test_referral import settle
from tests.connectors.conftest import World
from tests.connectors.stations import Station
from tests.connectors.test_attachment_desks import copied, two_desks
from tests.connectors.test_one_id_two_people import payload_of

FIELDS: dict[str, Any] = {"trigger": {"expected_on": "2027-03-01"}, "reason": "release-moved"}
LATER: dict[str, Any] = {**FIELDS, "trigger": {"expected_on": "2027-04-01"}}


def says(fields: dict[str, Any], seq: int, previous: MessageId) -> dict[str, Any]:
    payload = payload_of("handover.change-date", fields)
    return {"payload_type": "handover.change-date", "payload": payload, "seq": seq, "previous": previous}


async def told(station: Station, thread: ThreadId) -> list[tuple[MessageId, str]]:
    """Return the days that were moved to, as they stand, with the message of each."""
    async with station.parts.store.read() as tx:
        row = await threads.find(tx, thread)
        assert row is not None
        stored = await moves.of(tx, thread)
    days = {one.message_id: json.loads(one.payload)["trigger"]["expected_on"] for one in stored[1:]}
    steps = history_of(row, stored).steps
    return [(one.move.message_id, days[one.move.message_id]) for one in steps if one.move.event == "change-date"]


async def test_lif_6_han_10_a_step_to_the_second_desk_of_who_observes_stands_once(world: World, tmp_path: Path) -> None:
    async with two_desks(tmp_path / "two", world) as both:
        offer = await copied(world, both)
        await settle(world.prison, both)
        thread, first, second = (await both.view(offer)).thread, MessageId(new_id()), MessageId(new_id())
        async with both.parts.store.read() as tx:
            found = await threads.find(tx, thread)
        assert found is not None
        own = both.installation.enrolment.desks.index(found.own_desk)
        opened = (await answered(both))["receipt.opened"]
        moved, lie, moved_again = says(FIELDS, 2, offer), says(LATER, 2, offer), says(LATER, 3, first)
        await send(world, both, 1 - own, thread, first, **moved)
        assert await told(both, thread) == [(first, "2027-03-01")]
        # What says something else under its id has no place in the history, at either desk.
        await send(world, both, own, thread, first, **lie)
        assert (await both.quarantined(), await told(both, thread)) == (DENIED, [(first, "2027-03-01")])
        # The same takes its number on the line of the thread's own desk, and the line goes on.
        for desk, message, said in ((own, first, moved), (own, second, moved_again), (1 - own, second, moved_again)):
            await send(world, both, desk, thread, message, **said)
        assert await told(both, thread) == [(first, "2027-03-01"), (second, "2027-04-01")]
        async with both.parts.store.read() as tx:
            assert [one.seq for one in await moves.of(tx, thread)] == [1, 2, 3]
        assert (await both.quarantined(), (await answered(both))["receipt.opened"]) == (DENIED, opened + 4)


async def test_lif_6_nor_does_a_stranger_say_anything_at_a_copy(world: World, tmp_path: Path) -> None:
    async with two_desks(tmp_path / "two", world) as both:
        offer = await copied(world, both)
        await settle(world.prison, both)
        thread, stranger = (await both.view(offer)).thread, world.social_work.member
        for desk in (0, 1):
            moved = says(FIELDS, 1, MessageId(bytes(16)))
            await send(world, both, desk, thread, MessageId(new_id()), by=stranger, **{**moved, "previous": None})
        assert (await both.quarantined(), await told(both, thread)) == (DENIED * 2, [])
