# SPDX-License-Identifier: Apache-2.0
"""The sender of any message sees per desk what did not go, and how far the rest has come (CON-7)."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from connectors.store import attempts, recipients, tables
from protocol.http.drafts import DraftRequest
from protocol.http.handovers import RecipientPlan, RecipientView
from protocol.http.messages import MessageQueued, MessageRequest
from protocol.http.onward import ForwardRequest, SubReferralRequest
from protocol.http.threads import ReferralRequest, StepQueued, StepRequest, StepView
from protocol.ids import Kind, ThreadId, text
from tests.connectors.cases.test_cases import probation, refer, step
from tests.connectors.cases.test_referral import FIELDS, REQUEST, WORDS, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.printing.reading import read
from tests.connectors.stations import person_section, risk_section
from tests.connectors.typing import type_at

__all__ = ["csw", "prison", "probation"]

SECTIONS = [person_section(), risk_section()]
"""The second is meant for probation only."""
WHOLE: tuple[list[Any], list[Any]] = ([(1, "identity"), (2, "risk-summary")], [])
PART: tuple[list[Any], list[Any]] = (
    [(1, "identity")],
    [(2, "risk-summary", "supervision", "not-meant-for-this-function")],
)
NOTICE: dict[str, Any] = {"area": "invented-municipality", "week": "2027-W03"}
WITHHELD = "withheld 2 risk-summary, for supervision: not meant for this desk's function"


def key() -> str:
    return secrets.token_hex(12)


def told(recipients: list[RecipientPlan] | list[RecipientView]) -> dict[str, Any]:
    return {
        one.desk: (
            [(section.number, section.category) for section in one.sections],
            [(section.number, section.category, section.purpose, section.reason) for section in one.withheld],
        )
        for one in recipients
    }


async def newest(served: Served, thread: ThreadId) -> StepView:
    return (await served.client.thread(thread)).steps[-1]


async def test_con_7_what_a_desk_does_not_get_of_a_message_is_in_the_answer_and_in_the_view(
    prison: Served, csw: Served, probation: Served
) -> None:
    to = [csw.station.desk, probation.station.desk]
    request = MessageRequest(kind="contact.area-notice", to=to, fields=NOTICE, sections=SECTIONS)
    asked = key()
    queued = await prison.client.send_message(request, idempotency_key=asked)
    assert told(queued.recipients) == {csw.station.desk: PART, probation.station.desk: WHOLE}
    await settle(prison.station, csw.station, probation.station)
    view = await prison.client.message(queued.id)
    assert told(view.recipients) == told(queued.recipients)
    assert {(one.state, one.error) for one in view.recipients} == {("opened", None)}
    assert all(one.receipt and one.opened_at for one in view.recipients)
    assert await prison.client.send_message(request, idempotency_key=asked) == queued
    # Nobody else learns what was withheld.
    came = await csw.client.message(queued.id)
    assert (came.recipients, [one.category for one in came.sections]) == ([], ["identity"])


async def test_con_7_what_a_desk_does_not_get_of_a_referral_is_in_the_answer_and_at_its_step(
    prison: Served, csw: Served
) -> None:
    request = ReferralRequest(to=csw.station.desk, fields=REQUEST, sections=SECTIONS)
    asked = key()
    queued = await prison.client.refer(request, idempotency_key=asked)
    assert told(queued.recipients) == {csw.station.desk: PART}
    assert await prison.client.refer(request, idempotency_key=asked) == queued
    await settle(prison.station, csw.station)
    sent, receipt = (await prison.client.thread(queued.thread)).steps
    assert told(sent.recipients) == {csw.station.desk: PART}
    assert [one.state for one in sent.recipients] == ["opened"]
    assert receipt.recipients == [], "what came names no desks that did not get it"
    came = (await csw.client.thread(queued.thread)).steps[0]
    assert (came.recipients, [one.category for one in came.sections]) == ([], ["identity"])


async def test_con_7_so_it_is_with_a_step_a_sub_referral_a_sent_draft_and_a_forward(
    prison: Served, csw: Served, probation: Served
) -> None:
    thread = await refer(prison, probation)
    await step(probation, thread, "acknowledge", prison)
    version = (await probation.client.thread(thread)).item.version
    request = StepRequest(event="accept", fields=FIELDS["accept"], sections=[WORDS, risk_section()])
    accepted = await probation.client.step(thread, request, version=version, idempotency_key=key())
    await settle(probation.station, prison.station)

    sub = SubReferralRequest(
        to=csw.station.desk,
        services=["housing-advice"],
        fields={"answer_by": "2026-12-20"},
        sections=SECTIONS,
    )
    referred = await probation.client.sub_refer(thread, sub, idempotency_key=key())

    fields = {**REQUEST, "duplicates": "sent-anyway"}
    draft = DraftRequest(to=csw.station.desk, fields=fields, sections=SECTIONS)
    item = (await prison.client.make_draft(draft, idempotency_key=key())).item
    asked = key()
    drafted = await prison.client.send_draft(item.id, version=item.version, idempotency_key=asked)
    assert await prison.client.send_draft(item.id, version=item.version, idempotency_key=asked) == drafted

    category = WORDS.category
    never = (2, "risk-summary", "supervision", "not-meant-for-this-function")
    assert told(accepted.recipients) == {prison.station.desk: ([(1, category)], [never])}
    for served, queued in ((probation, accepted), (probation, referred), (prison, drafted)):
        shown = next(one for one in (await served.client.thread(queued.thread)).steps if one.message == queued.message)
        assert told(shown.recipients) == told(queued.recipients)
    assert told(referred.recipients) == told(drafted.recipients) == {csw.station.desk: PART}

    other = await refer(prison, probation, duplicates="sent-anyway")
    await step(probation, other, "propose-forward", prison, agency="polje-csw@hub.example", reason="better-placed")
    forward = ForwardRequest(to=csw.station.desk, fields={"answer_by": "2027-03-01"}, sections=SECTIONS)
    version = (await prison.client.thread(other)).item.version
    forwarded = await prison.client.forward(other, forward, version=version, idempotency_key=key())
    assert told(forwarded.recipients) == {csw.station.desk: PART}


async def test_con_7_the_steps_of_a_handover_show_what_was_withheld_from_every_desk(
    prison: Served, csw: Served, probation: Served
) -> None:
    sent = await prison.station.compose(probation.station.desk, csw.station.desk)
    await settle(prison.station, csw.station, probation.station)
    offer = (await prison.client.thread(sent.thread)).steps[0]
    package = await prison.client.handover(sent.id)
    assert offer.recipients == package.recipients
    assert told(offer.recipients) == told(sent.recipients)


async def test_con_2_why_a_message_or_step_waits_or_failed_is_shown_at_its_desk(
    prison: Served, csw: Served, world: World
) -> None:
    thread = (await prison.refer(csw.station)).thread
    notice = MessageRequest(kind="contact.area-notice", to=[csw.station.desk], fields=NOTICE)
    message = (await prison.client.send_message(notice, idempotency_key=key())).id
    world.hub.programme.now = world.hub.clock()
    world.hub.programme.revoke_device(csw.station.member)
    await world.hub.catch_up()
    await prison.station.look()
    assert await prison.station.seal_and_send() == 0, "no device serves the desk any more"
    for (shown,) in ((await newest(prison, thread)).recipients, (await prison.client.message(message)).recipients):
        assert (shown.state, shown.error) == ("queued", "recipient-unavailable")
        assert (
            shown.detail
            == "The desk has no device with a usable prekey. Ask that agency to bring its connector online."
        )


async def test_con_2_every_reason_has_plain_words_and_one_on_its_way_that_of_the_last_try(
    prison: Served, csw: Served
) -> None:
    request = MessageRequest(kind="contact.area-notice", to=[csw.station.desk], fields=NOTICE)
    store, message = prison.station.parts.store, (await prison.client.send_message(request, idempotency_key=key())).id

    async def shown() -> RecipientView:
        (found,) = (await prison.client.message(message)).recipients
        return found

    assert ((await shown()).state, (await shown()).error, (await shown()).detail) == ("queued", None, None)
    await prison.station.parts.sealer.step()
    envelope = (await shown()).envelope_id
    assert envelope is not None
    async with store.write() as tx:
        await attempts.postpone(tx, envelope, tries=1, until=0, error="unavailable")
    assert ((await shown()).state, (await shown()).error) == ("queued", "unavailable")
    assert "cannot answer now" in ((await shown()).detail or "")
    details = set()
    for error in ("device-replaced", "no-notice", "hub-restored", "receipt.missing", "expired", "cannot-open"):
        async with store.write() as tx:
            await recipients.wait(tx, message, csw.station.desk, until=0, error=error)
        assert (await shown()).error == error
        details.add((await shown()).detail)
    assert len(details) == 6
    assert all(detail and "envelope's times" not in detail for detail in details)


async def test_con_7_the_sender_sees_on_which_ground_each_section_went_and_a_recipient_is_not_told(
    prison: Served, csw: Served, probation: Served
) -> None:
    desks = [csw.station.desk, probation.station.desk]
    request = MessageRequest(kind="contact.area-notice", to=desks, fields=NOTICE, sections=SECTIONS)
    message = (await prison.client.send_message(request, idempotency_key=key())).id
    package = await prison.station.compose(*reversed(desks))
    thread = await refer(prison, csw, risk_section())
    await settle(prison.station, csw.station, probation.station)

    async def seen(served: Served) -> list[list[tuple[str | None, str | None]]]:
        shown = [
            (await served.client.message(message)).sections,
            (await served.client.handover(package.id)).sections,
            (await served.client.thread(thread)).steps[0].sections if served is not probation else [],
        ]
        return [[(one.basis, one.citation) for one in sections] for sections in shown]

    grounds = [("statute", "Invented Act, art. 1"), ("statute", "Invented Act, art. 2")]
    assert await seen(prison) == [grounds] * 3
    for side in (csw, probation):
        assert {ground for sections in await seen(side) for ground in sections} == {(None, None)}
    for content, theirs in (
        (await prison.client.print_message(message), await csw.client.print_message(message)),
        (await prison.client.print_handover(package.id), await csw.client.print_handover(package.id)),
        (await prison.client.print_thread(thread), await csw.client.print_thread(thread)),
        (await prison.client.print_thread(package.thread), await csw.client.print_thread(package.thread)),
    ):
        assert {"Invented Act, art. 1", "Invented Act, art. 2"} <= set(read(content.decode()).said)
        assert "Legal basis" in content.decode()
        assert "Invented Act" not in theirs.decode()


async def test_con_8_a_receipt_that_the_disk_has_damaged_hides_nothing_else(prison: Served, csw: Served) -> None:
    thread = await refer(prison, csw)
    async with prison.station.parts.store.write() as tx:
        await tx.connection.execute(update(tables.attempt).values(sealed_receipt=b"damaged"))
    sent = (await prison.client.thread(thread)).steps[0]
    (shown,) = sent.recipients
    assert (shown.state, shown.receipt, shown.marks) == ("opened", None, ["damaged"])
    assert [one.category for one in shown.sections] == ["needs"]


async def test_the_commands_print_what_was_withheld_and_how_it_stands(
    prison: Served, csw: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sections = [one.model_dump(mode="json") for one in SECTIONS]

    async def typed(*words: str | Path) -> str:
        assert await type_at(prison.station, prison.url, *words) == 0
        return capsys.readouterr().out

    for verb, fields in ((["referral", "send"], REQUEST), (["message", "send", "contact.area-notice"], NOTICE)):
        file = tmp_path / "asked.json"
        file.write_text(json.dumps({"fields": fields, "sections": sections}), encoding="utf-8")
        sent = await typed(*verb, "--to", csw.station.desk, "--input", file)
        assert f"  to {csw.station.desk}\n    sections 1 identity\n    {WITHHELD}\n" in sent
        await settle(prison.station, csw.station)
        shown = await typed(verb[0], "show", sent.split()[0])
        assert f"to {csw.station.desk}: opened" in shown
        assert WITHHELD in shown
        assert "section 2: risk-summary for supervision, on statute (Invented Act, art. 2)" in shown


def test_an_answer_that_was_stored_by_an_older_version_is_read() -> None:
    thread, message = text(Kind.THREAD, bytes(16)), text(Kind.MESSAGE, bytes(16))
    queued = {"thread": thread, "message": message, "state": "sent", "version": 1, "open_sub_referrals": []}
    assert StepQueued.model_validate(queued).recipients == []
    assert MessageQueued.model_validate({"id": message, "thread": thread}).recipients == []
