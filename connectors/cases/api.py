# SPDX-License-Identifier: Apache-2.0
"""The handlers of the operations on threads: parse, one service call, answer."""

from collections.abc import Mapping

from connectors.cases.casebook import Casebook
from connectors.cases.drafts import Drafts
from connectors.cases.listing import Listing
from connectors.cases.messages import Messages
from connectors.cases.moving import Moved, Moving, Step
from connectors.cases.onward import Onward
from connectors.feed import Feed
from connectors.fhir.drafting import FhirDrafts
from connectors.fhir.exporting import export_thread
from connectors.fhir.services import Services, unknown
from connectors.tokens import desks_of
from connectors.webhooks.service import Webhooks
from protocol.http.call import Answer, Call, Handler
from protocol.http.strictjson import render
from protocol.http.threads import (
    Machine,
    ReferralRequest,
    StepRequest,
    ThreadFilter,
    ThreadPath,
)


class ThreadApi:
    """One handler for each operation."""

    def __init__(
        self,
        moving: Moving,
        listing: Listing,
        casebook: Casebook,
        drafts: Drafts,
        messages: Messages,
        onward: Onward,
        feed: Feed,
        webhooks: Webhooks,
        fhir: FhirDrafts,
        services: Services,
    ) -> None:
        """Take the services to call, and the table of those that can be asked for."""
        self._moving = moving
        self._listing = listing
        self._casebook = casebook
        self._drafts = drafts
        self._messages = messages
        self._onward = onward
        self._feed = feed
        self._webhooks = webhooks
        self._fhir = fhir
        self._services = services

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {
            "sendReferral": self.send_referral,
            "listThreads": self.list_threads,
            "getThread": self.get_thread,
            "getThreadFhir": self.get_thread_fhir,
            "makeStep": self.make_step,
            **self._casebook.by_operation(),
            **self._drafts.by_operation(),
            **self._messages.by_operation(),
            **self._onward.by_operation(),
            **self._feed.by_operation(),
            **self._webhooks.by_operation(),
            **self._fhir.by_operation(),
        }

    async def send_referral(self, call: Call[str]) -> Answer:
        """Store a referral durably; it is sent as soon as the hub can be reached."""
        asked = call.body(ReferralRequest)
        step = Step(event="send", fields=asked.fields, sections=asked.sections, officer=asked.officer)
        moved = await self._moving.begin(
            Machine.REFERRAL,
            asked.to,
            step,
            key=call.idempotency_key,
            body=call.raw,
            sender=asked.sender,
            desks=desks_of(call.caller),
        )
        missing, known = unknown(self._services, asked.fields)
        return _queued(moved, unknown_services=missing, known_services=known)

    async def list_threads(self, call: Call[str]) -> Answer:
        """List referrals or handovers as they stand."""
        return Answer(await self._listing.list(call.query(ThreadFilter), desks=desks_of(call.caller)))

    async def get_thread(self, call: Call[str]) -> Answer:
        """Show one thread."""
        view = await self._listing.show(call.path(ThreadPath).thread, desks=desks_of(call.caller))
        return Answer(view, headers={"ETag": f'"{view.item.version}"'})

    async def get_thread_fhir(self, call: Call[str]) -> Answer:
        """Show how one referral stands, in FHIR."""
        view = await self._listing.show(call.path(ThreadPath).thread)
        return Answer(render(export_thread(view)), headers={"ETag": f'"{view.item.version}"'})

    async def make_step(self, call: Call[str]) -> Answer:
        """Make one step."""
        asked = call.body(StepRequest)
        step = Step(event=asked.event, fields=asked.fields, sections=asked.sections, officer=asked.officer)
        thread = call.path(ThreadPath).thread
        moved = await self._moving.move(
            thread,
            step,
            key=call.idempotency_key,
            body=call.raw,
            version=call.version,
            desks=desks_of(call.caller),
        )
        return _queued(moved)


def _queued(moved: Moved, **more: list[str]) -> Answer:
    headers = {"ETag": f'"{moved.version}"'}
    if moved.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Answer(moved.view().model_copy(update=more), headers=headers)
