# SPDX-License-Identifier: Apache-2.0
"""Drafts of referrals: made, listed, changed, sent or deleted here, and nobody is told before one is sent (DFT-1)."""

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from connectors.cases.composing import DEPUTY, FIELDS, Composing, named_in
from connectors.cases.moving import Moved, Moving, Step
from connectors.fhir.services import Services, unknown
from connectors.store import cursors, drafts, requests
from connectors.store.drafts import DraftRow
from connectors.store.engine import Store, Transaction
from connectors.timing import Clock
from protocol import ids
from protocol.errors import NotFound
from protocol.http.call import Answer, Call, Handler
from protocol.http.drafts import (
    MAX_LACKING,
    DraftContent,
    DraftFilter,
    DraftItem,
    DraftPage,
    DraftPath,
    DraftRequest,
    DraftSource,
    DraftView,
)
from protocol.http.fhir import ReferralDraft
from protocol.http.problems import FieldError, InvalidFields
from protocol.http.threads import Machine
from protocol.ids import DraftId
from protocol.kinds.catalogue import KINDS
from protocol.lifecycle.referral import Event
from protocol.shapes import as_bytes, as_int, as_tuple

_MADE: Final = "makeDraft"
_CURSOR: Final = "draft cursor"
_REQUEST: Final = KINDS["referral.request"]


class Drafts:
    """The service and the handlers of the operations on drafts."""

    def __init__(
        self,
        store: Store,
        composing: Composing,
        moving: Moving,
        clock: Clock,
        wake: Callable[[], None],
        services: Services,
    ) -> None:
        """`wake` is called when there is something to send; `services` is the table of what can be asked for."""
        self._store = store
        self._composing = composing
        self._moving = moving
        self._clock = clock
        self._wake = wake
        self._services = services

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {
            "makeDraft": self.make_draft,
            "listDrafts": self.list_drafts,
            "getDraft": self.get_draft,
            "changeDraft": self.change_draft,
            "sendDraft": self.send_draft,
            "deleteDraft": self.delete_draft,
        }

    async def make_draft(self, call: Call[str]) -> Answer:
        """Keep a draft, once for each Idempotency-Key with the same body."""
        asked = call.body(DraftRequest)
        key = requests.request_key(_MADE, call.idempotency_key)
        async with self._store.write() as tx:
            before = await requests.answer(tx, key, call.raw)
            if before is not None:
                # As it was made: what became of it since is told under its own address.
                view = DraftView.model_validate_json(before)
                return _shown(view, {"Idempotent-Replayed": "true"})
            now = self._clock()
            content = DraftContent(**{name: getattr(asked, name) for name in DraftContent.model_fields})
            row = DraftRow(DraftId(ids.new_id()), asked.source.value, now, now, 1, _encode(content))
            await drafts.add(tx, row)
            view = self._view(row)
            await requests.keep(tx, key, call.raw, view.model_dump_json().encode(), now)
        return _shown(view)

    async def list_drafts(self, call: Call[str]) -> Answer:
        """List drafts."""
        query = call.query(DraftFilter)
        async with self._store.read() as tx:
            before = _place(tx, query.cursor)
            found = await drafts.page(tx, self._clock(), before=before, limit=query.limit + 1)
            last = found[query.limit - 1] if len(found) > query.limit else None
            more = None if last is None else cursors.seal(tx, _CURSOR, [last.changed_at, last.draft_id])
        return Answer(DraftPage(items=[_item(row) for row in found[: query.limit]], next_cursor=more))

    async def get_draft(self, call: Call[str]) -> Answer:
        """Show one draft."""
        async with self._store.read() as tx:
            row = await drafts.load(tx, call.path(DraftPath).draft, self._clock())
        return _shown(self._view(row))

    async def change_draft(self, call: Call[str]) -> Answer:
        """Put something else in a draft's place."""
        async with self._store.write() as tx:
            now = self._clock()
            row = await drafts.load(tx, call.path(DraftPath).draft, now, version=call.version)
            content = _encode(call.body(DraftContent))
            changed = replace(row, changed_at=now, version=row.version + 1, content=content)
            await drafts.put(tx, changed)
        return _shown(self._view(changed))

    async def send_draft(self, call: Call[str]) -> Answer:
        """Send a draft as a referral, once; it is gone with that (DFT-2)."""
        draft = call.path(DraftPath).draft
        key = requests.request_key(f"send draft {draft.hex()}", call.idempotency_key)
        await self._learn_of(draft)
        async with self._store.write() as tx:
            before = await requests.answer(tx, key, call.raw)
            if before is not None:
                return _queued(Moved.parse(before))
            now = self._clock()
            row = await drafts.load(tx, draft, now, version=call.version)
            content = _decode(row)
            lacking = self._lacking(content)
            if content.to is None or lacking:
                raise InvalidFields(lacking)
            self._composing.check_named(named_in(content.fields, DEPUTY), DEPUTY)
            step = Step(event=Event.SEND, fields=content.fields, sections=content.sections, officer=content.officer)
            moved = await self._moving.begun(
                tx, Machine.REFERRAL, content.to, step, sender=content.sender, after=row.thread
            )
            await drafts.remove(tx, row, now)
            # Kept with the answer: the draft is gone, and what was sent may be damaged when it is asked again (CON-8).
            missing, known = unknown(self._services, content.fields)
            moved = replace(moved, unknown_services=tuple(missing), known_services=tuple(known))
            await requests.keep(tx, key, call.raw, moved.encode(), now)
        self._wake()
        return _queued(moved)

    async def _learn_of(self, draft: DraftId) -> None:
        """Look whether the directory has whom a draft names; one that was sent before is not there any more."""
        with contextlib.suppress(NotFound):
            async with self._store.read() as tx:
                content = _decode(await drafts.load(tx, draft, self._clock()))
            deputy = named_in(content.fields, DEPUTY)
            await self._composing.learn_of([] if content.to is None else [content.to], content.officer, deputy)

    async def delete_draft(self, call: Call[str]) -> Answer:
        """Delete a draft for good."""
        async with self._store.write() as tx:
            now = self._clock()
            row = await drafts.load(tx, call.path(DraftPath).draft, now, version=call.version)
            await drafts.remove(tx, row, now)
        return Answer()

    async def keep_import(self, draft: ReferralDraft, bundle: bytes) -> DraftId:
        """Keep the draft of a bundle and return its id; the same bundle again has no second effect (DFT-4)."""
        draft_id = DraftId(hashlib.sha256(b"tc/1 imported\0" + bundle).digest()[: ids.ID_SIZE])
        async with self._store.write() as tx:
            if not await drafts.was_made(tx, draft_id):
                now = self._clock()
                content = DraftContent(to=draft.to, fields=draft.fields)
                await drafts.add(tx, DraftRow(draft_id, DraftSource.FHIR.value, now, now, 1, _encode(content)))
        return draft_id

    def _view(self, row: DraftRow) -> DraftView:
        content = _decode(row)
        return DraftView(
            item=_item(row),
            fields=content.fields,
            sections=[one.model_dump(mode="json", exclude_none=True) for one in content.sections],
            sender=content.sender,
            officer=content.officer,
            missing=[_place_of(one) for one in self._lacking(content)],
        )

    def _lacking(self, content: DraftContent) -> list[FieldError]:
        """Return what is missing or has not its form, by the place in the fields; `to` for the desk."""
        found = [FieldError("/to", "missing")] if content.to is None else []
        return [*found, *self._composing.lacking(_REQUEST, content.fields)][:MAX_LACKING]


def _encode(content: DraftContent) -> bytes:
    return content.model_dump_json().encode()


def _decode(row: DraftRow) -> DraftContent:
    return DraftContent.model_validate_json(row.content)


def _item(row: DraftRow) -> DraftItem:
    return DraftItem(
        id=row.draft_id,
        source=row.source,
        thread=row.thread,
        to=_decode(row).to,
        made_at=row.made_at,
        changed_at=row.changed_at,
        ends_at=row.ends_at,
        version=row.version,
    )


def _place_of(error: FieldError) -> str:
    """Return a place as the referral's form names it, without where that form stands in a body."""
    inside = error.pointer.removeprefix(f"{FIELDS}/")
    return inside.removeprefix("/")


def _shown(view: DraftView, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(view, headers={"ETag": f'"{view.item.version}"', **(headers or {})})


def _queued(moved: Moved) -> Answer:
    headers = {"Idempotent-Replayed": "true"} if moved.replayed else {}
    return Answer(moved.view(), headers={"ETag": f'"{moved.version}"', **headers})


def _place(tx: Transaction, cursor: str | None) -> tuple[int, DraftId] | None:
    if cursor is None:
        return None
    at, draft = as_tuple(cursors.unseal(tx, _CURSOR, cursor), 2)
    return as_int(at), DraftId(as_bytes(draft))
