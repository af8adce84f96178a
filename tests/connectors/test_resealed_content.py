# SPDX-License-Identifier: Apache-2.0
"""A message_id stands for one content: what comes again under it is the same message, or is not answered."""

from typing import Any

import pytest
from sqlalchemy import select

from connectors.receipts import OPENED, read_report
from connectors.store import incoming, outgoing, resealed
from connectors.store.tables import outgoing as outgoing_table
from protocol.content import encode_payload
from protocol.envelope import parse_envelope
from protocol.ids import MessageId, ThreadId, new_id
from tests.connectors.conftest import World
from tests.connectors.hand import BODY, offer, sealed_as
from tests.connectors.stations import Station, person_section

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

OTHER_BODY = encode_payload(person_section("something else entirely").body)
THREAD = ThreadId(bytes(16))


async def answered(station: Station) -> set[bytes]:
    """Return the digests that the station has queued an A1 for."""
    async with station.parts.store.read() as tx:
        found = await tx.connection.execute(
            select(outgoing_table.c.message_id).where(outgoing_table.c.payload_type == OPENED)
        )
        return {read_report((await outgoing.load(tx, one)).payload).envelope_digest for one in found.scalars()}


@pytest.mark.parametrize(
    "change",
    [
        {"thread": ThreadId(b"another thread!!")},
        {"seq": 2, "previous": MessageId(b"somebody else's.")},
        {"payload": offer()},
        {"label": "restricted"},
        {"bodies": (OTHER_BODY,)},
        {"bodies": (BODY, OTHER_BODY)},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_seq_5_another_content_under_a_known_message_id_is_never_answered(
    world: World, change: dict[str, Any]
) -> None:
    member, desk, message_id = world.prison.member, world.probation.desk, MessageId(new_id())
    bodies = change.pop("bodies", (BODY,))
    first = sealed_as(world, member, desk, message_id, BODY, thread=THREAD)
    second = sealed_as(world, member, desk, message_id, *bodies, **{"thread": THREAD, **change})
    for envelope in (first, second):
        await world.hub.device(member).submit(envelope)
        await world.probation.collect()
    assert await world.probation.quarantined() == ["sequence-error"]
    assert await answered(world.probation) == {parse_envelope(first).digest}
    assert len((await world.probation.view(message_id)).sections) == 1


async def test_seq_5_every_sealing_that_was_answered_is_kept(world: World) -> None:
    member, desk, message_id = world.prison.member, world.probation.desk, MessageId(new_id())
    envelopes = [sealed_as(world, member, desk, message_id, BODY, thread=THREAD) for _ in range(3)]
    # Fewer sections are the sender's right: what may go is decided at every sealing (CON-7).
    envelopes.append(sealed_as(world, member, desk, message_id, thread=THREAD))
    for envelope in envelopes:
        await world.hub.device(member).submit(envelope)
    await world.probation.collect()
    assert await world.probation.quarantined() == []
    digests = {parse_envelope(envelope).digest for envelope in envelopes}
    assert await answered(world.probation) == digests
    async with world.probation.parts.store.read() as tx:
        (message,) = await incoming.find(tx, message_id, "handover.offer")
        assert {message.digest, *await resealed.slices_of(tx, message)} == digests
