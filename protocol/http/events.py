# SPDX-License-Identifier: Apache-2.0
"""What happened at a connector, as CloudEvents 1.0 (JSON format): ids and states, never content (EVT-2)."""

from typing import Annotated, Final, Literal

from pydantic import Field

from protocol.errors import InvalidInput
from protocol.http.examples import MESSAGE, NOW, THREAD
from protocol.http.fields import EventIdText, MessageIdText, QueryModel, ResponseModel, ThreadIdText, Time
from protocol.http.handovers import Code
from protocol.http.operation import Auth, Example, Method, Operation, Scope
from protocol.limits import MAX_CODE

MAX_EVENTS: Final = 1_000
"""Events in one page at most."""
_TYPE: Final = r"^eu\.throughcare\.[a-z]+\.[a-z-]+\.v1$"
_SOURCE: Final = "urn:throughcare:agency:"


class EventData(ResponseModel):
    """What the event is about. A thread has a machine, our side, its state and its version; a message has an id."""

    thread: ThreadIdText
    message: MessageIdText | None
    machine: Code | None
    side: Code | None
    state: Code | None
    version: int | None


class CloudEvent(ResponseModel):
    """One event. `id` and `source` together are unique, and the same however often it is told."""

    specversion: Literal["1.0"] = "1.0"
    id: EventIdText
    source: Annotated[str, Field(min_length=1, max_length=300)]
    type: Annotated[str, Field(pattern=_TYPE, max_length=2 * MAX_CODE + 30)]
    subject: ThreadIdText
    time: Time
    datacontenttype: Literal["application/json"] = "application/json"
    data: EventData


class EventFilter(QueryModel):
    """Where to go on: behind the last event that the caller has; from the beginning without it."""

    after: EventIdText | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_EVENTS)] = 100


class EventPage(ResponseModel):
    """A page of events, oldest first; `next_after` is null where no more stand there now."""

    items: list[CloudEvent]
    next_after: EventIdText | None


def source_of(agency: str) -> str:
    """Return the URN of an agency as the source of its events."""
    return _SOURCE + agency


_EVENT: Final = "evt_" + "a" * 26

LIST_EVENTS = Operation(
    id="listEvents",
    method=Method.GET,
    path="/v1/events",
    summary="List what happened, oldest first, after the event that the caller has last.",
    description=(
        "Each change of a thread and each message that came is one event (EVT-1). Keep the id of the last one that you "
        "have dealt with, and ask with it again."
    ),
    auth=Auth.TOKEN,
    scope=Scope.READ,
    query=EventFilter,
    response=EventPage,
    following=("next_after", "after"),
    errors=(InvalidInput,),
    example=Example(
        query={"after": _EVENT},
        response={
            "items": [
                {
                    "specversion": "1.0",
                    "id": "evt_" + "b" * 25 + "a",
                    "source": "urn:throughcare:agency:gora-prison@hub.example",
                    "type": "eu.throughcare.referral.accepted.v1",
                    "subject": THREAD,
                    "time": NOW,
                    "datacontenttype": "application/json",
                    "data": {
                        "thread": THREAD,
                        "message": None,
                        "machine": "referral",
                        "side": "requester",
                        "state": "accepted",
                        "version": 4,
                    },
                },
                {
                    "specversion": "1.0",
                    "id": "evt_" + "c" * 25 + "a",
                    "source": "urn:throughcare:agency:gora-prison@hub.example",
                    "type": "eu.throughcare.message.received.v1",
                    "subject": THREAD,
                    "time": NOW,
                    "datacontenttype": "application/json",
                    "data": {
                        "thread": THREAD,
                        "message": MESSAGE,
                        "machine": None,
                        "side": None,
                        "state": None,
                        "version": None,
                    },
                },
            ],
            "next_after": None,
        },
    ),
)
