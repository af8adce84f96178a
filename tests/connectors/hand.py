# SPDX-License-Identifier: Apache-2.0
"""What tests do by hand: seal whatever a liar would, and look at what became of it."""

from sqlalchemy import func, select

from connectors.receipts import report
from connectors.store import outgoing, tables
from connectors.store.recipients import Plan
from protocol.address import AgencyAddress, DeskAddress
from protocol.clearance import DeskFunction
from protocol.content import encode_payload
from protocol.frames import Item
from protocol.handover import parties_for
from protocol.http.handovers import RecipientView
from protocol.ids import Kind, MessageId, ThreadId, new_id, text
from protocol.limits import DAY
from protocol.receipts import parse_receipt
from tests.connectors.conftest import World
from tests.connectors.stations import Station, package, person_section
from tests.programme import Sealed, Sender


def offer() -> bytes:
    """Return a payload that any recipient can read."""
    recipients = [(AgencyAddress("reka-probation@hub.example"), DeskFunction.PROBATION_INTAKE)]
    parties = parties_for(text(Kind.SUBJECT, new_id()), AgencyAddress("gora-prison@hub.example"), recipients)
    return encode_payload(package().offer(parties))


BODY = encode_payload(person_section("sent by hand").body)


class Hand:
    """Seals as the prison's device would, with whatever seq and content a test wants."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sender: Sender = world.hub.programme.sender("gora-prison")
        self.client = world.hub.device(world.prison.member)

    def seal(self, *desks: DeskAddress, thread: ThreadId | None = None, **more: object) -> Sealed:
        more.setdefault("payload", offer())
        more.setdefault("sections", [(BODY, desks)])
        return self.sender.seal(*desks, thread=thread, now=self.world.hub.clock(), **more)  # type: ignore[arg-type]

    async def submit(self, *sealed: Sealed) -> None:
        for one in sealed:
            await self.client.submit(one.data)


async def items_of(station: Station) -> tuple[Item, ...]:
    return await station.link.receive(0)


async def count(station: Station, table: str) -> int:
    async with station.parts.store.read() as tx:
        return (
            await tx.connection.execute(select(func.count()).select_from(tables.metadata.tables[table]))
        ).scalar_one()


async def only_recipient(station: Station, message_id: MessageId) -> RecipientView:
    (recipient,) = (await station.view(message_id)).recipients
    return recipient


async def say(
    station: Station, payload_type: str, to: DeskAddress, digest: bytes, message_id: MessageId | None
) -> None:
    """Have a connector send whatever receipt a liar would."""
    now = station.parts.sealer._clock()
    message = report(
        payload_type,
        digest=digest,
        message_id=message_id,
        thread=ThreadId(new_id()),
        sender=station.desk,
        actor=station.member.actor,
        now=now,
        deadline=now + DAY,
    )
    async with station.parts.store.write() as tx:
        await outgoing.add(tx, message, {to: Plan()})
    await station.seal_and_send()


async def digest_of(station: Station, message_id: MessageId) -> bytes:
    receipt = (await only_recipient(station, message_id)).receipt
    assert receipt is not None
    return parse_receipt(receipt).body.detail.digest
