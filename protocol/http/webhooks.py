# SPDX-License-Identifier: Apache-2.0
"""Webhooks on a connector's local interface: what they have not confirmed, and telling it again (EVT-5)."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from protocol.errors import InvalidInput, NotFound
from protocol.http.examples import NOW
from protocol.http.fields import EventIdText, QueryModel, ResponseModel, Time
from protocol.http.handovers import Code, Page
from protocol.http.operation import Auth, Example, Method, Operation, Scope

_Url = Annotated[str, Field(max_length=2_000)]


class Unconfirmed(StrEnum):
    """How an event stands at an address that has not confirmed it."""

    WAITING = "waiting"
    FAILED = "failed"


class DeliveryFilter(Page):
    """Which to list: those that wait for another try, those that failed for good, or both."""

    state: Unconfirmed | None = None


class WebhookItem(ResponseModel):
    """One address in force; `disabled_at` since it answered 410."""

    url: _Url
    disabled_at: Time | None


class DeliveryItem(ResponseModel):
    """One event that one address has not confirmed; `outcome` is what came of the last try."""

    event: EventIdText
    type: Annotated[str, Field(max_length=200)]
    url: _Url
    state: Code
    tries: int
    next_try_at: Time | None
    outcome: Code | None


class DeliveryPage(ResponseModel):
    """Every address, and a page of what was not confirmed, oldest event first."""

    webhooks: list[WebhookItem]
    items: list[DeliveryItem]
    next_cursor: str | None


class EventPath(QueryModel):
    """Which event."""

    event: EventIdText


class Replayed(ResponseModel):
    """The event will be told to so many addresses once more."""

    event: EventIdText
    webhooks: int


_EVENT: Final = "evt_" + "a" * 26
_URL: Final = "https://cases.agency.example/throughcare"

LIST_DELIVERIES = Operation(
    id="listDeliveries",
    method=Method.GET,
    path="/v1/webhooks",
    summary="List events that webhooks have not confirmed, and which webhooks are disabled.",
    auth=Auth.TOKEN,
    scope=Scope.ADMIN,
    query=DeliveryFilter,
    response=DeliveryPage,
    following=("next_cursor", "cursor"),
    errors=(InvalidInput,),
    example=Example(
        query={"state": "failed"},
        response={
            "webhooks": [{"url": _URL, "disabled_at": NOW}],
            "items": [
                {
                    "event": _EVENT,
                    "type": "eu.throughcare.referral.accepted.v1",
                    "url": _URL,
                    "state": "failed",
                    "tries": 1,
                    "next_try_at": None,
                    "outcome": "http-410",
                }
            ],
            "next_cursor": None,
        },
    ),
)
REPLAY_EVENT = Operation(
    id="replayEvent",
    method=Method.POST,
    path="/v1/webhooks/{event}/replay",
    summary="Tell every webhook of one event again; one that is disabled is enabled by it.",
    description="Asking twice has no further effect: the event has the same `webhook-id` each time (EVT-6).",
    auth=Auth.TOKEN,
    scope=Scope.ADMIN,
    parameters=EventPath,
    response=Replayed,
    status=202,
    errors=(NotFound, InvalidInput),
    example=Example(path={"event": _EVENT}, response={"event": _EVENT, "webhooks": 1}),
)
