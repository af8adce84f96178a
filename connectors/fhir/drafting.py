# SPDX-License-Identifier: Apache-2.0
"""Drafts of referrals from bundles, for the local interface and the drop folder."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from connectors.fhir.importing import import_bundle
from connectors.fhir.services import Services
from protocol.http.call import Answer, Call, Handler
from protocol.http.fhir import FhirChoice, FhirDrafted, Keeping, ReferralDraft
from protocol.http.handovers import NotUnderstood
from protocol.http.problems import Contradictions, FieldError
from protocol.ids import DraftId

Keep: TypeAlias = Callable[[ReferralDraft, bytes], Awaitable[DraftId]]
"""Keeps a draft that was made from the bytes of a bundle, once, and returns its id."""


class FhirDrafts:
    """Makes drafts, and keeps one where that is asked for."""

    def __init__(self, services: Services, keep: Keep) -> None:
        """`services` say which code of others is which service of ours; `keep` keeps the draft of a bundle."""
        self._services = services
        self._keep = keep
        self._turn = asyncio.Lock()

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {"draftFromFhir": self.draft_from_fhir}

    async def draft_from_fhir(self, call: Call[str]) -> Answer:
        """Make a draft; a bundle is checked by a library that takes its time, hence in a thread.

        One at a time: the threads are those in which files are read and names of hosts are looked up.
        """
        async with self._turn:
            drafted = await asyncio.to_thread(self.draft, call.raw)
        # What comes by the drop folder has no query.
        if isinstance(call.query_model, FhirChoice) and call.query_model.keep is Keeping.YES:
            kept = await self._keep(drafted.draft, call.raw)
            drafted = drafted.model_copy(update={"kept": kept})
        return Answer(drafted)

    def draft(self, bundle: bytes) -> FhirDrafted:
        """Return the draft of the one referral in `bundle`.

        Raises `FhirUnreadable`, `Contradictions` with each place and its reason, or `ExtraMissing`.
        """
        imported = import_bundle(bundle, self._services)
        if imported.draft is None:
            first = imported.quarantined[0]
            raise Contradictions(
                (FieldError(f"/{one.path}", one.reason) for one in imported.quarantined),
                f"{first.sentence} (At {first.path}.) Nothing was drafted.",
            )
        return FhirDrafted(
            draft=ReferralDraft(to=imported.draft.get("to"), fields=imported.draft["fields"]),
            missing=list(imported.missing),
            not_understood=[NotUnderstood(path=one.path, reason=one.reason) for one in imported.not_understood],
        )
