# SPDX-License-Identifier: Apache-2.0
"""FHIR on a connector's local interface: a referral's draft from a bundle, and how a referral stands as a bundle."""

from enum import StrEnum
from typing import Any

from protocol.errors import ExtraMissing, FhirContradiction, FhirUnreadable, InvalidInput, NotFound, StoreFull
from protocol.http.examples import THREAD
from protocol.http.fields import DeskText, DraftIdText, QueryModel, ResponseModel
from protocol.http.handovers import NotUnderstood
from protocol.http.operation import Auth, Example, Media, Method, Operation, Scope
from protocol.http.threads import ThreadPath


class ReferralDraft(ResponseModel):
    """As much of the body of `POST /v1/referrals` as was understood; an officer adds what is missing, and the sections.

    `to` is null where the bundle names no desk.
    """

    to: DeskText | None
    fields: dict[str, Any]


class Keeping(StrEnum):
    """Whether a draft is kept."""

    NO = "no"
    YES = "yes"


class FhirChoice(QueryModel):
    """What becomes of the draft."""

    keep: Keeping = Keeping.NO


class FhirDrafted(ResponseModel):
    """What became of a bundle.

    `missing` are the places that the draft still needs, such as `to` or `release_on`. `not_understood` are places of
    the bundle, never what stands there.
    """

    draft: ReferralDraft
    missing: list[str]
    not_understood: list[NotUnderstood]
    kept: DraftIdText | None = None
    """The draft that was kept, with `?keep=yes`; the same bundle again gives the same one (DFT-4)."""


DRAFT_FROM_FHIR = Operation(
    id="draftFromFhir",
    method=Method.POST,
    path="/v1/fhir/drafts",
    summary="Make the draft of a referral from a FHIR bundle of ServiceRequest and Task.",
    description=(
        "Nothing is sent or fetched, and nothing stored but for the draft, with `?keep=yes`. 422 `fhir-contradiction` "
        "names each place where the bundle contradicts itself, with the reason as its code; nothing is drafted then."
    ),
    auth=Auth.TOKEN,
    scope=Scope.SEND,
    query=FhirChoice,
    request=Media.FHIR,
    response=FhirDrafted,
    limit=2 << 20,
    errors=(FhirUnreadable, FhirContradiction, ExtraMissing, StoreFull),
    example=Example(
        response={
            "draft": {"to": None, "fields": {"priority": "normal", "services": []}},
            "missing": ["to", "release_on"],
            "not_understood": [{"path": "/entry/0/resource/note", "reason": "words go into a section"}],
            "kept": None,
        }
    ),
)
GET_THREAD_FHIR = Operation(
    id="getThreadFhir",
    method=Method.GET,
    path="/v1/threads/{thread}/fhir",
    summary="Get how a referral stands as a FHIR bundle of Task, ServiceRequest and Communication.",
    description="FHIR R4: codes, dates and desks of what the thread's own view shows, no words and no names.",
    auth=Auth.TOKEN,
    scope=Scope.READ,
    parameters=ThreadPath,
    response=Media.FHIR,
    errors=(NotFound, InvalidInput),
    example=Example(path={"thread": THREAD}),
)
