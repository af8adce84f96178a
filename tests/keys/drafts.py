# SPDX-License-Identifier: Apache-2.0
"""Messages as connectors make them, for tests of sealing."""

from collections.abc import Sequence

from keys.sealing import MessageDraft, Recipient, SectionDraft, choose_prekey, seal
from protocol.ids import EnvelopeId, MessageId
from protocol.rows import EnvelopeClass
from tests.keys.forger import ENVELOPE, MESSAGE, THREAD
from tests.keys.world import DAY, NOW, Cast, Member, World


def draft(
    sender: Member, *bodies: bytes, klass: EnvelopeClass = EnvelopeClass.REFERRAL, **changes: object
) -> MessageDraft:
    """Return a message with one section for each body."""
    fields: dict[str, object] = {
        "sender_desk": sender.desk,
        "agency": sender.address,
        "klass": klass,
        "message_id": MESSAGE,
        "thread": THREAD,
        "after": (),
        "expires": NOW + 30 * DAY,
        "payload_type": "handover.offer",
        "payload_version": 1,
        "payload": b'{"kind":"handover.offer"}',
        "label": "standard",
        "sections": tuple(
            SectionDraft(f"category-{n}", "supervision", "restricted", one) for n, one in enumerate(bodies)
        ),
        "actor": sender.actor,
    }
    return MessageDraft(**{**fields, **changes})  # type: ignore[arg-type]


def recipient(
    world: World, one: Member, *sections: int, seq: int = 1, previous: MessageId | None = None, now: int = NOW
) -> Recipient:
    """Return `one` as a recipient of these sections."""
    choice = choose_prekey(world.directory, one.desk, now)
    return Recipient(
        one.desk,
        choice.device.key_id,
        choice.prekey.epoch,
        choice.prekey.public,
        sections,
        seq,
        previous,
        due=NOW + DAY,
        answers=None,
    )


def seal_for(
    world: World, sender: Member, message: MessageDraft, to: Sequence[Recipient], *, envelope_id: EnvelopeId = ENVELOPE
) -> bytes:
    """Seal with the world's directory as the sender's own."""
    view = (world.directory.size, world.directory.root)
    return seal(message, to, sender.device, view, now=NOW, envelope_id=envelope_id)


def two_recipients(cast: Cast) -> bytes:
    """Return an envelope for the probation office (sections 1, 2) and the centre for social work (section 1)."""
    to = [recipient(cast.world, cast.probation, 1, 2), recipient(cast.world, cast.social_work, 1)]
    return seal_for(cast.world, cast.prison, draft(cast.prison, b"identity", b"risk"), to)
