# SPDX-License-Identifier: Apache-2.0
"""The work itself: appointments, notes, rests, and the outcome that closes the loop."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol.content import Content
from protocol.fieldcodes import broken
from protocol.kinds.base import (
    HELD,
    Code,
    Day,
    Instant,
    Payload,
)
from protocol.kinds.reasons import (
    DataAction,
    EndReason,
    HoldReason,
)
from protocol.kinds.referral.request import MAX_SERVICES


class Mode(StrEnum):
    """How people meet."""

    IN_PERSON = "in-person"
    TELEPHONE = "telephone"
    VIDEO = "video"
    HOME_VISIT = "home-visit"


class Schedule(Payload):
    """`referral.schedule`: an appointment, the first or a further one; a later one takes the place of an open one."""

    kind: Literal["referral.schedule"] = "referral.schedule"
    appointment: Instant
    place: Code
    mode: Annotated[Mode, HELD] = Mode.IN_PERSON


class Attended(Payload):
    """`referral.attended`: the person came."""

    kind: Literal["referral.attended"] = "referral.attended"
    appointment: Instant


class NoShow(Payload):
    """`referral.no-show`: the person did not come; the first appointment and a second miss raise an alert."""

    kind: Literal["referral.no-show"] = "referral.no-show"
    appointment: Instant
    excused: Annotated[bool, HELD] = False


class AppointmentCancelled(Payload):
    """`referral.appointment-cancelled`: it does not take place; a new one is to be made."""

    kind: Literal["referral.appointment-cancelled"] = "referral.appointment-cancelled"
    appointment: Instant
    reason: Annotated[HoldReason, HELD]


class Period(Content):
    """From the first day to the last, both included."""

    first: Day
    last: Day

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise broken("ends-before-it-begins")
        return self


class Progress(Payload):
    """`referral.progress`: an interim note; the words are in a section."""

    kind: Literal["referral.progress"] = "referral.progress"
    period: Annotated[Period, HELD]


class Hold(Payload):
    """`referral.hold`: the referral rests until a day on which somebody looks again."""

    kind: Literal["referral.hold"] = "referral.hold"
    reason: Annotated[HoldReason, HELD]
    review_on: Day


class Resume(Payload):
    """`referral.resume`: it goes on where it rested."""

    kind: Literal["referral.resume"] = "referral.resume"


class Finish(Payload):
    """`referral.finish`: the service is over, the report follows."""

    kind: Literal["referral.finish"] = "referral.finish"


class GoalOutcome(StrEnum):
    """How far a service came."""

    ACHIEVED = "achieved"
    PARTLY_ACHIEVED = "partly-achieved"
    NOT_ACHIEVED = "not-achieved"
    NOT_STARTED = "not-started"


class ServiceOutcome(Content):
    """The outcome of one service."""

    code: Code
    outcome: Annotated[GoalOutcome, HELD]
    further_need: Annotated[bool, HELD] = False


_Outcomes = Annotated[tuple[ServiceOutcome, ...], Field(min_length=1, max_length=MAX_SERVICES), HELD]


class Complete(Payload):
    """`referral.complete`: the outcome of each service, and what became of the data."""

    kind: Literal["referral.complete"] = "referral.complete"
    outcome: _Outcomes
    data_action: Annotated[DataAction, HELD]


class EndEarly(Payload):
    """`referral.end-early`: the same before its time, with the reason."""

    kind: Literal["referral.end-early"] = "referral.end-early"
    reason: Annotated[EndReason, HELD]
    outcome: _Outcomes
    data_action: Annotated[DataAction, HELD]


class Change(StrEnum):
    """What changed for the person, as the requester sees it."""

    BETTER = "better"
    UNCHANGED = "unchanged"
    WORSE = "worse"
    NOT_KNOWN = "not-known"


class Close(Payload):
    """`referral.close`: the requester has read the outcome and says what changed for the person."""

    kind: Literal["referral.close"] = "referral.close"
    changed: Annotated[Change, HELD]
