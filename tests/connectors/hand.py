# SPDX-License-Identifier: Apache-2.0
"""What tests do by hand: seal whatever a liar would, and look at what became of it."""

from dataclasses import replace
from typing import Any

from sqlalchemy import func, select

from connectors.receipts import report
from connectors.store import outgoing, tables
from connectors.store.incoming import IncomingState, ReceivedMessage
from connectors.store.recipients import Plan
from keys.sealing import MessageDraft, Recipient, SectionDraft, choose_prekey, seal
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.clearance import DeskFunction
from protocol.content import encode_payload
from protocol.frames import Item
from protocol.handover import parties_for
from protocol.http.handovers import RecipientView
from protocol.ids import EnvelopeId, KeyId, Kind, MessageId, OfficerId, ThreadId, new_id, text
from protocol.limits import DAY
from protocol.receipts import parse_receipt
from protocol.rows import EnvelopeClass
from protocol.sections import Actor, ActorKind
from tests.connectors.conftest import World
from tests.connectors.stations import Station, package, person_section
from tests.programme import Member, Sealed, Sender


def offer() -> bytes:
    """Return a payload that any recipient can read."""
    recipients = [(AgencyAddress("reka-probation@hub.example"), DeskFunction.PROBATION_INTAKE)]
    parties = parties_for(text(Kind.SUBJECT, new_id()), AgencyAddress("gora-prison@hub.example"), recipients)
    return encode_payload(package().offer(parties))


BODY = encode_payload(person_section("sent by hand").body)
OFFER = offer()


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


def sealed_as(
    world: World,
    member: Member,
    desk: DeskAddress,
    message_id: MessageId,
    *bodies: bytes,
    thread: ThreadId | None = None,
    **changes: Any,
) -> bytes:
    """Return an envelope of `member` to `desk` under whatever message_id and place it likes."""
    programme, now = world.hub.programme, world.hub.clock()
    choice = choose_prekey(programme.directory, desk, now)
    section = changes.pop("section", SectionDraft("identity", "continuity-of-care", "standard", BODY))
    seq, previous = changes.pop("seq", 1), changes.pop("previous", None)
    sections = tuple(replace(section, body=body) for body in bodies)
    draft = MessageDraft(
        sender_desk=member.desk,
        agency=member.address,
        klass=EnvelopeClass.REFERRAL,
        message_id=message_id,
        thread=thread or ThreadId(new_id()),
        after=(),
        expires=now + 30 * DAY,
        payload_type="handover.offer",
        payload_version=1,
        payload=OFFER,
        label="standard",
        sections=sections,
        actor=member.actor,
    )
    numbers = tuple(range(1, len(sections) + 1))
    recipient = Recipient(desk, choice.device.key_id, choice.prekey.epoch, choice.prekey.public, numbers, seq, previous)
    size_and_root = (programme.directory.size, programme.directory.root)
    return seal(
        replace(draft, **changes), [recipient], member.device, size_and_root, now=now, envelope_id=EnvelopeId(new_id())
    )


def claimed(payload_type: str, desk: DeskAddress, device_id: KeyId, to: DeskAddress | None = None) -> ReceivedMessage:
    """Return a receipt as if it had been verified, from a desk and device of the test's choice."""
    return ReceivedMessage(
        message_id=MessageId(bytes(16)),
        thread=ThreadId(bytes(16)),
        klass=EnvelopeClass.RECEIPT,
        payload_type=payload_type,
        payload_version=1,
        sender_desk=desk,
        recipient_desk=to or desk,
        agency=agency_of(desk),
        actor=Actor(OfficerId(bytes(16)), ActorKind.SERVICE, "connector service", bytes(32)),
        device_id=device_id,
        envelope_id=EnvelopeId(bytes(16)),
        digest=bytes(32),
        seq=1,
        previous=None,
        state=IncomingState.DELIVERED,
        label="standard",
        leaf_index=1,
        accepted_at=1,
        received_at=1,
        marks=(),
        payload=b"{}",
        sections=(),
    )
