# SPDX-License-Identifier: Apache-2.0
"""Takes what a system drops as a file, and gives out what happened as files: the local interface without HTTP (DRP-1).

A file names an operation of the interface and holds the body that it takes; what becomes of it is the same. Its
Idempotency-Key comes from its name and content, so a crash between the effect and the moving of the file has the file
taken again, without a second effect. What happened is the feed of events, each with what it tells of.
"""

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from connectors import bound
from connectors.bound import Desks, sees
from connectors.dropfolder import files
from connectors.dropfolder.files import Folders
from connectors.dropfolder.settings import DropSection
from connectors.faults import DAMAGED
from connectors.feed import cloud_event
from connectors.logs import Log
from connectors.store import events, facts, incoming, requests
from connectors.store.engine import Store, Transaction
from connectors.store.events import EventRow
from connectors.store.incoming import Came
from connectors.timing import Clock
from connectors.tokens import Holder
from protocol import cbor, ids
from protocol.address import AgencyAddress, DeskAddress
from protocol.errors import (
    ConfigurationError,
    Conflict,
    InvalidInput,
    NotFound,
    OurError,
    StoreDamaged,
    ThroughcareError,
    TooLarge,
)
from protocol.handover import PAYLOAD_TYPE
from protocol.http import reading
from protocol.http.call import Call, Handler
from protocol.http.fhir import DRAFT_FROM_FHIR
from protocol.http.handover_operations import GET_HANDOVER, SEND_HANDOVER
from protocol.http.handovers import Direction as MessageDirection
from protocol.http.handovers import HandoverChoice, HandoverPath
from protocol.http.messages import GET_MESSAGE, SEND_MESSAGE, MessagePath
from protocol.http.onward import FORWARD_REFERRAL, SEND_SUB_REFERRAL
from protocol.http.operation import Operation, Scope
from protocol.http.problems import problem
from protocol.http.serving import new_request_id
from protocol.http.strictjson import Json, parse, render
from protocol.http.thread_operations import GET_THREAD, MAKE_STEP, SEND_REFERRAL
from protocol.http.threads import ThreadPath
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.catalogue import SENT_HERE
from protocol.shapes import as_int

TAKEN: Final[Mapping[str, Operation]] = {
    one.id: one
    for one in (
        SEND_REFERRAL,
        MAKE_STEP,
        FORWARD_REFERRAL,
        SEND_SUB_REFERRAL,
        SEND_MESSAGE,
        SEND_HANDOVER,
        DRAFT_FROM_FHIR,
    )
}
"""The operations that a file can name."""

_SCOPES: Final = frozenset({Scope.READ, Scope.SEND, Scope.MOVE})
_GIVEN_AT_ONCE: Final = 50
_ENDED_AT_ONCE: Final = 500
_PLACE: Final = "drop out"
_FIELDS: Final = frozenset({"operation", "thread", "version", "body"})
_SHOWN_KINDS: Final = SENT_HERE | {PAYLOAD_TYPE}
_NOT_SHOWN: Final = (NotFound, Conflict, *DAMAGED, StoreDamaged, ValueError)
"""Also what the disk has left of a value where none of its form is (CON-8)."""


class DropFolder:
    """One drop folder. `prepare` comes first; `step` may be called at any time."""

    def __init__(
        self,
        folders: Folders,
        handlers: Mapping[str, Handler[str]],
        store: Store,
        agency: AgencyAddress,
        clock: Clock,
        log: Log,
        *,
        out: bool = True,
        desks: Desks = None,
    ) -> None:
        """`handlers` are those of the local interface; `out` says whether what happens is given out.

        With `desks` it is the folder of these desks of ours, and nothing else exists for it (CON-19).
        """
        self._folders = folders
        self._handlers = handlers
        self._store = store
        self._agency = agency
        self._clock = clock
        self._log = log
        self._out = out
        self._desks = desks
        self._caller = Holder("drop folder", _SCOPES, desks)
        self._failed: set[str] = set()
        self._begun: set[str] = set()

    async def prepare(self) -> None:
        """Make the folders, and begin to give out from now on; `ConfigurationError` if they cannot be made."""
        try:
            await asyncio.to_thread(self._folders.make)
        except OSError as error:
            raise ConfigurationError(
                "drop.folder cannot be made there. Check its path and who owns it; under systemd ReadWritePaths= and "
                "SupplementaryGroups= of the unit have to name the folder and its group."
            ) from error
        async with self._store.write() as tx:
            if self._out and await self.given(tx) is None:
                await facts.put(tx, _PLACE, cbor.encode(await events.newest(tx)))

    async def step(self) -> int:
        """Take what is there and give out what happened; return how many files were dealt with."""
        taken, failed = set[str](), set[str]()
        found = await asyncio.to_thread(files.waiting, self._folders.incoming, last=self._failed)
        await self._begin(path.name for path in found)
        for path in found:
            try:
                await self._take(path)
                taken.add(path.name)
            except Exception as error:  # noqa: BLE001 - whatever it is, no file holds up another (DRP-2)
                # It stays where it is, and is taken again at a later look, after all that did not fail.
                failed.add(path.name)
                if path.name in self._failed:
                    continue  # it was told at the look before, which was seconds ago
                code = error.code if isinstance(error, ThroughcareError) else type(error).__name__
                self._log.event("part-failed", part="drop", code=code)
        self._failed = failed
        await self._end(taken)
        return len(taken) + (await self._give() if self._out else 0)

    async def _begin(self, names: Iterable[str]) -> None:
        """Have what these files are answered kept for as long as they lie there, be it a year (DRP-2)."""
        if fresh := set(names) - self._begun:
            async with self._store.write() as tx:
                await requests.begin_files(tx, list(map(requests.file_name, fresh)), self._clock())
            self._begun |= fresh

    async def _end(self, names: Collection[str]) -> None:
        if names:
            async with self._store.write() as tx:
                await requests.end_files(tx, list(map(requests.file_name, names)))
            self._begun -= set(names)

    async def forget_gone(self) -> None:
        """Let go of the answers to files that are not there any more, and were begun a month ago or longer (DRP-2).

        Somebody has taken them away; and all answers since would be kept for the year in which they could come again.
        """
        async with self._store.read() as tx:
            begun = await requests.files_begun(tx, self._clock() - requests.GONE_KEPT)
        if not begun:
            return
        lying = await asyncio.to_thread(files.names, self._folders.incoming)
        gone = list(begun - set(map(requests.file_name, lying)))
        async with self._store.write() as tx:
            for place in range(0, len(gone), _ENDED_AT_ONCE):
                await requests.end_files(tx, gone[place : place + _ENDED_AT_ONCE])
        self._begun &= lying

    async def given(self, tx: Transaction) -> int | None:
        """Return the place of the last event that was given out; None where none ever is.

        Where that cannot be read any more all is given out again, each under the name that it had (DRP-3).
        """
        try:
            known = await facts.get(tx, _PLACE) if self._out else None
            return None if known is None else as_int(cbor.decode(known, limit=20))
        except DAMAGED:
            return 0

    async def _take(self, path: Path) -> None:
        dropped = await asyncio.to_thread(files.read, path)
        try:
            if dropped.content is None:
                raise TooLarge("The file is no plain file, or larger than 2 MiB.")
            answer = await self._do(path.name, dropped.content)
        except ThroughcareError as error:
            # Nothing is wrong with the file; what the disk has damaged is whole at no later look.
            if error.retryable or (isinstance(error, OurError) and not isinstance(error, StoreDamaged)):
                raise
            note = render(problem(error, new_request_id(), now=self._clock()))
            await asyncio.to_thread(files.put_aside, dropped, self._folders.refused, "reason", note)
            self._log.event("drop-refused", code=error.code)
            return
        await asyncio.to_thread(files.put_aside, dropped, self._folders.done, "answer", answer)
        self._log.event("drop-taken")

    async def _do(self, name: str, content: bytes) -> bytes:
        """Do what a file asks for, once however often it is read; return the operation's answer."""
        asked = parse(content)
        if not isinstance(asked, dict) or not asked.keys() <= _FIELDS or not isinstance(asked.get("body"), dict):
            raise InvalidInput("A file holds an object with `operation` and `body`; a step also `thread`.")
        operation = TAKEN.get(str(asked.get("operation")))
        if operation is None:
            raise InvalidInput(f"`operation` is one of {', '.join(sorted(TAKEN))}.")
        bound.check(self._desks, operation.id)
        version = asked.get("version")
        if version is not None and (type(version) is not int or not operation.if_match):
            raise InvalidInput("`version` is the number of the state that was seen, of a thread that is to move.")
        path_model = _path(operation, asked.get("thread"))
        body = render(asked["body"])
        answer = await self._call(
            operation,
            path_model,
            body_model=reading.read_json(body, operation),
            version=version,
            # Where a body has no model its bytes are what is asked; elsewhere they tell one request from another.
            raw=body if operation is DRAFT_FROM_FHIR else content,
            idempotency_key=hashlib.sha256(name.encode("utf-8", "surrogateescape") + b"\0" + content).hexdigest(),
        )
        return answer.model_dump_json().encode()

    async def _call(self, operation: Operation, path_model: BaseModel | None, **more: Any) -> BaseModel:
        call: Call[str] = Call(
            operation=operation, request_id=new_request_id(), authenticated=self._caller, path_model=path_model, **more
        )
        answer = (await self._handlers[operation.id](call)).body
        if not isinstance(answer, BaseModel):
            raise TypeError("the operation answers with no model")
        return answer

    async def _give(self) -> int:
        """Put there what happened since the last time; the place moves on once the file is there for good (DRP-3)."""
        async with self._store.read() as tx:
            begun = await self.given(tx) or 0
            found = await events.following(tx, begun, _GIVEN_AT_ONCE, desks=self._desks)
            newest = await events.newest(tx)
        for position, row in found:
            content = render(await self._told(row))
            await asyncio.to_thread(files.give, self._folders.out, _name(position, row), content)
            await self._now_at(position)
        if self._desks is not None and not found and newest > begun:
            # What is not for these desks is dealt with as well: events are kept until all of them are (EVT-7).
            await self._now_at(newest)
        return len(found)

    async def _now_at(self, position: int) -> None:
        async with self._store.write() as tx:
            await facts.put(tx, _PLACE, cbor.encode(position))

    async def _told(self, row: EventRow) -> Json:
        """Return an event with what it tells of: the thread as it is now, and the message that came."""
        return {
            "event": cloud_event(self._agency, row).model_dump(mode="json"),
            "thread": await self._shown(GET_THREAD, ThreadPath(thread=row.thread)),
            "message": None,
            **({} if row.message_id is None else await self._came(row.message_id, row.thread)),
        }

    async def _came(self, message_id: MessageId, thread: ThreadId) -> dict[str, Json]:
        """Return the message that an event tells of; where it may be one of several, all of them, and none is picked.

        Senders choose ids, so others can send under one that they have seen (CON-9). A thread tells them apart, unless
        they send in that one too.
        """
        async with self._store.read() as tx:
            came = await incoming.under(tx, message_id)
        came = [one for one in came if sees(self._desks, one.recipient_desk)]
        there = [one for one in came if one.thread == thread and one.payload_type in _SHOWN_KINDS]
        if not there:
            # A move, which the thread shows; what others send elsewhere under its id must not stand in its place.
            return {}
        if len(there) == 1:
            return {"message": await self._message(message_id, there[0], there[0].recipient_desk)}
        alike = len({(one.sender_desk, one.payload_type) for one in there}) == 1
        if alike and (whole := await self._message(message_id, there[0])) is not None:
            return {"message": whole}
        # Also what one sender sent under it to several desks of ours, where that is not one and the same.
        several: list[Json] = [
            {
                "sender": one.sender_desk,
                "recipient": one.recipient_desk,
                "kind": one.payload_type,
                "leaf_index": one.leaf_index,
                "message": await self._message(message_id, one, one.recipient_desk),
            }
            for one in there
        ]
        return {"message": None, "several": several}

    async def _message(self, message_id: MessageId, one: Came, recipient: DeskAddress | None = None) -> Json:
        try:
            which = HandoverChoice(sender=one.sender_desk, direction=MessageDirection.RECEIVED, recipient=recipient)
        except ValidationError:
            # The disk has damaged a desk's address: it is shown to nobody, and the doctor names its row (CON-8).
            return None
        if one.payload_type == PAYLOAD_TYPE:
            return await self._shown(GET_HANDOVER, HandoverPath(id=message_id), query_model=which)
        return await self._shown(GET_MESSAGE, MessagePath(id=message_id), query_model=which)

    async def _shown(self, operation: Operation, path_model: BaseModel, **more: Any) -> Json:
        try:
            shown: Json = (await self._call(operation, path_model, **more)).model_dump(mode="json")
        except _NOT_SHOWN:
            return None
        return shown


def _name(position: int, row: EventRow) -> str:
    """Return what the file of an event is called: in order, and by its id, for a restore counts places anew (DRP-3)."""
    return f"{position:012d}-{row.type}-{ids.text(Kind.EVENT, row.event_id)}{files.SUFFIX}"


def _path(operation: Operation, thread: object) -> BaseModel | None:
    if operation.parameters is None:
        if thread is not None:
            raise InvalidInput(
                "`thread` stands with what moves or follows one; a message names its thread in its body."
            )
        return None
    try:
        return ThreadPath(thread=ThreadId(ids.raw(Kind.THREAD, str(thread))))
    except InvalidInput:
        raise InvalidInput("`thread` is the id of the thread that is to move, thr_ and 26 characters.") from None


def drop_folder(
    settings: DropSection,
    handlers: Mapping[str, Handler[str]],
    store: Store,
    agency: AgencyAddress,
    clock: Clock,
    log: Log,
    own: Collection[DeskAddress],
) -> DropFolder | None:
    """Return the drop folder that the configuration names, if it names one; `own` are the desks of this connector."""
    if settings.folder is None:
        return None
    if not set(own).issuperset(settings.desks):
        raise ConfigurationError("drop.desks names a desk that is not this connector's.")
    desks = frozenset(settings.desks) or None
    return DropFolder(Folders(settings.folder), handlers, store, agency, clock, log, out=settings.out, desks=desks)
