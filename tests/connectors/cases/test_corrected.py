# SPDX-License-Identifier: Apache-2.0
"""What was sent and is wrong is seen to be wrong wherever it is shown, once its own agency has said so (KIND-9)."""

import json
import secrets
from typing import Any, cast

import pytest

from connectors.cases.composing import Said
from connectors.cli.messages import _tell
from connectors.cli.voice import Voice
from connectors.fhir.exporting import export_thread
from connectors.store import facts, outgoing, recipients
from protocol import ids
from protocol.bodies.needs import Entry, Narrative
from protocol.errors import InvalidInput, SectionCorrected
from protocol.http.cases import CaseView
from protocol.http.handovers import Corrected, CorrectionView
from protocol.http.messages import MessageQueued, MessageRequest
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.catalogue import KINDS
from tests.connectors.cases.test_cases import only, probation, refer
from tests.connectors.cases.test_onward import forward, proposed, stored
from tests.connectors.cases.test_referral import WORDS, settle
from tests.connectors.cases.test_strangers import intrude
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World

__all__ = ["csw", "prison", "probation"]

RIGHT = WORDS.model_copy(update={"body": Narrative(entries=(Entry(text="What is right instead."),))})


async def correct(
    served: Served, to: Served, message_id: MessageId, thread: ThreadId | None = None, *, text: str | None = None
) -> MessageQueued:
    body = Narrative(entries=(Entry(text=text),)) if text else RIGHT.body
    request = MessageRequest(
        kind="record.correction",
        to=[to.station.desk],
        thread=thread,
        fields={"corrects": ids.text(Kind.MESSAGE, message_id), "act_on": ["house-rules"]},
        sections=[RIGHT.model_copy(update={"body": body})],
    )
    return await served.client.send_message(request, idempotency_key=secrets.token_hex(12))


async def request_of(served: Served, thread: ThreadId) -> MessageId:
    return (await served.client.thread(thread)).steps[0].message


async def corrections_of(served: Served, thread: ThreadId) -> list[CorrectionView]:
    first = (await served.client.thread(thread)).steps[0]
    newest = first.corrections[-1] if first.corrections else None
    mark = None if newest is None else Corrected(message=newest.message, at=newest.at)
    assert [one.corrected for one in first.sections] == [mark] * len(first.sections)
    return first.corrections


def said_in(found: list[CorrectionView]) -> list[str]:
    return [str(cast("Any", one.body)["entries"][0]["text"]) for each in found for one in each.sections]


def corrected_in(view: CaseView) -> dict[str, MessageId | None]:
    return {entry.what: None if entry.corrected is None else entry.corrected.message for entry in view.history}


async def test_kind_9_a_corrected_message_is_marked_wherever_it_is_shown_at_both_sides(
    prison: Served, csw: Served
) -> None:
    thread = await refer(prison, csw)
    assert await corrections_of(csw, thread) == []
    sent = await correct(prison, csw, await request_of(prison, thread), thread)
    await settle(prison.station, csw.station)
    for served in (prison, csw):
        (one,) = await corrections_of(served, thread)
        assert (one.message, one.thread, one.corrects) == (sent.id, thread, await request_of(prison, thread))
        assert (one.sender, one.act_on, said_in([one])) == (prison.station.desk, ["house-rules"], [_words(RIGHT)])
        first = (await served.client.thread(thread)).steps[0]
        assert first.sections[0].body == json.loads(WORDS.body.model_dump_json(exclude_none=True))
        case = await only(served)
        assert corrected_in(case) == {"record.correction": None, "receive": None, "send": sent.id}
        page = (await served.client.print_thread(thread, language="en")).decode()
        assert page.index("Corrected by message") < page.index("an invented need") < page.index("What is right instead")
        assert page.count(ids.text(Kind.MESSAGE, sent.id)) >= 2
        assert "Corrected by message" in (await served.client.print_case(case.item.id, language="en")).decode()
        (told,) = [
            entry["resource"]["extension"]
            for entry in export_thread(await served.client.thread(thread))["entry"]
            if entry["resource"]["resourceType"] == "Communication" and "extension" in entry["resource"]
        ][:1]
        assert told[0]["valueIdentifier"]["value"] == ids.text(Kind.MESSAGE, sent.id)


async def test_kind_9_it_makes_no_difference_which_of_the_two_comes_first(prison: Served, csw: Served) -> None:
    thread = (await prison.refer(csw.station)).thread
    sent = await correct(prison, csw, await request_of(prison, thread))
    await prison.station.seal_and_send()
    items = await csw.station.link.receive(await csw.station.parts.inbox.cursor())
    assert len(items) == 2
    for one in reversed(items):
        await csw.station.take((one,))
    assert [one.message for one in await corrections_of(csw, thread)] == [sent.id]
    assert (await csw.client.message(sent.id)).corrections == []


async def test_kind_9_a_message_that_moves_nothing_and_a_correction_itself_are_corrected_likewise(
    prison: Served, csw: Served
) -> None:
    share = MessageRequest(kind="record.share", to=[csw.station.desk], fields={}, sections=[WORDS])
    shared = await prison.client.send_message(share, idempotency_key="a" * 24)
    first = await correct(prison, csw, shared.id, text="Wrong again.")
    second = await correct(prison, csw, first.id)
    await settle(prison.station, csw.station)
    for served in (prison, csw):
        view = await served.client.message(shared.id)
        assert [(one.message, one.corrects) for one in view.corrections] == [
            (first.id, shared.id),
            (second.id, first.id),
        ]
        assert said_in(view.corrections) == ["Wrong again.", _words(RIGHT)]
        assert {one.corrected and one.corrected.message for one in view.sections} == {second.id}
        assert [one.message for one in (await served.client.message(first.id)).corrections] == [second.id]
        page = (await served.client.print_message(shared.id, language="sq")).decode()
        assert page.index("Korrigjuar me mesazhin") < page.index("Wrong again.") < page.index(_words(RIGHT))


async def test_kind_9_two_that_correct_each_other_and_one_that_corrects_itself_hang_nothing_up(
    prison: Served, csw: Served
) -> None:
    thread = await refer(prison, csw)
    first = await correct(prison, csw, await request_of(prison, thread))
    second = await correct(prison, csw, first.id)
    await settle(prison.station, csw.station)
    copied = (
        "INSERT INTO correction SELECT ?, agency, ?, sender_desk, own_desk, ours, thread, at FROM correction LIMIT 1"
    )
    async with csw.station.parts.store.write() as tx:
        # What only another implementation could send, which chooses its ids.
        await tx.connection.exec_driver_sql(copied, (second.id, first.id))
        await tx.connection.exec_driver_sql(copied, (first.id, first.id))
    view = await csw.client.message(first.id)
    assert {one.message for one in view.corrections} == {second.id}
    assert {one.message for one in (await csw.client.thread(thread)).steps[0].corrections} == {first.id, second.id}
    case = (await csw.client.thread(thread)).case
    assert case is not None
    assert corrected_in(await csw.client.case(case))["send"] == first.id


async def test_kind_9_a_stranger_and_the_recipient_correct_nothing_of_another_s(
    prison: Served, csw: Served, probation: Served, world: World
) -> None:
    thread = await refer(prison, csw)
    message_id = await request_of(prison, thread)
    named: dict[str, Any] = {"corrects": ids.text(Kind.MESSAGE, message_id)}
    planted = WORDS.model_copy(update={"body": Narrative(entries=(Entry(text="Planted words."),))})
    for served in (csw, prison):
        await intrude(world, served, thread, "record.correction", named, [planted])
    with pytest.raises(InvalidInput, match="Only the agency that sent"):
        await correct(csw, prison, message_id, thread)
    # Nor where another implementation lets it say so.
    composing, parts = csw.station.parts.moving._composing, csw.station.parts
    said = Said(fields=named, sections=(planted,))
    subject = ids.text(Kind.SUBJECT, ids.new_id())
    lie = composing.message(KINDS["record.correction"], thread, csw.station.desk, subject, said)
    async with parts.store.write() as tx:
        await outgoing.add(tx, lie, composing.plans(lie, [prison.station.desk]))
        await parts.threads.register.composed(tx, lie, [prison.station.desk])
    await settle(prison.station, csw.station)
    for served in (prison, csw):
        assert await corrections_of(served, thread) == []
        assert set(corrected_in(await only(served)).values()) == {None}
        assert "Corrected by message" not in (await served.client.print_thread(thread, language="en")).decode()
    # It is shown as what it is: a message of theirs.
    assert "record.correction" in corrected_in(await only(csw))
    await proposed(prison, csw)
    assert (await prison.client.thread(thread)).item.state == "delivered"


async def test_ref_10_sections_that_were_corrected_are_carried_on_only_if_they_are_given_anew(
    prison: Served, csw: Served, probation: Served
) -> None:
    thread = await proposed(prison, csw)
    sent = await correct(prison, csw, await request_of(prison, thread), thread)
    before = await stored(prison)
    with pytest.raises(SectionCorrected, match=ids.text(Kind.MESSAGE, sent.id)):
        await forward(prison, thread, probation)
    assert await stored(prison) == before
    answer = await forward(prison, thread, probation, sections=[RIGHT])
    await settle(prison.station, csw.station, probation.station)
    (section,) = (await probation.client.thread(answer.new_thread)).steps[0].sections
    assert (section.body["entries"], section.corrected) == ([{"text": _words(RIGHT)}], None)


async def test_kind_9_a_correction_from_before_they_were_noted_is_found_at_the_next_start(
    prison: Served, csw: Served
) -> None:
    thread = await refer(prison, csw)
    sent = await correct(prison, csw, await request_of(prison, thread), thread)
    await settle(prison.station, csw.station)
    for served in (prison, csw):
        parts = served.station.parts
        async with parts.store.write() as tx:
            await tx.connection.exec_driver_sql("DELETE FROM correction")
            await facts.put(tx, "cases made", b"5")
        assert await corrections_of(served, thread) == []
        await parts.threads.register.catch_up(parts.store)
        assert [one.message for one in await corrections_of(served, thread)] == [sent.id]


async def test_con_8_a_correction_that_the_disk_has_damaged_is_known_to_be_there(prison: Served, csw: Served) -> None:
    thread = await refer(prison, csw)
    sent = await correct(prison, csw, await request_of(prison, thread), thread)
    await settle(prison.station, csw.station)
    async with csw.station.parts.store.write() as tx:
        await tx.connection.exec_driver_sql("UPDATE incoming SET sealed = x'00' WHERE message_id = ?", (sent.id,))
    (one,) = await corrections_of(csw, thread)
    assert (one.message, one.sections) == (sent.id, [])


def _words(section: Any) -> str:
    return str(section.body.entries[0].text)


async def test_kind_9_whoever_corrects_is_warned_of_each_desk_that_has_what_is_wrong_and_hears_nothing(
    prison: Served, csw: Served, probation: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    desks = [csw.station.desk, probation.station.desk]
    share = MessageRequest(kind="record.share", to=desks, fields={}, sections=[WORDS])
    shared = await prison.client.send_message(share, idempotency_key="a" * 24)
    assert shared.missed == []
    sent = await correct(prison, csw, shared.id)
    assert sent.missed == [probation.station.desk], "it may be on its way there still"
    _tell(sent, "gora-prison", Voice(as_json=False, quiet=True, colour=False))
    assert capsys.readouterr().err.splitlines() == [
        f"warning: {probation.station.desk} has what this corrects, and does not get the correction: send it there too"
    ]
    request = MessageRequest(
        kind="record.correction", to=desks, fields={"corrects": ids.text(Kind.MESSAGE, shared.id)}, sections=[RIGHT]
    )
    assert (await prison.client.send_message(request, idempotency_key="b" * 24)).missed == []
    async with prison.station.parts.store.write() as tx:
        # Nobody at a desk that it never came to has anything to put right.
        await recipients.fail(tx, shared.id, [probation.station.desk], "recipient-unavailable")
    assert (await correct(prison, csw, shared.id)).missed == []
