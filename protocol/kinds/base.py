# SPDX-License-Identifier: Apache-2.0
"""What every kind of message has in common: machine state in section 0 (KIND-3), with its promises (KIND-2).

Section 0 is read by every recipient of the envelope, so a payload holds states, codes and dates only: no name, no
number of the person, no free text (ENV-12). Words go into sections, each under its category.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from protocol import ids
from protocol.address import parse_agency
from protocol.clocks import Ack, Span
from protocol.content import Content, Held, Line
from protocol.errors import InvalidInput
from protocol.fieldcodes import of_wrong_form
from protocol.handover import Priority
from protocol.holding import STATE
from protocol.ids import Kind
from protocol.lifecycle.machine import Machine
from protocol.rows import EnvelopeClass

MAX_PAYLOAD = 3_500
"""Bytes of an encoded payload; with its claims it must stay well inside section 0 (ENV-12)."""
MOST_INSTANT = 1 << 47
"""ms UTC; far beyond any date that is written."""

HELD = Held(STATE)
"""The mark of a field of machine state."""


def _id_of(kind: Kind) -> AfterValidator:
    def check(value: str) -> str:
        try:
            ids.raw(kind, value)
        except InvalidInput:
            raise of_wrong_form() from None
        return value

    return AfterValidator(check)


def _is_agency(value: str) -> str:
    try:
        return parse_agency(value)
    except InvalidInput:
        raise of_wrong_form() from None


Subject = Annotated[str, _id_of(Kind.SUBJECT), HELD]
"""The person's pseudonym in this thread (ID-1)."""
MessageRef = Annotated[str, _id_of(Kind.MESSAGE), HELD]
ThreadRef = Annotated[str, _id_of(Kind.THREAD), HELD]
OfficerRef = Annotated[str, _id_of(Kind.OFFICER), HELD]
AgencyRef = Annotated[str, AfterValidator(_is_agency), HELD]
Instant = Annotated[int, Field(ge=0, le=MOST_INSTANT), HELD]
"""A moment, in ms UTC."""
Day = Annotated[date, HELD]
Code = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64), HELD]
"""A value of a list that each jurisdiction keeps in its configuration, such as a service or a place."""
RegisterText = Annotated[Line, Field(max_length=60), HELD]
"""A number of the correspondence in an agency's register (delovodni broj, numri i protokollit), not of the person."""


class Capacity(StrEnum):
    """In which office somebody acts, where that is another than their own desk's."""

    DATA_PROTECTION = "data-protection"


class RegisterNumbers(Content):
    """The numbers under which both sides keep this correspondence; the recipient's is there once it is known."""

    sender: RegisterText | None = None
    recipient: RegisterText | None = None


class Payload(Content):
    """The fields of section 0 that every kind has; each kind adds its own."""

    max_bytes: ClassVar[int] = MAX_PAYLOAD

    version: Annotated[Literal[1], HELD] = 1
    subject: Subject
    occurred_at: Instant
    """When it happened, which can be long before it was sent."""
    register_numbers: Annotated[RegisterNumbers, HELD] = RegisterNumbers()
    priority: Annotated[Priority, HELD] = Priority.NORMAL
    supersedes: MessageRef | None = None
    retain_until: Day | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageKind:
    """One kind of message: what it is made of, what it moves, who has to answer until when.

    `name` is the payload type, `number` its row in the specification's table of kinds. `machine` and `event` say which
    row of a life cycle the message is; both are None for a message that moves none. `acks` are the rungs that are
    waited for; `due` is the proposed span of the last of them, where the priority does not say.
    """

    number: int
    name: str
    payload: type[Content]
    machine: Machine | None = None
    event: str | None = None
    klass: EnvelopeClass = EnvelopeClass.REFERRAL
    acks: frozenset[Ack] = frozenset({Ack.A1})
    due: Span | None = None
    version: int = 1


_A1: frozenset[Ack] = frozenset({Ack.A1})


def declared(
    number: int,
    payload: type[Content],
    acks: frozenset[Ack] = _A1,
    due: Span | None = None,
    *,
    step: tuple[Machine, str] | None = None,
    klass: EnvelopeClass = EnvelopeClass.REFERRAL,
) -> MessageKind:
    """Return the kind that `payload` is; its name is the payload's own, `step` the machine and event that it moves."""
    machine, event = step or (None, None)
    name = str(payload.model_fields["kind"].default)
    return MessageKind(
        number=number, name=name, payload=payload, machine=machine, event=event, acks=acks, due=due, klass=klass
    )


def registry(*families: tuple[MessageKind, ...]) -> Mapping[str, MessageKind]:
    """Return all kinds by payload type; raises ValueError for one that stands twice (KIND-1)."""
    found: dict[str, MessageKind] = {}
    for family in families:
        for kind in family:
            if kind.name in found:
                raise ValueError(f"the kind {kind.name} stands twice")
            found[kind.name] = kind
    return found
