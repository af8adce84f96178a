# SPDX-License-Identifier: Apache-2.0
"""A referral goes on to another agency: a forward that its requester approves, or what its recipient refers on.

Each is one action: whatever belongs together is stored in one transaction, or nothing of it (REF-10, REF-11).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from connectors.cases.composing import DEPUTY, Composing, named_in
from connectors.cases.consents import CONSENT, is_over
from connectors.cases.correcting import check_carried
from connectors.cases.forms import stored_sections
from connectors.cases.lineage import request_of
from connectors.cases.moving import Moved, Moving, Step
from connectors.cases.sides import OBSERVER, ROLES
from connectors.cases.threads import history_of
from connectors.store import moves, outgoing, requests, threads
from connectors.store.engine import Store, Transaction
from connectors.store.moves import MoveRow
from connectors.store.threads import ThreadRow
from connectors.timing import Clock
from connectors.tokens import check_scope
from protocol import ids
from protocol.address import AgencyAddress, agency_of
from protocol.errors import IllegalTransition, InvalidInput, NotCovered, NotFound, PreconditionFailed
from protocol.handover import PackageSection, WithheldReason
from protocol.http.call import Answer, Call, Handler
from protocol.http.onward import ForwardQueued, ForwardRequest, SubReferralRequest
from protocol.http.operation import Scope
from protocol.http.problems import FieldError, InvalidFields
from protocol.http.threads import StepQueued, ThreadPath
from protocol.ids import Kind, ThreadId
from protocol.kinds.catalogue import decode_payload, kind_for
from protocol.kinds.referral.deciding import AcceptPart, ProposeForward
from protocol.kinds.referral.request import DuplicateCheck, Request
from protocol.lifecycle.history import History
from protocol.lifecycle.referral import REFERRAL, Event, State

_OWN: Final = frozenset(
    {"kind", "version", "subject", "occurred_at", "register_numbers", "supersedes", "reopens", "forwards", "duplicates"}
)
"""Fields that a new referral has of its own or not at all."""
_REQUESTER_S: Final = frozenset({"residual_of", "part_of", "deputy", "retain_until", "answer_by"})
"""Fields that only its requester says of a referral; who refers on a part of it says its own."""
_TAKEN: Final = frozenset({State.ACCEPTED, State.ACCEPTED_PARTIAL, State.SCHEDULED, State.ACTIVE, State.ON_HOLD})
_BY_CONSENT: Final = "consent-named-another-agency"


class Onward:
    """The service and the handlers of both operations."""

    def __init__(
        self, store: Store, composing: Composing, moving: Moving, clock: Clock, wake: Callable[[], None]
    ) -> None:
        """`wake` is called when there is something to send."""
        self._store = store
        self._composing = composing
        self._moving = moving
        self._clock = clock
        self._wake = wake

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {"forwardReferral": self.forward_referral, "sendSubReferral": self.send_sub_referral}

    async def forward_referral(self, call: Call[str]) -> Answer:
        """Approve a forward and refer on, both or neither, once for each Idempotency-Key with the same body."""
        asked, thread = call.body(ForwardRequest), call.path(ThreadPath).thread
        check_scope(call.caller, Scope.SEND)
        key = requests.request_key(f"forward {thread.hex()}", call.idempotency_key)
        deputy = named_in(asked.fields, DEPUTY)
        await self._composing.learn_of([asked.to], asked.officer, deputy)
        async with self._store.write() as tx:
            before = await requests.answer(tx, key, call.raw)
            if before is not None:
                return _forwarded(ForwardQueued.model_validate_json(before), replayed=True)
            self._composing.check_named(deputy, DEPUTY)
            answer = await self._forward(tx, thread, asked, call.version)
            await requests.keep(tx, key, call.raw, answer.model_dump_json().encode(), self._clock())
        self._wake()
        return _forwarded(answer)

    async def send_sub_referral(self, call: Call[str]) -> Answer:
        """Refer on a part of a referral that was accepted here, once for each Idempotency-Key with the same body."""
        asked, thread = call.body(SubReferralRequest), call.path(ThreadPath).thread
        key = requests.request_key(f"sub-refer {thread.hex()}", call.idempotency_key)
        deputy = named_in(asked.fields, DEPUTY)
        await self._composing.learn_of([asked.to], asked.officer, deputy)
        async with self._store.write() as tx:
            before = await requests.answer(tx, key, call.raw)
            if before is not None:
                return _sent(StepQueued.model_validate_json(before), replayed=True)
            self._composing.check_named(deputy, DEPUTY)
            moved = await self._sub_refer(tx, thread, asked)
            answer = moved.view()
            await requests.keep(tx, key, call.raw, answer.model_dump_json().encode(), self._clock())
        self._wake()
        return _sent(answer)

    async def _forward(
        self, tx: Transaction, thread: ThreadId, asked: ForwardRequest, version: int | None
    ) -> ForwardQueued:
        row, stored, history, request = await _referral(tx, thread)
        if row.side != ROLES[REFERRAL.name].begins:
            raise IllegalTransition("Only the requester forwards a referral; its recipient proposes it.")
        if version is not None and version != row.version:
            raise PreconditionFailed
        agency = agency_of(asked.to)
        if _proposed(history, stored) not in (None, agency):
            raise InvalidInput("The recipient proposed another agency. Refer to this one with a referral of its own.")
        carried = asked.sections is None
        sections = stored_sections(await outgoing.load(tx, row.begun_by)) if carried else tuple(asked.sections or ())
        if carried and sections:
            await check_carried(tx, row.begun_by, row.own_desk)
            self._check_covered(sections, asked, over=await is_over(tx, row.begun_by))
        fields = _fields(request, _OWN | {"services"}) | {"services": _services(request)}
        if request.answer_by < datetime.fromtimestamp(self._clock() / 1_000, UTC).date():
            # That day is over; whoever forwards says by when an answer is needed now.
            del fields["answer_by"]
        fields |= {**asked.fields, "forwards": ids.text(Kind.THREAD, thread), "duplicates": DuplicateCheck.CONTINUES}
        following = ThreadId(ids.new_id())
        approval = Step(
            event=Event.APPROVE_FORWARD,
            fields={"new_thread": ids.text(Kind.THREAD, following)},
            officer=asked.officer,
        )
        step = Step(event=Event.SEND, fields=fields, sections=sections, officer=asked.officer)
        # First: the approval tells the old recipient of the new thread, and whoever writes first in one began it.
        new = await self._moving.begun(
            tx, REFERRAL.name, asked.to, step, sender=asked.sender or row.own_desk, thread=following, after=thread
        )
        moved = await self._moving.within(tx, thread, approval)
        return ForwardQueued(
            thread=thread,
            message=moved.message_id,
            state=moved.state,
            version=moved.version,
            new_thread=following,
            new_message=new.message_id,
            withheld=list(dict.fromkeys(one.category for plan in new.recipients for one in plan.withheld)),
            in_the_past=list(new.in_the_past),
            recipients=list(new.recipients),
        )

    def _check_covered(self, sections: Sequence[PackageSection], asked: ForwardRequest, *, over: bool) -> None:
        """Raise `NotCovered` if what was sent on one basis to one agency may not go to another on the same.

        A section that the table never lets a desk of this function see is left out, as it is of any referral. Where we
        said in the old thread that a consent is `over`, nothing that went on one goes on, whomever it named (CON-27).
        """
        left: list[str] = []
        for place, reason in self._composing.withheld(sections, asked.to).items():
            if reason is not WithheldReason.NEVER:
                left.append(f"section {place + 1} ({sections[place].category}): {reason}")
        for place, section in enumerate(sections):
            if section.basis in CONSENT and (over or not asked.consent_covers):
                why = WithheldReason.CONSENT_OVER if over else _BY_CONSENT
                left.append(f"section {place + 1} ({section.category}): {why}")
        if left:
            raise NotCovered(
                f"Not everything that was sent may go there on the basis on which it was sent: {'; '.join(left)}. "
                "Give the sections anew in `sections`, each with a basis and functions that cover the new agency; "
                "where the person's consent names it too, and is not over, say so (--consent-covers; `consent_covers`)."
            )

    async def _sub_refer(self, tx: Transaction, thread: ThreadId, asked: SubReferralRequest) -> Moved:
        row, stored, history, request = await _referral(tx, thread)
        if row.side != ROLES[REFERRAL.name].answers:
            raise IllegalTransition("Only the recipient of a referral refers on a part of it.")
        if row.state not in _TAKEN:
            raise IllegalTransition(f"What was accepted can be referred on; the referral is {row.state}.")
        if agency_of(asked.to) == row.begins:
            raise InvalidInput("That is the agency that asked for it.")
        if asked.fields.keys() & {"services", "part_of"}:
            raise InvalidInput("`services` names what is referred on, and the path whose part it is.")
        taken = _accepted(request, history, stored)
        unknown = [place for place, code in enumerate(asked.services) if code not in taken]
        if unknown:
            raise InvalidFields(
                (FieldError(f"/services/{place}", "not-allowed") for place in unknown),
                f"Of this referral were accepted: {', '.join(sorted(taken))}.",
            )
        wanted = set(asked.services)
        fields = _fields(request, _OWN | _REQUESTER_S) | {
            "duplicates": DuplicateCheck.CONTINUES,
            **asked.fields,
            "services": [one for one in _services(request) if one["code"] in wanted],
            "part_of": ids.text(Kind.THREAD, thread),
        }
        step = Step(event=Event.SEND, fields=fields, sections=asked.sections, officer=asked.officer)
        return await self._moving.begun(
            tx, REFERRAL.name, asked.to, step, sender=asked.sender or row.own_desk, after=thread
        )


async def _referral(tx: Transaction, thread: ThreadId) -> tuple[ThreadRow, list[MoveRow], History, Request]:
    row = await threads.load(tx, thread)
    if row.side == OBSERVER:
        raise NotFound
    stored = await moves.of(tx, thread)
    request = request_of(row, stored)
    if request is None:
        raise IllegalTransition("Only a referral goes on to another agency like this.")
    return row, stored, history_of(row, stored), request


def _proposed(history: History, stored: Sequence[MoveRow]) -> AgencyAddress | None:
    """Return the agency that the recipient proposed last, or None if it proposed none: the table refuses that."""
    payloads = {one.message_id: one.payload for one in stored}
    found: AgencyAddress | None = None
    for step in history.done:
        kind = kind_for(REFERRAL.name, step.move.event) if step.move.event == Event.PROPOSE_FORWARD else None
        said = None if kind is None else decode_payload(kind, payloads[step.move.message_id])
        found = AgencyAddress(said.agency) if isinstance(said, ProposeForward) else found
    return found


def _accepted(request: Request, history: History, stored: Sequence[MoveRow]) -> set[str]:
    """Return the codes of the services that the recipient took when it accepted last."""
    payloads = {one.message_id: one.payload for one in stored}
    taken = set[str]()
    for step in history.done:
        kind = kind_for(REFERRAL.name, step.move.event)
        if kind is None or step.move.event not in (Event.ACCEPT, Event.ACCEPT_PART):
            continue
        said = decode_payload(kind, payloads[step.move.message_id])
        taken = {one.code for one in request.services}
        if isinstance(said, AcceptPart):
            taken -= said.left_of(taken).keys()
    return taken


def _fields(request: Request, without: frozenset[str]) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude_none=True, exclude=set(without))


def _services(request: Request) -> list[dict[str, Any]]:
    return [one.model_dump(mode="json", exclude_none=True) for one in request.services]


def _forwarded(answer: ForwardQueued, *, replayed: bool = False) -> Answer:
    return Answer(answer, headers={"ETag": f'"{answer.version}"', **_replayed(replayed)})


def _sent(answer: StepQueued, *, replayed: bool = False) -> Answer:
    return Answer(answer, headers={"ETag": f'"{answer.version}"', **_replayed(replayed)})


def _replayed(replayed: bool) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if replayed else {}
