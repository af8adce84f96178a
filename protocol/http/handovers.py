# SPDX-License-Identifier: Apache-2.0
"""The models of handovers as a connector's local interface shows them to the agency that may see them."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from protocol.characters import is_line
from protocol.content import MAX_LINE, is_clean
from protocol.handover import HandoverPackage
from protocol.http.fields import (
    AgencyText,
    Base64UrlBytes,
    BlobIdText,
    CursorText,
    DeskText,
    EnvelopeIdText,
    KeyIdText,
    MessageIdText,
    OfficerIdText,
    QueryModel,
    RequestModel,
    ResponseModel,
    ThreadIdText,
    Time,
)
from protocol.limits import MAX_BLOBS, MAX_CODE, MAX_NAME, MAX_SECTIONS

MAX_RECIPIENTS = 100
"""Desks of one handover."""
MAX_NOT_UNDERSTOOD = 5_000
MAX_PAGE = 200

Code = Annotated[str, Field(max_length=MAX_CODE)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(max_length=MAX_NAME)]


class Direction(StrEnum):
    """Which way a message went, seen from this connector."""

    SENT = "sent"
    RECEIVED = "received"


class MessageState(StrEnum):
    """Where a message stands, as its connector knows it."""

    QUEUED = "queued"
    """Stored here; not yet accepted by the hub."""
    ACCEPTED = "accepted"
    """The hub has signed an acceptance receipt."""
    OPENED = "opened"
    """A1: the recipient's connector has opened it."""
    FAILED = "failed"
    """A permanent error; its code is shown."""
    EXPIRED = "expired"
    """Nobody collected it in time."""
    RECEIVED = "received"
    """Received here, verified and complete."""
    HELD = "held"
    """Received here, waiting for the message before it (SEQ-1)."""
    DAMAGED = "damaged"
    """Stored here, and it cannot be read any more: in lists only. `throughcare doctor` says what to do."""


class NotUnderstood(RequestModel):
    """One place of the agency's export that the mapping did not use: its path and why, never its value."""

    path: Annotated[str, Field(max_length=500)]
    reason: Annotated[str, Field(max_length=200)]


class NamedAttachment(RequestModel):
    """An attachment that was stored before, and the section of the package that it belongs to, from 1."""

    id: BlobIdText
    section: Annotated[int, Field(ge=1, le=MAX_SECTIONS)]


class HandoverRequest(RequestModel):
    """A handover package for one or more desks.

    `officer` is who acts, the installation's service where it is null; `sender` is which of its own desks
    sends, the first where it is null. Attachments of one section stand in the order of their places.
    """

    to: Annotated[list[DeskText], Field(min_length=1, max_length=MAX_RECIPIENTS)]
    package: HandoverPackage
    sender: DeskText | None = None
    officer: OfficerIdText | None = None
    attachments: Annotated[list[NamedAttachment], Field(max_length=MAX_BLOBS)] = Field(default_factory=list)
    not_understood: Annotated[list[NotUnderstood], Field(max_length=MAX_NOT_UNDERSTOOD)] = Field(default_factory=list)


class SectionGoing(ResponseModel):
    """A section that goes to a desk."""

    number: Annotated[int, Field(ge=1, le=MAX_SECTIONS)]
    category: Code


class SectionWithheld(ResponseModel):
    """A section of a message that does not go to a desk, and why (CON-7); only the sender ever sees this."""

    number: Annotated[int, Field(ge=1, le=MAX_SECTIONS)]
    """Its place in the whole message, from 1."""
    category: Code
    purpose: Code
    reason: Name


class RecipientPlan(ResponseModel):
    """What one desk will get."""

    desk: DeskText
    sections: list[SectionGoing]
    withheld: list[SectionWithheld]


class HandoverQueued(ResponseModel):
    """The handover is stored durably and will be sent (CON-1)."""

    id: MessageIdText
    thread: ThreadIdText
    state: MessageState
    recipients: list[RecipientPlan]
    in_the_past: list[Code] = Field(default_factory=list)
    """Fields of its terms whose date was over when this was written, such as `answer_by`: it was sent all the same."""
    other_handovers: list[ThreadIdText] = Field(default_factory=list)
    """Other handovers of the same person, at most 20, that the other side can still accept or has: it may be offered
    twice (HAN-12)."""


class Page(QueryModel):
    """A page of a list; `cursor` comes from the page before."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    cursor: CursorText | None = None


class HandoverFilter(Page):
    """Which handovers to list: those of one direction, or all that came or went under one id."""

    direction: Direction | None = None
    id: MessageIdText | None = None


class HandoverItem(ResponseModel):
    """One handover in a list."""

    id: MessageIdText
    thread: ThreadIdText
    direction: Direction
    state: MessageState
    sender: DeskText
    recipients: list[DeskText]
    at: Time
    """When it was queued here, or accepted by the hub."""


class HandoverPage(ResponseModel):
    """A page of handovers, newest first."""

    items: list[HandoverItem]
    next_cursor: str | None


class HandoverPath(QueryModel):
    """Path parameters of one handover."""

    id: MessageIdText


class HandoverChoice(QueryModel):
    """Which one is meant, where several stand under one id: another agency can send under an id that it has seen.

    `recipient` is the desk of ours that it came for: its sender can send another under the same id to each.
    """

    sender: DeskText | None = None
    direction: Direction | None = None
    recipient: DeskText | None = None


def _one_clean_line(text: str) -> str:
    if not (is_clean(text) and is_line(text)):
        raise PydanticCustomError("wrong_form", "not one line of text in normal form C")
    return text


class AttachmentToStore(QueryModel):
    """What an attachment is called, what it is, and its place in its section, from 0 (ATT-2)."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_one_clean_line)]
    """In normal form C, and one line, as it travels sealed (CBOR-5)."""
    media_type: Annotated[str, Field(min_length=3, max_length=100, pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$")] = (
        "application/octet-stream"
    )
    place: Annotated[int, Field(ge=0, lt=MAX_BLOBS)] = 0


class AttachmentStored(ResponseModel):
    """An attachment is sealed and stored here; a handover may name it, once, for seven days."""

    id: BlobIdText
    size: int


class AttachmentPath(HandoverPath):
    """Path parameters of one attachment of a handover."""

    section: Annotated[int, Field(ge=1, le=MAX_SECTIONS)]
    place: Annotated[int, Field(ge=0, lt=MAX_BLOBS)]


class AttachmentChoice(QueryModel):
    """Whose handover is meant, and which of our desks it came for: each desk's sections have numbers of their own."""

    sender: DeskText | None = None
    recipient: DeskText | None = None


class AttachmentView(ResponseModel):
    """One attachment of a section; its name and type are what the sender says, nothing more."""

    place: int
    name: Name
    media_type: Name
    size: int
    """Bytes of the plaintext."""
    state: Code
    """`sent`; or, where it came, `waiting`, `stored`, or `failed`: then its sender was told and seals anew.

    `damaged` where what is stored of it cannot be read any more: it has no name then, and its size is 0.
    """


class Corrected(ResponseModel):
    """Which message of its sender says that something is wrong, and since when: the newest, where there are several."""

    message: MessageIdText
    at: Time


class SectionView(ResponseModel):
    """One section as this agency holds it: what it sent, or what it received and opened."""

    number: int
    """Its place in what was sent; or in what came for `desks`, where it may be another section at another desk."""
    category: Code
    purpose: Code
    label: Code
    body: dict[str, JsonValue]
    attachments: list[AttachmentView] = Field(default_factory=list)
    basis: Code | None = None
    """Of what was sent: the ground in law on which it went. No recipient is told."""
    citation: Annotated[str, Field(max_length=MAX_LINE)] | None = None
    """Of what was sent: where that stands in the law."""
    desks: list[DeskText] = Field(default_factory=list)
    """Of what came: the desks of ours that it came for, under this number."""
    corrected: Corrected | None = None
    """Its sender has corrected the message that it came or went with (KIND-9); `corrections` beside it say how."""


class CorrectionView(ResponseModel):
    """A correction (`record.correction`) of a message by the agency that sent that one (KIND-9)."""

    message: MessageIdText
    thread: ThreadIdText
    corrects: MessageIdText
    """The message beside which it stands, or an earlier correction of that."""
    sender: DeskText
    signer: Name
    at: Time
    act_on: list[Code]
    sections: list[SectionView]
    """What takes the place of what was wrong, as far as it came here."""


class SealingView(ResponseModel):
    """One sealing of a message for one desk, as its sender keeps it: no later one changes it (CON-17)."""

    envelope_id: EnvelopeIdText
    digest: Digest
    """SHA-256 of the envelope, which the hub's log commits to."""
    sealed_at: Time | None
    """Null, as `function`, `signer` and `delegation`, where a version that kept none made it."""
    accepted_at: Time | None
    leaf_index: int | None
    """Its place in the hub's log, once the hub has accepted it."""
    opened_at: Time | None
    """When the first A1 came that names it; null while nobody has said that it was opened."""
    taken_in: bool
    """The desk has the message by this one: it says so in A1 (CON-4)."""
    function: Code | None
    """That of the desk when this was sealed, by which it was decided what may go (CON-7)."""
    sections: list[SectionGoing]
    withheld: list[SectionWithheld]
    signer: Name | None
    delegation: Digest | None
    """Who acted, and under which delegation: another one than composed the message may have to (CON-12)."""
    marks: list[Code]
    """As of a recipient; also `content-not-kept`, where a version before did not keep what this one held."""
    receipt: Base64UrlBytes | None
    """The acceptance receipt, as signed by the hub (AUD-5)."""


class RecipientView(ResponseModel):
    """How a message stands at one desk. A receiver sees its own desk only, and of handovers only.

    At the sender `sections`, `withheld`, `envelope_id`, `accepted_at`, `marks` and `receipt` are those of the newest
    sealing. Of an opened one they are of the first by which the desk took it in, as `opened_at` is; `sections` are all
    that it was ever shown, and `marks` those of each that it took in. `sealings` has each by itself.
    """

    desk: DeskText
    state: MessageState
    sections: list[SectionGoing]
    withheld: list[SectionWithheld]
    envelope_id: EnvelopeIdText | None
    attempts: int
    accepted_at: Time | None
    opened_at: Time | None
    error: Code | None
    detail: Annotated[str, Field(max_length=500)] | None
    marks: list[Code]
    """What the sender should know of the sealing: `old-prekey` (DIR-8), `old-directory` (DIR-11),
    `without-attachments` if they were deleted here before; `damaged` if what was stored of it cannot be read."""
    receipt: Base64UrlBytes | None
    """The acceptance receipt, as signed by the hub (AUD-5)."""
    sealings: list[SealingView] = Field(default_factory=list)
    """At the sender: every sealing for this desk that is still known, the oldest first."""


class Origin(ResponseModel):
    """Who is proven to have sent a received message."""

    agency: AgencyText
    desk: DeskText
    device: KeyIdText
    officer: Name
    officer_kind: Code
    leaf_index: int
    marks: list[Code]
    """What a person should know: `revoked-since` (ENV-17), `old-prekey` (DIR-8)."""


class HandoverView(ResponseModel):
    """One handover with all that this agency may see of it."""

    id: MessageIdText
    thread: ThreadIdText
    direction: Direction
    state: MessageState
    at: Time
    offer: dict[str, JsonValue]
    sections: list[SectionView]
    recipients: list[RecipientView]
    origin: Origin | None
    not_understood: list[NotUnderstood]
    """At the sender only."""
    corrections: list[CorrectionView] = Field(default_factory=list)
    """What its sender has said since is wrong in it, the oldest first (KIND-9)."""
    withheld: Code | None = None
    """Why nobody is shown what came in its sections: its thread was entered in error (CON-26)."""
