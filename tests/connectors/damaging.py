# SPDX-License-Identifier: Apache-2.0
"""A connector with three of everything in its store, copies of it for a disk to damage, and what must go on in each."""

import json
import secrets
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Column, update

from connectors import fork
from connectors.doctor.standing import examine_standing
from connectors.dropfolder.files import Folders
from connectors.dropfolder.folder import DropFolder
from connectors.installation import KEYSTORE_FOLDER
from connectors.logs import Log
from connectors.loops import Loops
from connectors.store import attachments, drafts, facts, moves, quarantine, tables, tokens, webhooks
from connectors.store.damage import Damage, damaged
from connectors.store.engine import DATABASE_FILE
from connectors.tokens import OWNER, Holder
from keys.keystore import Keystore
from keys.signing import sign_head
from protocol.contradiction import Form
from protocol.diagnosis import Condition
from protocol.errors import Conflict, NotFound, StoreDamaged
from protocol.http.call import Call
from protocol.http.cases import GET_CASE, CasePath
from protocol.http.connector import CONNECTOR_OPERATIONS
from protocol.http.drafts import GET_DRAFT
from protocol.http.fhir import GET_THREAD_FHIR
from protocol.http.handover_operations import GET_HANDOVER
from protocol.http.handovers import HandoverRequest, MessageState, NamedAttachment
from protocol.http.messages import GET_MESSAGE
from protocol.http.operation import Method, Operation, Scope
from protocol.http.printing import PRINT_CASE, PRINT_HANDOVER, PRINT_MESSAGE, PRINT_THREAD
from protocol.http.standing import READ_QUARANTINED
from protocol.http.thread_operations import GET_THREAD
from protocol.http.threads import ThreadPath
from protocol.ids import DraftId, Kind, MessageId, ThreadId, TokenId, new_id, text
from protocol.limits import DAY, HOUR
from protocol.receipts import Head
from tests.connectors.cases.test_referral import REQUEST, WORDS, refer, settle
from tests.connectors.conftest import World
from tests.connectors.stations import Station, api_of, open_station, package, person_section
from tests.connectors.test_attachments import carry, store
from tests.hub.running import KEYS

URL = "http://localhost:9/told"
OF_EACH = 3
"""Rows of each table: one whose sealed columns are damaged, one whose parsed columns are, and one that stays whole."""
JUNK: dict[type, object] = {str: "damaged", int: 250}
"""What stands in a parsed column that a disk has damaged."""

ONE_BY_ONE: tuple[tuple[str, Operation, str], ...] = (
    ("listHandovers", GET_HANDOVER, "id"),
    ("listHandovers", PRINT_HANDOVER, "id"),
    ("listMessages", GET_MESSAGE, "id"),
    ("listMessages", PRINT_MESSAGE, "id"),
    ("listThreads", GET_THREAD, "thread"),
    ("listThreads", GET_THREAD_FHIR, "thread"),
    ("listThreads", PRINT_THREAD, "thread"),
    ("listDrafts", GET_DRAFT, "draft"),
    ("listCases", GET_CASE, "case"),
    ("listCases", PRINT_CASE, "case"),
    ("listQuarantine", READ_QUARANTINED, "number"),
)
"""What shows one thing: the list that names it, the operation, and its path's parameter."""


@dataclass(frozen=True)
class Whole:
    """What of the prepared connector is never damaged."""

    thread: ThreadId
    came: MessageId
    unsent: MessageId
    draft: DraftId
    token: TokenId


async def prepare(world: World) -> Whole:
    """Fill every table of the prison's store with at least three rows, the last of which stay whole."""
    prison, probation, csw = world.prison, world.probation, world.social_work
    for _ in range(OF_EACH):
        world.hub.clock.advance(7 * DAY)
        for one in (prison, probation, csw):
            await one.look()
    now = world.hub.clock()
    async with prison.parts.store.write() as tx:
        await webhooks.plan(tx, [URL], now, 100)
        await facts.put(tx, "generation-followed", b"0")
    await prison.parts.threads.register.catch_up(prison.parts.store)
    await drop_folder(prison).prepare()
    begun = [await refer(prison, csw, priority="emergency", register_numbers={"sender": f"G-{n}"}) for n in (1, 2, 3)]
    await prison.seal_and_send()
    came = [await probation.send(prison.desk, content=package(WORDS)) for _ in range(OF_EACH)]
    await prison.collect()
    async with probation.parts.store.write() as tx:
        await tx.connection.execute(update(tables.recipient).values(state="queued"))
    await probation.seal_and_send()
    for _ in range(OF_EACH):
        await send_with_attachment(probation, prison)
    await carry(probation)
    await prison.collect()
    await settle(csw, prison)
    for number in range(OF_EACH):
        await store(prison, b"an invented scan %d" % number)
    made = [DraftId(new_id()) for _ in range(OF_EACH)]
    held = [TokenId(new_id()) for _ in range(OF_EACH)]
    async with prison.parts.store.write() as tx:
        for draft_id, token_id in zip(made, held, strict=True):
            content = b'{"fields": {}}'
            await drafts.add(tx, drafts.DraftRow(draft_id, "hand", now, now, 1, content))
            digest = secrets.token_bytes(32)
            await tokens.add(tx, tokens.TokenRow(token_id, digest, "case system", ("read",), now, now + DAY))
            item = quarantine.Quarantined(0, now, "cannot-open", None, None, None, reported=False)
            await quarantine.add(tx, item, new_id())
        for number in range(OF_EACH):
            head = sign_head(Head("hub.example/directory", 10**6 + number, bytes(32), now), KEYS.directory)
            await fork.keep(tx, Form.HEAD, head, now + number, stops=False)
        await webhooks.plan(tx, [URL], now, 100)
    unsent = [(await prison.compose(csw.desk, content=package(person_section()))).id for _ in range(OF_EACH)]
    await prison.parts.sealer.step()
    world.hub.clock.advance(6 * HOUR)
    return Whole(begun[-1].thread, came[-1], unsent[-1], made[-1], held[-1])


async def send_with_attachment(sender: Station, to: Station) -> MessageId:
    scan = await store(sender, b"an invented scan")
    named = [NamedAttachment(id=scan, section=1)]
    request = HandoverRequest(to=[to.desk], package=package(WORDS), attachments=named)
    key = secrets.token_urlsafe(24)
    return (await sender.parts.handovers.send(request, key=key, body=key.encode())).answer.id


def drop_folder(station: Station) -> DropFolder:
    parts, log = station.parts, Log(station.logged, json=True)
    folders = Folders(station.folder / "drop")
    return DropFolder(folders, api_of(station).by_operation(), parts.store, parts.agency, parts.sealer._clock, log)


@dataclass(frozen=True)
class Bad:
    """One stored value that the disk damages: that of the row number `place`, counted from 0, in its column."""

    column: Column[Any]
    place: int = 0

    def __str__(self) -> str:
        return str(self.column)

    @property
    def statement(self) -> tuple[str, tuple[object]]:
        """The change of one row, as SQL and what it writes there."""
        table, name = self.column.table.name, self.column.name
        junk = bytes(60) if name.startswith("sealed") else JUNK[self.column.type.python_type]
        row = f"SELECT rowid FROM {table} ORDER BY {name} IS NULL, rowid LIMIT 1 OFFSET {self.place}"  # noqa: S608
        return f"UPDATE {table} SET {name} = ? WHERE rowid = ({row})", (junk,)  # noqa: S608


def strike(folder: Path, bad: Iterable[Bad]) -> None:
    """Damage the store in `folder`."""
    with closing(sqlite3.connect(folder / DATABASE_FILE)) as database, database:
        for one in bad:
            changed = database.execute(*one.statement).rowcount
            assert changed == 1, f"{one} has no row {one.place}: what is prepared does not fill it"


class Undo(Exception):
    """What was damaged is to be whole again."""


async def names_of(station: Station, one: Bad) -> list[str]:
    """Return what the doctor calls what `one` damages, as if nothing else were damaged; nothing stays so."""
    found: list[str] = []
    with suppress(Undo):
        async with station.parts.store.write() as tx:
            await tx.connection.exec_driver_sql(*one.statement)
            damage = await damaged(tx)
            found = [*(text(Kind.MESSAGE, message) for message in damage.messages), *damage.others]
            raise Undo
    return found


def strike_keys(folder: Path, names: Iterable[str]) -> None:
    """Damage the files of these keys in the keystore of `folder`, each in another way."""
    for number, name in enumerate(sorted(names)):
        (file,) = (folder / KEYSTORE_FOLDER).glob(f"{name}.*")
        match number % 3:
            case 0:
                file.write_bytes(bytes(len(file.read_bytes())))
            case 1:
                file.write_bytes(b"")
            case _:
                file.unlink()


@asynccontextmanager
async def copied(world: World, folder: Path, bad: Iterable[Bad] = ()) -> AsyncIterator[Station]:
    """Open a copy of the prison's connector whose store the disk has damaged, as a start does."""
    shutil.copytree(world.prison.folder, folder)
    strike(folder, bad)
    key = world.prison.installation.keystore._passphrase_key
    installation = replace(world.prison.installation, keystore=Keystore(folder / KEYSTORE_FOLDER, key))
    async with open_station(folder, world.prison.member, installation, world.hub.clock, directory_every_s=1) as opened:
        yield opened


async def found_by_doctor(station: Station, world: World) -> tuple[Damage, set[str]]:
    """Return all of the store that cannot be read, and which checks of the doctor fail."""
    async with station.parts.store.read() as tx:
        damage = await damaged(tx)
    found = await examine_standing(station.settings, station.installation, world.hub.clock)
    return damage, {one.check for one in found if one.condition is Condition.FAULT}


async def works(station: Station, world: World, whole: Whole) -> dict[str, Any]:
    """Let the connector do all that one does, and assert that it is done for everything that is whole."""
    parts = station.parts
    loops = Loops(parts, station.settings, world.hub.clock, Log(station.logged, json=True), drop=drop_folder(station))
    loops._skipped.set()
    # Directory, upkeep, and what is forgotten; it raises what of the first two failed, and logs what of the last.
    before = len(station.logged.getvalue())
    await loops._follow()
    assert '"part":"pruning"' not in (logged := station.logged.getvalue()[before:].replace(" ", ""))
    assert '"part":"attachments"' not in logged
    await world.probation.look()
    came = await world.probation.send(station.desk, content=package(WORDS))
    attached = await send_with_attachment(world.probation, station)
    await carry(world.probation)
    await station.collect()
    said = (await station.compose(world.social_work.desk, content=package(person_section()))).id
    await station.seal_and_send()
    while await parts.downloads.step() or await parts.clockwork.step():
        pass
    await station.seal_and_send()
    for message in (whole.unsent, said):
        assert set((await station.states(message)).values()) <= {MessageState.ACCEPTED, MessageState.OPENED}
    async with parts.store.read() as tx:
        assert "escalate" in {one.event for one in await moves.of(tx, whole.thread)}
        (fetched,) = await attachments.of_message(tx, attached)
        assert fetched.state in attachments.HERE
    await drops(station, world)
    return await shows(station, whole, came)


async def drops(station: Station, world: World) -> None:
    folder = Folders(station.folder / "drop")
    body = {"to": world.social_work.desk, "fields": REQUEST, "sections": [WORDS.model_dump(mode="json")]}
    (folder.incoming / "one.json").write_text(json.dumps({"operation": "sendReferral", "body": body}))
    await drop_folder(station).step()
    assert (folder.done / "one.json").exists()


async def shows(station: Station, whole: Whole, came: MessageId) -> dict[str, Any]:
    """Ask for every list, and for what is whole one by one."""
    lists = await all_lists(station)
    messages = {item.id: item.state for item in lists["listHandovers"].items}
    assert {messages[one] for one in (came, whole.came)} == {MessageState.RECEIVED}
    assert {item.thread: item.damaged for item in lists["listThreads"].items}[whole.thread] is False
    assert next(item.source for item in lists["listDrafts"].items if item.id == whole.draft) == "hand"
    assert next(item.name for item in lists["listTokens"].items if item.id == whole.token) == "case system"
    assert len(lists["listQuarantine"].items) >= OF_EACH
    assert (await asked(station, GET_THREAD, path=ThreadPath(thread=whole.thread))).item.thread == whole.thread
    for case in lists["listCases"].items:
        shown = await asked(station, GET_CASE, path=CasePath(case=case.id))
        if whole.thread in {one.thread for one in shown.threads}:
            assert (case.register_numbers, shown.threads[0].damaged) == (["G-3"], False)
    return lists


async def all_lists(station: Station) -> dict[str, Any]:
    """Ask for everything that is no single thing; each must be answered whatever is damaged (CON-8)."""
    return {
        operation.id: await asked(station, operation, operation.query and operation.query())
        for operation in CONNECTOR_OPERATIONS
        if operation.method is Method.GET and operation.scope is not None and operation.parameters is None
    }


async def tells(station: Station, lists: dict[str, Any]) -> None:
    """Ask for everything one by one, damaged or not: nothing that fails is told as a fault of the request (CON-28)."""
    ids = {"listHandovers": "id", "listMessages": "id", "listThreads": "thread", "listDrafts": "id", "listCases": "id"}
    known = {name: [getattr(one, field) for one in lists[name].items] for name, field in ids.items()}
    known["listQuarantine"] = [one.number for one in lists["listQuarantine"].items]
    for list_, operation, field in ONE_BY_ONE:
        assert operation.parameters is not None
        for one in known[list_]:
            path = operation.parameters.model_construct(**{field: one})
            with suppress(NotFound, Conflict, StoreDamaged):
                await asked(station, operation, operation.query and operation.query(), path)


async def asked(station: Station, operation: Operation, query: Any = None, path: Any = None) -> Any:
    """Return what an operation of the local interface answers its owner."""
    call: Call[str] = Call(
        operation=operation,
        request_id="req",
        authenticated=Holder(OWNER, frozenset(Scope)),
        query_model=query,
        path_model=path,
    )
    return (await api_of(station).by_operation()[operation.id](call)).body
