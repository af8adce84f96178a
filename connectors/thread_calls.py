# SPDX-License-Identifier: Apache-2.0
"""The calls on referrals, threads, drafts, cases and their prints, as a part of `ApiClient`."""

from collections.abc import Callable

from protocol import ids
from protocol.address import DeskAddress
from protocol.errors import MalformedRequest, UnexpectedAnswer
from protocol.http.calling import Client
from protocol.http.cases import (
    GET_CASE,
    LIST_CASES,
    SEARCH_CASES,
    CaseFilter,
    CasePage,
    CaseSearch,
    CaseView,
)
from protocol.http.drafts import (
    CHANGE_DRAFT,
    DELETE_DRAFT,
    GET_DRAFT,
    LIST_DRAFTS,
    MAKE_DRAFT,
    SEND_DRAFT,
    DraftContent,
    DraftPage,
    DraftRequest,
    DraftView,
)
from protocol.http.fhir import DRAFT_FROM_FHIR, GET_THREAD_FHIR, FhirDrafted, Keeping
from protocol.http.handovers import (
    Direction,
)
from protocol.http.onward import (
    FORWARD_REFERRAL,
    SEND_SUB_REFERRAL,
    ForwardQueued,
    ForwardRequest,
    SubReferralRequest,
)
from protocol.http.printing import PRINT_CASE, PRINT_HANDOVER, PRINT_MESSAGE, PRINT_THREAD
from protocol.http.strictjson import Json, parse
from protocol.http.thread_operations import GET_THREAD, LIST_THREADS, MAKE_STEP, SEND_REFERRAL
from protocol.http.threads import ReferralRequest, StepQueued, StepRequest, ThreadFilter, ThreadPage, ThreadView
from protocol.ids import CaseId, DraftId, Kind, MessageId, ThreadId


class ThreadCalls:
    """What a client of a connector does with threads."""

    _client: Client

    async def refer(
        self, request: ReferralRequest, *, idempotency_key: str, on_replay: Callable[[], None] | None = None
    ) -> StepQueued:
        """Send a referral; when this returns it is stored durably at the connector.

        `on_replay` is called if it was sent before under this key, and nothing was done now.
        """
        return await self._client.call(
            SEND_REFERRAL, StepQueued, body=request, idempotency_key=idempotency_key, on_replay=on_replay
        )

    async def threads(self, query: ThreadFilter) -> ThreadPage:
        """Return a page of referrals or handovers as they stand, the one that changed last first."""
        values = {name: value for name, value in query.model_dump(mode="json").items() if value is not None}
        return await self._client.call(LIST_THREADS, ThreadPage, query=values)

    async def thread(self, thread: ThreadId) -> ThreadView:
        """Return one thread with its steps; `NotFound` alike for what does not exist and what is not ours."""
        return await self._client.call(GET_THREAD, ThreadView, path={"thread": ids.text(Kind.THREAD, thread)})

    async def thread_fhir(self, thread: ThreadId) -> dict[str, Json]:
        """Return how a referral stands as a FHIR bundle (docs/fhir.md)."""
        content = await self._client.call_bytes(GET_THREAD_FHIR, path={"thread": ids.text(Kind.THREAD, thread)})
        try:
            bundle = parse(content)
        except MalformedRequest:
            raise UnexpectedAnswer from None
        if not isinstance(bundle, dict):
            raise UnexpectedAnswer
        return bundle

    async def draft_from_fhir(self, bundle: bytes, *, keep: bool = False) -> FhirDrafted:
        """Return the draft of a referral from a FHIR bundle; nothing is sent, and it is stored only with `keep`.

        Raises `Contradictions` with each place where the bundle contradicts itself, and `FhirUnreadable`.
        """
        query: dict[str, str | int] = {"keep": Keeping.YES.value if keep else Keeping.NO.value}
        return await self._client.call(DRAFT_FROM_FHIR, FhirDrafted, body=bundle, query=query)

    async def make_draft(self, request: DraftRequest, *, idempotency_key: str) -> DraftView:
        """Keep the draft of a referral; nobody is told of it (DFT-1)."""
        return await self._client.call(MAKE_DRAFT, DraftView, body=request, idempotency_key=idempotency_key)

    async def drafts(self, *, limit: int = 50, cursor: str | None = None) -> DraftPage:
        """Return a page of drafts, the one that changed last first."""
        return await self._client.call(LIST_DRAFTS, DraftPage, query=given(limit=limit, cursor=cursor))

    async def draft(self, draft: DraftId) -> DraftView:
        """Return one draft whole, and what it still lacks to be sent."""
        return await self._client.call(GET_DRAFT, DraftView, path={"draft": ids.text(Kind.DRAFT, draft)})

    async def change_draft(self, draft: DraftId, content: DraftContent, *, version: int) -> DraftView:
        """Put `content` in the place of all that a draft says; `PreconditionFailed` if it is not as it was seen."""
        path = {"draft": ids.text(Kind.DRAFT, draft)}
        return await self._client.call(CHANGE_DRAFT, DraftView, path=path, body=content, version=version)

    async def send_draft(self, draft: DraftId, *, version: int, idempotency_key: str) -> StepQueued:
        """Send a draft as a referral, once; it is a draft no longer (DFT-2)."""
        path = {"draft": ids.text(Kind.DRAFT, draft)}
        return await self._client.call(
            SEND_DRAFT, StepQueued, path=path, version=version, idempotency_key=idempotency_key
        )

    async def delete_draft(self, draft: DraftId, *, version: int) -> None:
        """Delete a draft for good; `PreconditionFailed` if it is not as it was seen."""
        await self._client.call_bytes(DELETE_DRAFT, path={"draft": ids.text(Kind.DRAFT, draft)}, version=version)

    async def print_thread(
        self, thread: ThreadId, *, language: str | None = None, message: MessageId | None = None
    ) -> bytes:
        """Return a whole referral or handover as a page to print, or that of its steps which `message` is.

        `language` is a name such as `sr-Cyrl`, the connector's own language where it is None; `UnknownLanguage` for
        one that there is not. The page is HTML that needs nothing else (docs/printing.md).
        """
        query = given(language=language, message=None if message is None else ids.text(Kind.MESSAGE, message))
        path = {"thread": ids.text(Kind.THREAD, thread)}
        return await self._client.call_bytes(PRINT_THREAD, path=path, query=query)

    async def print_case(self, case: CaseId, *, language: str | None = None) -> bytes:
        """Return a whole case as a page to print, as `print_thread` does."""
        path = {"case": ids.text(Kind.CASE, case)}
        return await self._client.call_bytes(PRINT_CASE, path=path, query=given(language=language))

    async def print_message(
        self,
        message_id: MessageId,
        *,
        language: str | None = None,
        sender: DeskAddress | None = None,
        direction: Direction | None = None,
        recipient: DeskAddress | None = None,
    ) -> bytes:
        """Return a message that is no step as a page to print, as `print_thread` does; `Conflict` as in `handover`."""
        path = {"id": ids.text(Kind.MESSAGE, message_id)}
        query = given(language=language) | chosen(sender, direction, recipient)
        return await self._client.call_bytes(PRINT_MESSAGE, path=path, query=query)

    async def print_handover(
        self,
        message_id: MessageId,
        *,
        language: str | None = None,
        sender: DeskAddress | None = None,
        direction: Direction | None = None,
        recipient: DeskAddress | None = None,
    ) -> bytes:
        """Return the package of a handover as a page to print, as `print_thread` does; `Conflict` as in `handover`."""
        query = given(language=language) | chosen(sender, direction, recipient)
        path = {"id": ids.text(Kind.MESSAGE, message_id)}
        return await self._client.call_bytes(PRINT_HANDOVER, path=path, query=query)

    async def cases(self, query: CaseFilter) -> CasePage:
        """Return a page of cases, the one that changed last first."""
        values = {name: value for name, value in query.model_dump(mode="json").items() if value is not None}
        return await self._client.call(LIST_CASES, CasePage, query=values)

    async def search(self, asked: CaseSearch) -> CasePage:
        """Return a page of the cases in which all words are found; pass its `next_cursor` for the next page."""
        return await self._client.call(SEARCH_CASES, CasePage, body=asked)

    async def case(self, case: CaseId) -> CaseView:
        """Return one case whole, by any id that it ever had; `NotFound` alike for what is not there and not ours."""
        return await self._client.call(GET_CASE, CaseView, path={"case": ids.text(Kind.CASE, case)})

    async def step(self, thread: ThreadId, request: StepRequest, *, version: int, idempotency_key: str) -> StepQueued:
        """Make a step of a thread that was seen at `version`.

        Raises `IllegalTransition` where the life cycle does not permit it now, and `PreconditionFailed` where the
        thread has changed since; nothing has happened then.
        """
        return await self._client.call(
            MAKE_STEP,
            StepQueued,
            path={"thread": ids.text(Kind.THREAD, thread)},
            body=request,
            version=version,
            idempotency_key=idempotency_key,
        )

    async def forward(
        self, thread: ThreadId, request: ForwardRequest, *, version: int, idempotency_key: str
    ) -> ForwardQueued:
        """Approve a forward of a thread that was seen at `version`, and refer on: both or neither.

        Raises `NotCovered` where a section may not go to the new agency on the basis on which it was sent, and
        `SectionCorrected` where it was corrected since.
        """
        return await self._client.call(
            FORWARD_REFERRAL,
            ForwardQueued,
            path={"thread": ids.text(Kind.THREAD, thread)},
            body=request,
            version=version,
            idempotency_key=idempotency_key,
        )

    async def sub_refer(
        self,
        thread: ThreadId,
        request: SubReferralRequest,
        *,
        idempotency_key: str,
        on_replay: Callable[[], None] | None = None,
    ) -> StepQueued:
        """Refer on some of the services that were accepted here of a referral; `on_replay` as in `refer`."""
        path = {"thread": ids.text(Kind.THREAD, thread)}
        return await self._client.call(
            SEND_SUB_REFERRAL,
            StepQueued,
            path=path,
            body=request,
            idempotency_key=idempotency_key,
            on_replay=on_replay,
        )


def given(**values: str | int | None) -> dict[str, str | int]:
    """Return the query of those values that are given."""
    return {name: value for name, value in values.items() if value is not None}


def chosen(
    sender: DeskAddress | None, direction: Direction | None, recipient: DeskAddress | None
) -> dict[str, str | int]:
    """Return the query that says which of several under one id is meant (CON-9)."""
    return given(sender=sender, direction=direction and direction.value, recipient=recipient)
