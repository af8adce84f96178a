# SPDX-License-Identifier: Apache-2.0
"""How a connector stands, on its local interface: its status, whom it can reach, what it did not believe."""

from typing import Annotated

from pydantic import Field

from protocol.errors import InvalidInput, NotFound
from protocol.http.examples import NOW, REKA
from protocol.http.fields import (
    AgencyText,
    DeskText,
    EnvelopeIdText,
    KeyIdText,
    OfficerIdText,
    QueryModel,
    ResponseModel,
    Time,
)
from protocol.http.handovers import Code, Name, Page
from protocol.http.operation import Auth, Example, Media, Method, Operation, Scope
from protocol.shapes import MAX_NUMBER


class DeskItem(ResponseModel):
    """One desk of the directory."""

    address: DeskText
    function: Code
    agency: AgencyText
    agency_name: Name
    reachable: bool
    """Whether it could be sent to now."""
    marked: bool
    """Whether its newest prekey is older than it should be (DIR-8)."""


class DeskPage(ResponseModel):
    """All desks in force."""

    items: list[DeskItem]


class QuarantineItem(ResponseModel):
    """Something that came and could not be taken in (HTTP-10). The ids are as claimed, unless its sender signed it."""

    number: int
    """Its number here, under which its bytes are given out."""
    signed_by: Code
    """`sender`, `hub` (which signed a receipt for it, or it is a notice of the hub's), or `nobody`."""
    leaf_index: int
    at: Time
    code: Code
    detail: Annotated[str, Field(max_length=500)]
    envelope_id: EnvelopeIdText | None
    sender: DeskText | None


class QuarantinePath(QueryModel):
    """Path parameters of one item in quarantine."""

    number: Annotated[int, Field(ge=1, le=MAX_NUMBER)]


class QuarantinePage(ResponseModel):
    """A page of the quarantine, newest first."""

    items: list[QuarantineItem]
    next_cursor: str | None


class HubStatus(ResponseModel):
    """The connector's link to its hub."""

    connected: bool
    last_contact: Time | None
    clock_difference_ms: int | None
    error: Code | None
    reason: Code | None
    """Why it was not reached: `refused`, `certificate`, `proxy`, `name`, `timeout` or `other`."""


class DirectoryStatus(ResponseModel):
    """The connector's own copy of the directory (DIR-11)."""

    size: int
    confirmed_at: Time | None
    state: Code
    """`normal`, `marked`, `stale` or `inconsistent`."""
    error: Code | None


class Counts(ResponseModel):
    """How many messages stand where."""

    queued: int
    accepted: int
    failed: int
    received: int
    held: int
    quarantined: int


class OfficerItem(ResponseModel):
    """Who may act here now: the service account, or an officer; `id` is what a request names."""

    id: OfficerIdText
    kind: Code
    title: Name
    ends: Time | None
    """When the delegation ends; null until the directory names it."""


class Status(ResponseModel):
    """How the connector is."""

    agency: AgencyText
    desks: list[DeskText]
    officers: list[OfficerItem]
    device: KeyIdText
    certificate_ends: Time | None
    """When the device's certificate ends; null until the directory names the device."""
    now: Time
    zone: Code
    """The time zone of the agency's clocks, such as Europe/Belgrade (`calendar.zone`)."""
    hub: HubStatus
    directory: DirectoryStatus
    counts: Counts


LIST_DESKS = Operation(
    id="listDesks",
    method=Method.GET,
    path="/v1/desks",
    summary="List the desks of the directory, as verified by this connector.",
    auth=Auth.TOKEN,
    scope=Scope.WATCH,
    response=DeskPage,
    example=Example(
        response={
            "items": [
                {
                    "address": REKA,
                    "function": "probation-intake",
                    "agency": "reka-probation@hub.example",
                    "agency_name": "Reka Probation Office",
                    "reachable": True,
                    "marked": False,
                }
            ]
        }
    ),
)
LIST_QUARANTINE = Operation(
    id="listQuarantine",
    following=("next_cursor", "cursor"),
    method=Method.GET,
    path="/v1/quarantine",
    summary="List what came and could not be taken in, with the reason.",
    auth=Auth.TOKEN,
    scope=Scope.ADMIN,
    query=Page,
    response=QuarantinePage,
    errors=(InvalidInput,),
    example=Example(response={"items": [], "next_cursor": None}),
)
READ_QUARANTINED = Operation(
    id="readQuarantined",
    method=Method.GET,
    path="/v1/quarantine/{number}",
    summary="Read the bytes of something that came and could not be taken in, as the hub gave them.",
    description="They are sealed as they came: evidence of who signed what, and nothing to read.",
    auth=Auth.TOKEN,
    scope=Scope.ADMIN,
    parameters=QuarantinePath,
    response=Media.BYTES,
    errors=(NotFound,),
    example=Example(path={"number": "7"}, response="the item's bytes"),
)
GET_STATUS = Operation(
    id="getStatus",
    method=Method.GET,
    path="/v1/status",
    summary="Say how the connector is: its hub, its directory, its queues.",
    auth=Auth.TOKEN,
    scope=Scope.WATCH,
    response=Status,
    example=Example(
        response={
            "agency": "reka-probation@hub.example",
            "desks": [REKA],
            "officers": [
                {
                    "id": "off_" + "a" * 26,
                    "kind": "officer",
                    "title": "duty officer",
                    "ends": "2027-11-24T08:09:10.123Z",
                }
            ],
            "device": "0" * 64,
            "certificate_ends": "2027-02-21T08:09:10.123Z",
            "now": NOW,
            "zone": "Europe/Belgrade",
            "hub": {
                "connected": True,
                "last_contact": NOW,
                "clock_difference_ms": 12,
                "error": None,
                "reason": None,
            },
            "directory": {"size": 30, "confirmed_at": NOW, "state": "normal", "error": None},
            "counts": {"queued": 0, "accepted": 1, "failed": 0, "received": 3, "held": 0, "quarantined": 0},
        }
    ),
)
GET_METRICS = Operation(
    id="getMetrics",
    method=Method.GET,
    path="/v1/metrics",
    summary="Get numbers for Prometheus: queues, ages, certificates. They name nobody.",
    auth=Auth.TOKEN,
    scope=Scope.WATCH,
    response=Media.METRICS,
)
