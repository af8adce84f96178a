# SPDX-License-Identifier: Apache-2.0
"""The service and the handlers of the operations that print: look as the interface looks, and write it on a sheet."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial

from connectors.cases.casebook import Casebook
from connectors.cases.listing import Listing
from connectors.cases.messages import Messages
from connectors.cases.sides import ROLES
from connectors.faults import DAMAGED
from connectors.handovers import Handovers
from connectors.languages import language
from connectors.printing.catalogue import Words, words
from connectors.printing.documents import Known, Matter, Party, Sheet, Single, Writer
from connectors.printing.evidence import Evidence, of_received, of_sent
from connectors.printing.page import POLICY, page
from connectors.store import moves, threads
from connectors.store.engine import Store
from connectors.store.sequences import Direction as Way
from connectors.timing import Clock
from keys.directory import Directory
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.errors import NotFound
from protocol.handover import PAYLOAD_TYPE
from protocol.http.call import Answer, Call, Handler
from protocol.http.cases import CaseEntry, CasePath
from protocol.http.handovers import Direction, HandoverPath, HandoverView
from protocol.http.messages import MessagePath, MessageView
from protocol.http.printing import ChosenPrint, MessagePrint, ThreadPrint
from protocol.http.threads import StepView, ThreadPath, ThreadView
from protocol.ids import Kind, MessageId, ThreadId, text
from protocol.kinds.catalogue import SENT_HERE
from protocol.lifecycle.handover import HANDOVER


@dataclass(frozen=True, slots=True)
class Views:
    """What shows a message, a handover, a matter and a case to whoever may read: nothing else is printed (PRT-1)."""

    casebook: Casebook
    listing: Listing
    messages: Messages
    handovers: Handovers


class Prints:
    """Makes prints. Nothing is stored here."""

    def __init__(
        self,
        store: Store,
        views: Views,
        directory: Callable[[], Directory],
        clock: Clock,
        *,
        zone: tzinfo,
        spoken: str,
    ) -> None:
        """`directory` gives the verified directory, `zone` is the agency's, `spoken` its official language."""
        self._store = store
        self._views = views
        self._directory = directory
        self._clock = clock
        self._zone = zone
        self._spoken = spoken

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {
            "printThread": self.print_thread,
            "printCase": self.print_case,
            "printMessage": self.print_message,
            "printHandover": self.print_handover,
        }

    async def print_thread(self, call: Call[str]) -> Answer:
        """Print a whole referral or handover, or one step of it."""
        asked = call.query(ThreadPrint)
        spoken = self._words(asked.language)
        matter = await self._matter(call.path(ThreadPath).thread)
        view, evidence = matter.view, matter.evidence
        if asked.message is None:
            return await self._answer(spoken, lambda writer: writer.thread(view, evidence))
        step = next((one for one in view.steps if one.message == asked.message), None)
        if step is None:
            raise NotFound
        return await self._answer(spoken, lambda writer: writer.step(view, step, evidence.get(step.message)))

    async def print_case(self, call: Call[str]) -> Answer:
        """Print a whole case: each thread of it, then the messages that are steps of none, oldest first."""
        spoken = self._words(call.query(MessagePrint).language)
        view = await self._views.casebook.show(call.path(CasePath).case)
        threads = [await self._matter(one.thread) for one in view.threads if one.machine is not None]
        # One desk's word to several of ours can stand there twice, at the same moment.
        entries = {(one.message, one.thread, one.what, one.agency, one.at): one for one in reversed(view.history)}
        messages = [one for entry in entries.values() for one in await self._singles(entry)]
        return await self._answer(spoken, lambda writer: writer.case(view, threads, messages))

    async def print_message(self, call: Call[str]) -> Answer:
        """Print a message that is no step."""
        asked = call.query(ChosenPrint)
        spoken = self._words(asked.language)
        single = await self._single(
            await self._views.messages.show(
                call.path(MessagePath).id, sender=asked.sender, direction=asked.direction, recipient=asked.recipient
            )
        )
        return await self._answer(spoken, lambda writer: writer.message(single.view, single.evidence))

    async def print_handover(self, call: Call[str]) -> Answer:
        """Print the package of a handover."""
        asked = call.query(ChosenPrint)
        spoken = self._words(asked.language)
        view = await self._views.handovers.show(
            call.path(HandoverPath).id, sender=asked.sender, direction=asked.direction, recipient=asked.recipient
        )
        sender = None if view.origin is None else view.origin.desk
        evidence = await self._evidence(view.id, view.direction, sender, [one.desk for one in view.recipients])
        state = await self._state(view)
        return await self._answer(spoken, lambda writer: writer.handover(view, evidence, state))

    async def _state(self, view: HandoverView) -> str | None:
        """Return how the handover stands that this package began; None where it began none here, or none is readable.

        Whoever knows a thread's id can send a package in it: how that stands is nothing of what others sent (LIF-6).
        """
        try:
            async with self._store.read() as tx:
                row = await threads.find(tx, view.thread)
        except DAMAGED:
            return None
        roles = ROLES[HANDOVER.name]
        # A desk that got a copy does not know what the receiver has answered.
        side, peer = (roles.begins, None) if view.origin is None else (roles.answers, view.origin.desk)
        if row is None or (row.machine, row.side, row.begun_by) != (HANDOVER.name, side, view.id):
            return None
        return row.state if peer in (None, row.peer_desk) else None

    def _words(self, asked: str | None) -> Words:
        """Return the words of the language that is asked for, or of the agency's own; `UnknownLanguage` for others."""
        return words(language(asked or self._spoken), self._zone)

    async def _answer(self, spoken: Words, write: Callable[[Writer], Sheet]) -> Answer:
        now, directory = self._clock(), self._directory()
        writer = Writer(spoken, _known(directory, now))

        def make() -> bytes:
            sheet = write(writer)
            return page(sheet.title, sheet.content, spoken, reference=sheet.reference, printed_at=now)

        # A matter of years with its sections takes its time to write, and others are served meanwhile.
        content = await asyncio.to_thread(make)
        headers = {"Content-Security-Policy": POLICY, "Content-Language": spoken.language.tag}
        return Answer(content, headers=headers)

    async def _matter(self, thread: ThreadId) -> Matter:
        view = await self._views.listing.show(thread)
        view = view.model_copy(update={"steps": [await self._whole(step) for step in view.steps]})
        return Matter(view, await self._of_steps(view))

    async def _singles(self, entry: CaseEntry) -> list[Single]:
        """Return the messages of an entry of a case that is no step; a notice about a thread is shown with that.

        There are several where one agency wrote to several desks of ours. Another that sent under the same id has an
        entry of its own, and has nothing left out (CON-9).
        """
        if entry.what not in SENT_HERE:
            return []
        return [
            await self._single(one)
            for one in await self._views.messages.under(entry.message)
            if (one.item.kind, one.item.thread, one.item.at, agency_of(one.item.sender))
            == (entry.what, entry.thread, entry.at, entry.agency)
        ]

    async def _single(self, view: MessageView) -> Single:
        item = view.item
        return Single(view, await self._evidence(item.id, item.direction, item.sender, item.recipients))

    async def _whole(self, step: StepView) -> StepView:
        """Return a step with its sections: our own offer's are in the view of its package."""
        if step.payload.get("kind") != PAYLOAD_TYPE or step.sections or step.damaged:
            return step
        try:
            package = await self._views.handovers.show(step.message, direction=Direction.SENT)
        except NotFound:
            return step
        except DAMAGED:
            return step.model_copy(update={"damaged": True})
        return step.model_copy(update={"sections": package.sections})

    async def _of_steps(self, view: ThreadView) -> dict[MessageId, Evidence]:
        async with self._store.read() as tx:
            row = await threads.load(tx, view.item.thread)
            ways = {one.message_id: one.direction for one in await moves.of(tx, view.item.thread)}
        found = {}
        for step in view.steps:
            sent = ways.get(step.message) is Way.OUT
            direction = Direction.SENT if sent else Direction.RECEIVED
            try:
                found[step.message] = await self._evidence(step.message, direction, row.peer_desk, [row.own_desk])
            except (NotFound, *DAMAGED):
                # Time's own receipt, or a message that retention has removed or the disk damaged: the step says what is
                # still known.
                continue
        return found

    async def _evidence(
        self, message_id: MessageId, direction: Direction, sender: DeskAddress | None, desks: Sequence[DeskAddress]
    ) -> Evidence:
        async with self._store.read() as tx:
            if direction is Direction.SENT or sender is None:
                return await of_sent(tx, message_id)
            return await of_received(tx, message_id, sender, list(desks))


def _party(directory: Directory, now: int, address: AgencyAddress) -> Party:
    entry = directory.agency(address, now)
    return Party(address) if entry is None else Party(address, entry.name, entry.agency_kind)


def _function(directory: Directory, now: int, desk: DeskAddress, at: int | None) -> str | None:
    """Return the function of a desk, as of `at` where that is given: it may have been stated anew since."""
    if at is not None:
        return directory.function_at(desk, at)
    entry = directory.desk(desk, now)
    return None if entry is None else entry.function


def _known(directory: Directory, now: int) -> Known:
    return Known(
        partial(_party, directory, now), partial(_function, directory, now), partial(_officer_title, directory)
    )


def _officer_title(directory: Directory, agency: AgencyAddress, officer: str) -> str | None:
    """Return the newest title of an officer, also of one who acts no more: the paper is of then."""
    titles = [one.title for one in directory.all_delegations(agency) if text(Kind.OFFICER, one.officer) == officer]
    return titles[-1] if titles else None
