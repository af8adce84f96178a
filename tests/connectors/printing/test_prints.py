# SPDX-License-Identifier: Apache-2.0
"""Prints of real connectors: what each side may read, in the language that it asked for, and nothing else."""

import asyncio
import json
import re
import secrets
from pathlib import Path

import aiohttp
import pytest
from pydantic import JsonValue
from sqlalchemy import Table, update

from connectors import home
from connectors.access import TOKEN_FILE
from connectors.api_client import ApiClient
from connectors.cases.composing import Said
from connectors.cli import main
from connectors.languages import LANGUAGES
from connectors.printing.page import POLICY
from connectors.store import incoming, outgoing, recipients, tables, threadtables
from connectors.store.recipients import Plan
from protocol import ids
from protocol.bodies.needs import Entry, Narrative
from protocol.clearance import Basis, Category, DeskFunction, Label, Purpose
from protocol.errors import Conflict, Forbidden, NotFound, UnknownLanguage
from protocol.handover import PackageSection
from protocol.http.cases import CaseFilter
from protocol.http.messages import MessageRequest
from protocol.http.operation import Scope
from protocol.http.tokens import TokenRequest
from protocol.ids import CaseId, Kind, MessageId, ThreadId
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY
from tests.connectors.cases.test_cases import about, refer, step
from tests.connectors.cases.test_handover import ACCEPT, TAKEN_UP, do
from tests.connectors.cases.test_referral import settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.printing.reading import harmless, read

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

__all__ = ["csw", "prison"]

SECRET = "Words about health for nobody else"
MEDICAL = PackageSection(
    category=Category.MEDICAL,
    purpose=Purpose.HEALTH_CARE,
    basis=Basis.STATUTE,
    citation="Invented Act, art. 2",
    label=Label.RESTRICTED,
    functions=(DeskFunction.HEALTH,),
    body=Narrative(entries=(Entry(text=SECRET),)),
)


async def referred(prison: Served, csw: Served) -> ThreadId:
    numbers = {"register_numbers": {"sender": "035-1/2027"}}
    thread = await refer(prison, csw, about("Измишљена", given_names="Džana <i>"), MEDICAL, **numbers)
    await step(csw, thread, "acknowledge", prison, register_numbers={"sender": "11-20/2027"})
    return thread


def leaves(value: object) -> set[str]:
    """Return every text of a JSON value."""
    if isinstance(value, dict):
        return {one for inner in value.values() for one in leaves(inner)}
    if isinstance(value, list):
        return {one for inner in value for one in leaves(inner)}
    return {str(value)}


async def test_prt_1_a_print_says_nothing_that_the_view_of_the_same_caller_does_not(
    prison: Served, csw: Served
) -> None:
    thread = await referred(prison, csw)
    desks = {one.agency_name for one in (await csw.client.desks()).items}
    for side in (prison, csw):
        found = read((await side.client.print_thread(thread)).decode())
        view = leaves(json.loads((await side.client.thread(thread)).model_dump_json()))
        assert harmless(found)
        assert set(found.said) <= view | desks
        assert {"Измишљена", "Džana <i>", "Invented words about an invented need.", "035-1/2027"} <= set(found.said)
    theirs = (await csw.client.print_thread(thread)).decode()
    assert SECRET not in theirs
    assert "Not sent to this recipient" not in theirs
    ours = (await prison.client.print_thread(thread)).decode()
    assert "Not sent to this recipient" in ours
    assert "not meant for this unit’s function" in ours


async def test_prt_3_a_print_is_in_the_language_that_is_asked_for_or_in_the_connectors_own(
    prison: Served, csw: Served
) -> None:
    thread = await referred(prison, csw)
    titles = {}
    for tag in LANGUAGES:
        markup = (await csw.client.print_thread(thread, language=tag)).decode()
        assert f'<html lang="{tag}">' in markup
        assert "Измишљена" in read(markup).said
        titles[tag] = markup.split("<title>")[1].split("</title>")[0]
    assert titles["sq"] == "Referim"
    assert (titles["sr-Cyrl"], titles["sr-Latn"], titles["mk"]) == ("Упућивање", "Upućivanje", "Упатување")
    assert '<html lang="en">' in (await csw.client.print_thread(thread)).decode()
    with pytest.raises(UnknownLanguage, match="sr-Cyrl, sr-Latn"):
        await csw.client.print_thread(thread, language="tlh")


async def test_prt_4_the_answer_forbids_a_browser_all_but_its_own_style(prison: Served, csw: Served) -> None:
    thread = (await prison.refer(csw.station)).thread
    token = (prison.station.folder / TOKEN_FILE).read_text(encoding="ascii").strip()
    address = f"{prison.url}/v1/threads/{ids.text(Kind.THREAD, thread)}/print?language=mk"
    async with (
        aiohttp.ClientSession() as session,
        session.get(address, headers={"Authorization": f"Bearer {token}"}) as answer,
    ):
        assert answer.status == 200
        assert answer.content_type == "text/html"
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["Content-Language"] == "mk"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_prt_1_each_message_of_a_matter_names_who_acted_and_what_proves_it(prison: Served, csw: Served) -> None:
    thread = await referred(prison, csw)
    view = await csw.client.thread(thread)
    first = (await csw.client.print_thread(thread, message=view.steps[0].message)).decode()
    assert "Referral: request" in first
    assert "Referral: taken up by an officer" not in first
    async with csw.station.parts.store.read() as tx:
        message = await incoming.known(tx, view.steps[0].message, prison.station.desk, csw.station.desk)
    assert message is not None
    for proof in (message.digest.hex(), message.actor.delegation.hex(), ids.text(Kind.ENVELOPE, message.envelope_id)):
        assert proof in first
    with pytest.raises(NotFound):
        await csw.client.print_thread(thread, message=MessageId(bytes(16)))


async def test_a_message_that_moves_no_thread_is_printed_with_its_answers(prison: Served, csw: Served) -> None:
    request = MessageRequest(
        kind="contact.area-notice",
        to=[csw.station.desk],
        fields={
            "area": "invented-municipality",
            "week": "2027-W03",
            "register_numbers": {"sender": "035-2/2027"},
        },
    )
    sent = (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).id
    await settle(prison.station, csw.station)
    answer = MessageRequest(
        kind="message.answer",
        to=[prison.station.desk],
        fields={
            "answers": ids.text(Kind.MESSAGE, sent),
            "answer": "noted",
            "officer": ids.text(Kind.OFFICER, bytes(16)),
        },
    )
    await csw.client.send_message(answer, idempotency_key=secrets.token_hex(12))
    await settle(prison.station, csw.station)
    for side in (prison, csw):
        found = read((await side.client.print_message(sent, language="sr-Latn")).decode())
        text = " ".join(found.own)
        assert harmless(found)
        assert "Obaveštenje zajednici u koju se lice vraća" in text
        assert "preuzelo određeno službeno lice" in text
        assert {"invented-municipality", "035-2/2027"} <= set(found.said)
    with pytest.raises(NotFound):
        await csw.client.print_message(MessageId(bytes(16)))


async def test_a_whole_case_is_printed_with_each_thread_and_each_message(prison: Served, csw: Served) -> None:
    thread = await referred(prison, csw)
    notice = MessageRequest(
        kind="contact.area-notice",
        to=[csw.station.desk],
        fields={"area": "invented-municipality", "week": "2027-W03"},
        thread=thread,
    )
    await prison.client.send_message(notice, idempotency_key=secrets.token_hex(12))
    await settle(prison.station, csw.station)
    (item,) = (await csw.client.cases(CaseFilter())).items
    markup = (await csw.client.print_case(item.id, language="cnr-Cyrl")).decode()
    found = read(markup)
    assert harmless(found)
    assert {"Измишљена", "035-1/2027", "invented-municipality", "Invented words about an invented need."} <= set(
        found.said
    )
    text = " ".join(found.own)
    for title in ("Списи предмета", "Упућивање: захтјев", "Обавјештење заједници у коју се лице враћа"):
        assert title in text
    assert SECRET not in markup
    with pytest.raises(NotFound):
        await csw.client.print_case(CaseId(bytes(16)))


LOST, UNREADABLE = "a message was lost here", "what is stored can no longer be read"


async def broken(served: Served, table: Table, **where: object) -> None:
    """Damage what is sealed in the rows of a table that have these values."""
    async with served.station.parts.store.write() as tx:
        rows = [getattr(table.c, name) == value for name, value in where.items()]
        done = await tx.connection.execute(update(table).where(*rows).values(sealed=b"\0"))
        assert done.rowcount == 1


async def test_con_8_a_step_whose_message_is_damaged_hides_no_other_on_the_screen_nor_on_paper(
    prison: Served, csw: Served
) -> None:
    thread = await referred(prison, csw)
    kinds = {"send": "referral.request", "acknowledge": "referral.acknowledge"}
    for served, ours in ((prison, "send"), (csw, "acknowledge")):
        for event, kind in kinds.items():
            table = tables.outgoing if event == ours else tables.incoming
            await broken(served, table, thread=thread, payload_type=kind)
            steps = {one.event: one for one in (await served.client.thread(thread)).steps}
            assert (steps[event].damaged, steps[event].sections) == (True, [])
            assert steps[event].payload["kind"] == kind, "the step itself is whole"
            printed = (await served.client.print_thread(thread, language="en")).decode()
            assert UNREADABLE in printed
            (item,) = (await served.client.cases(CaseFilter())).items
            assert UNREADABLE in (await served.client.print_case(item.id, language="en")).decode()


async def test_prt_1_a_case_file_names_the_matter_that_cannot_be_read(prison: Served, csw: Served) -> None:
    first = await referred(prison, csw)
    second = await refer(prison, csw, reopens=ids.text(Kind.THREAD, first))
    await broken(csw, threadtables.thread, thread=second)
    (item,) = (await csw.client.cases(CaseFilter())).items
    printed = (await csw.client.print_case(item.id, language="en")).decode()
    assert UNREADABLE in printed
    assert ids.text(Kind.THREAD, second) in printed
    assert "Words about an invented need" not in printed
    assert ids.text(Kind.THREAD, first) in printed


async def test_prt_1_paper_says_what_is_missing_and_late_as_the_screen_does(
    prison: Served, csw: Served, world: World
) -> None:
    thread = await referred(prison, csw)
    fields: dict[str, JsonValue] = {"imminence": "now", "answer_by": world.hub.clock() + DAY}
    asked = MessageRequest(kind="alert.risk", to=[csw.station.desk], fields=fields, thread=thread)
    gone, late = [(await prison.client.send_message(asked, idempotency_key=secrets.token_hex(12))).id for _ in range(2)]
    async with prison.station.parts.store.write() as tx:
        await recipients.fail(tx, gone, [csw.station.desk], "cannot-open")
        # Both sides know of it.
        told = {"told_at": world.hub.clock()}
        await tx.connection.execute(
            update(tables.recipient).where(tables.recipient.c.message_id == gone).values(**told)
        )
    world.hub.clock.advance(2 * DAY)
    (item,) = (await prison.client.cases(CaseFilter())).items
    view = await prison.client.case(item.id)
    assert [one.message for one in (await prison.client.thread(thread)).lost] == [one.message for one in view.lost]
    assert [one.message for one in view.lost] == [gone]
    assert {one.message for one in view.undelivered} == {gone, late}
    matter = (await prison.client.print_thread(thread, language="en")).decode()
    file = (await prison.client.print_case(item.id, language="en")).decode()
    for printed in (matter, file):
        assert LOST in printed
        assert ids.text(Kind.MESSAGE, gone) in printed
    assert file.index(ids.text(Kind.MESSAGE, late)) < file.index("Referral"), "what it lacks stands first"
    assert file.index("This file is not complete") < file.index(LOST)
    assert "This file is not complete" not in matter
    assert "something expected is late" in (await prison.client.print_message(late, language="en")).decode()


async def test_con_9_who_sends_under_another_s_id_has_nothing_left_out(
    prison: Served, csw: Served, world: World
) -> None:
    thread = await referred(prison, csw)
    fields: dict[str, JsonValue] = {"area": "invented-municipality", "week": "2027-W03"}
    notice = MessageRequest(kind="contact.area-notice", to=[csw.station.desk], fields=fields, thread=thread)
    sent = (await prison.client.send_message(notice, idempotency_key=secrets.token_hex(12))).id
    await settle(prison.station, csw.station)
    liar = world.probation
    composing, subject = liar.parts.moving._composing, ids.text(Kind.SUBJECT, ids.new_id())
    said = Said(fields={**fields, "area": "planted-municipality"}, message_id=sent)
    forged = composing.message(KINDS[notice.kind], thread, liar.desk, subject, said)
    async with liar.parts.store.write() as tx:
        await outgoing.add(tx, forged, {csw.station.desk: Plan()})
    await settle(liar, csw.station)
    (item,) = (await csw.client.cases(CaseFilter())).items
    found = read((await csw.client.print_case(item.id, language="en")).decode()).said
    assert [found.count(one) for one in ("invented-municipality", "planted-municipality")] == [1, 1]
    for ask in (csw.client.message, csw.client.print_message):
        with pytest.raises(Conflict):
            await ask(sent)
        with pytest.raises(NotFound):
            await ask(sent, sender=csw.station.desk)
    for desk, area in ((prison.station.desk, "invented-municipality"), (liar.desk, "planted-municipality")):
        assert (await csw.client.message(sent, sender=desk)).payload["area"] == area
        said_there = read((await csw.client.print_message(sent, language="en", sender=desk)).decode()).said
        assert area in said_there


def stands(markup: str) -> tuple[str | None, str | None]:
    """Return how a handover stands, and how far its package has come, as an English print says it."""
    found = [re.search(rf">{label}</th><td>([^<]+)<", markup) for label in ("State", "Delivery")]
    state, delivery = (None if one is None else one[1] for one in found)
    return state, delivery


async def test_a_package_at_the_hub_is_not_printed_as_accepted_and_one_that_was_accepted_is(
    world: World, prison: Served, csw: Served
) -> None:
    composed = await prison.station.compose(world.probation.desk, csw.station.desk)

    async def at(served: Served) -> tuple[str | None, str | None]:
        return stands((await served.client.print_handover(composed.id, language="en")).decode())

    assert await at(prison) == ("offered", "waiting to be sent")
    await prison.station.seal_and_send()
    assert await at(prison) == ("offered", "at the hub")
    await settle(prison.station, csw.station, world.probation)
    assert await at(prison) == ("offered", "opened by the recipient’s system")
    await do(world.probation, composed.thread, "acknowledge", **TAKEN_UP)
    await do(world.probation, composed.thread, "accept", **ACCEPT)
    await settle(prison.station, csw.station, world.probation)
    assert await at(prison) == ("accepted", "opened by the recipient’s system")
    # A desk that got a copy knows of no answer.
    assert await at(csw) == (None, "received")


async def test_a_handover_is_printed_at_both_sides_and_what_was_withheld_at_its_sender_only(
    world: World, prison: Served, csw: Served
) -> None:
    message = await prison.station.send(csw.station.desk)
    await settle(prison.station, csw.station)
    ours = (await prison.client.print_handover(message, language="sq")).decode()
    theirs = (await csw.client.print_handover(message, language="sq")).decode()
    assert "Dorëzimi: oferta" in ours
    assert "Dorëzimi: oferta" in theirs
    assert "Nuk i është dërguar këtij marrësi" in ours
    assert "Nuk i është dërguar këtij marrësi" not in theirs
    view = await csw.client.handover(message)
    assert set(read(theirs).said) <= leaves(json.loads(view.model_dump_json())) | {
        one.agency_name for one in (await csw.client.desks()).items
    }
    # The matter as a whole shows our own package too, which stands in a view of its own.
    whole = (await prison.client.print_thread(view.thread, language="sq")).decode()
    assert set(read(ours).said) <= set(read(whole).said) | {one.agency_name for one in (await csw.client.desks()).items}


async def test_con_14_a_print_needs_the_scope_that_reading_needs(prison: Served, csw: Served) -> None:
    thread = (await prison.refer(csw.station)).thread
    made = await prison.client.make_token(
        TokenRequest(name="watcher", scopes=[Scope.WATCH], days=1), idempotency_key=secrets.token_hex(12)
    )
    async with aiohttp.ClientSession() as session:
        watcher = ApiClient(session, prison.url, made.secret)
        with pytest.raises(Forbidden):
            await watcher.print_thread(thread)
    with pytest.raises(NotFound):
        await prison.client.print_thread(ThreadId(bytes(16)))


async def test_the_command_writes_a_file_for_us_alone(
    prison: Served, csw: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = (await prison.refer(csw.station)).thread
    out = tmp_path / "print.html"
    monkeypatch.setenv("THROUGHCARE_HOME", str(tmp_path))
    folder = prison.station.folder
    home.register(home.Profile("gora-prison", prison.station.desk, prison.url, str(folder / TOKEN_FILE), str(folder)))
    typed = ["referral", "print", ids.text(Kind.THREAD, thread), "--agency", "gora-prison", "--language", "hr"]
    assert await asyncio.to_thread(main, [*typed, "--out", str(out)]) == 0
    assert '<html lang="hr">' in out.read_text(encoding="utf-8")
    assert out.stat().st_mode & 0o777 == 0o600
    assert await asyncio.to_thread(main, [*typed[:-1], "tlh", "--out", str(out)]) != 0
    assert "There is a file" in capsys.readouterr().err
    assert await asyncio.to_thread(main, [*typed[:-1], "tlh", "--out", str(tmp_path / "new.html")]) != 0
    assert "sr-Cyrl, sr-Latn" in capsys.readouterr().err
    assert not (tmp_path / "new.html").exists()
    # What lies there is somebody's; what a link names is not even touched when it is replaced.
    notes, link = tmp_path / "notes", tmp_path / "link.html"
    notes.write_text("ours", encoding="utf-8")
    link.symlink_to(notes)
    assert await asyncio.to_thread(main, [*typed, "--out", str(link)]) == 6
    assert "or with --replace" in capsys.readouterr().err
    assert link.is_symlink()
    assert await asyncio.to_thread(main, [*typed, "--out", str(link), "--replace"]) == 0
    assert (link.is_symlink(), link.stat().st_mode & 0o777) == (False, 0o600)
    assert "<html" in link.read_text(encoding="utf-8")
    assert notes.read_text(encoding="utf-8") == "ours"
