# SPDX-License-Identifier: Apache-2.0
"""A1, *opened*, and its negative: what a receiving connector tells the sending desk of an envelope (CON-4).

Both are envelopes of class receipt like any other: signed by the device, sealed for the desk, logged by the
hub. Their payload names the message and the digest of the very sealing that was, or was not, opened. When
even the claims could not be read the message is not known, and the digest alone names the sealing. Where a message
had been taken in before, A1 also names the sealing by which: whichever A1 arrives first or at all, both sides know
the same place of the message in the hub's order (LIF-4).

A third one asks for a message that is missing, by its id alone: whoever asks has no sealing of it (SEQ-10). The fourth
says that one will not come any more, and where it stood (SEQ-11). The fifth says that one takes a place that another
has, and how far its line has come (SEQ-12).
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field, StringConstraints, TypeAdapter

from connectors.store.incoming import ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from protocol import ids, shapes
from protocol.address import DeskAddress
from protocol.content import Content, decode_content, encode_payload
from protocol.errors import InvalidInput, MalformedEnvelope
from protocol.ids import Kind, MessageId, ThreadId
from protocol.rows import EnvelopeClass
from protocol.sections import Actor
from protocol.sequence import Position

OPENED: Final = "receipt.opened"
CANNOT_OPEN: Final = "receipt.cannot-open"
MISSING: Final = "receipt.missing"
GIVEN_UP: Final = "receipt.given-up"
FORK: Final = "receipt.fork"
VERSION: Final = 1
LABEL: Final = "standard"

_MAX_PAYLOAD: Final = 512


_Number: TypeAlias = Annotated[int, Field(ge=0, le=shapes.MAX_NUMBER)]
_Digest: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Report(Content):
    """The payload of both receipts; `first` is the sealing that was taken in, where that was another one.

    `late` says that it came when its place had been passed because its sender had given it up, `incomplete` that it
    had its effect and its attachments never came (SEQ-11). `index` and `at` are the leaf index and the hub's time of
    the sealing that was taken in, as its slice's receipt says.
    """

    digest: _Digest
    message_id: str | None = None
    first: _Digest | None = None
    late: Literal[True] | None = None
    incomplete: Literal[True] | None = None
    index: _Number | None = None
    at: _Number | None = None

    @property
    def envelope_digest(self) -> bytes:
        """The digest of the sealing, 32 bytes."""
        return bytes.fromhex(self.digest)

    @property
    def first_digest(self) -> bytes:
        """The digest of the sealing that the message was taken in by, 32 bytes."""
        return bytes.fromhex(self.first or self.digest)

    @property
    def place(self) -> tuple[int, int] | None:
        """Leaf index and time of that sealing, None where they are not said."""
        return None if self.index is None or self.at is None else (self.index, self.at)

    @property
    def message(self) -> MessageId | None:
        """The message, if the reporter could read which it is; `MalformedEnvelope` for an id of another form."""
        return None if self.message_id is None else _named(self.message_id)


class Wanted(Content):
    """The payload of the receipt that asks for a message."""

    message_id: str

    @property
    def message(self) -> MessageId:
        """The message that is missing; `MalformedEnvelope` for an id of another form."""
        return _named(self.message_id)


class GivenUp(Content):
    """The payload of the receipt that says that a message will not come; without `seq` its sender knows no more."""

    message_id: str
    seq: Annotated[int, Field(ge=1, le=shapes.MAX_NUMBER)] | None = None
    previous_id: str | None = None

    @property
    def message(self) -> MessageId:
        """Which message; `MalformedEnvelope` for an id of another form."""
        return _named(self.message_id)

    @property
    def previous(self) -> MessageId | None:
        """The one before it, None for the first; `MalformedEnvelope` for an id of another form."""
        return None if self.previous_id is None else _named(self.previous_id)


class Forked(Content):
    """The payload of the receipt that refuses a message for its place; `seq` and `last_id` are what came last."""

    message_id: str
    seq: Annotated[int, Field(ge=1, le=shapes.MAX_NUMBER)]
    last_id: str

    @property
    def message(self) -> MessageId:
        """Which message; `MalformedEnvelope` for an id of another form."""
        return _named(self.message_id)

    @property
    def taken(self) -> Position:
        """How far the line has come; `MalformedEnvelope` for an id of another form."""
        return Position(self.seq, _named(self.last_id))


_REPORT: TypeAdapter[Report] = TypeAdapter(Report)
_WANTED: TypeAdapter[Wanted] = TypeAdapter(Wanted)
_GIVEN_UP: TypeAdapter[GivenUp] = TypeAdapter(GivenUp)
_FORKED: TypeAdapter[Forked] = TypeAdapter(Forked)


def _named(text: str) -> MessageId:
    try:
        return MessageId(ids.raw(Kind.MESSAGE, text))
    except InvalidInput:
        raise MalformedEnvelope("The receipt names no message.") from None


def read_report(payload: bytes) -> Report:
    """Read the payload of a receipt, or raise `MalformedEnvelope`."""
    return decode_content(_REPORT, payload, what="a receipt of version 1", limit=_MAX_PAYLOAD)


def read_wanted(payload: bytes) -> MessageId:
    """Return which message a receipt asks for, or raise `MalformedEnvelope`."""
    return decode_content(_WANTED, payload, what="a question of version 1 for a message", limit=_MAX_PAYLOAD).message


def read_given_up(payload: bytes) -> GivenUp:
    """Read the payload of the receipt that gives a message up, or raise `MalformedEnvelope`."""
    said = decode_content(_GIVEN_UP, payload, what="a message given up, of version 1", limit=_MAX_PAYLOAD)
    if said.seq is None and said.previous_id is not None:
        raise MalformedEnvelope("A message without a place has none before it.")
    _ = said.message, said.previous
    return said


def read_forked(payload: bytes) -> Forked:
    """Read the payload of the receipt that refuses a message for its place, or raise `MalformedEnvelope`."""
    said = decode_content(_FORKED, payload, what="a message refused, of version 1", limit=_MAX_PAYLOAD)
    _ = said.message, said.taken
    return said


def report(
    payload_type: str,
    *,
    digest: bytes,
    message_id: MessageId | None,
    thread: ThreadId,
    sender: DeskAddress,
    actor: Actor,
    now: int,
    deadline: int,
    first: ReceivedMessage | None = None,
    late: bool = False,
    incomplete: bool = False,
) -> OutgoingMessage:
    """Return the receipt that the desk `sender` of ours sends; `now` and `deadline` in ms UTC.

    `first` is the message as it was taken in, be it by this sealing or another; it came `late`
    if its place had been passed, and is `incomplete` if its attachments never came.
    """
    text = None if message_id is None else ids.text(Kind.MESSAGE, message_id)
    said = Report(
        digest=digest.hex(),
        message_id=text,
        first=first.digest.hex() if first is not None and first.digest != digest else None,
        late=late or None,
        incomplete=incomplete or None,
        index=None if first is None else first.leaf_index,
        at=None if first is None else first.accepted_at,
    )
    return _receipt(payload_type, said, thread, sender, actor, now, deadline)


def ask(
    message_id: MessageId, *, thread: ThreadId, sender: DeskAddress, actor: Actor, now: int, deadline: int
) -> OutgoingMessage:
    """Return the receipt by which the desk `sender` of ours asks for a message that is missing in `thread` (SEQ-10)."""
    said = Wanted(message_id=ids.text(Kind.MESSAGE, message_id))
    return _receipt(MISSING, said, thread, sender, actor, now, deadline)


def give_up(
    message_id: MessageId,
    place: Position | None,
    *,
    thread: ThreadId,
    sender: DeskAddress,
    actor: Actor,
    now: int,
    deadline: int,
) -> OutgoingMessage:
    """Return the receipt by which the desk `sender` of ours says that a message of its will not come (SEQ-11).

    `place` is its number and the message before it, None if this machine does not have it any more.
    """
    previous = None if place is None or place.last is None else ids.text(Kind.MESSAGE, place.last)
    said = GivenUp(
        message_id=ids.text(Kind.MESSAGE, message_id),
        seq=None if place is None else place.seq,
        previous_id=previous,
    )
    return _receipt(GIVEN_UP, said, thread, sender, actor, now, deadline)


def refuse(
    message_id: MessageId,
    taken: Position,
    *,
    thread: ThreadId,
    sender: DeskAddress,
    actor: Actor,
    now: int,
    deadline: int,
) -> OutgoingMessage:
    """Return the receipt by which the desk `sender` of ours refuses a message whose place another has (SEQ-12).

    `taken` is how far its line has come here; that is never its beginning, at which nothing can be refused.
    """
    assert taken.last is not None  # noqa: S101 - what came first on a line is on no fork
    said = Forked(
        message_id=ids.text(Kind.MESSAGE, message_id), seq=taken.seq, last_id=ids.text(Kind.MESSAGE, taken.last)
    )
    return _receipt(FORK, said, thread, sender, actor, now, deadline)


def _receipt(
    payload_type: str, said: Content, thread: ThreadId, sender: DeskAddress, actor: Actor, now: int, deadline: int
) -> OutgoingMessage:
    return OutgoingMessage(
        message_id=MessageId(ids.new_id()),
        thread=thread,
        klass=EnvelopeClass.RECEIPT,
        sender_desk=sender,
        payload_type=payload_type,
        payload_version=VERSION,
        label=LABEL,
        actor=actor,
        created_at=now,
        deadline=deadline,
        payload=encode_payload(said),
    )
