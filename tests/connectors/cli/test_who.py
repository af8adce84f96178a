# SPDX-License-Identifier: Apache-2.0
"""Who acts, who gets the matter and whose message is meant are three things, and each has a name of its own."""

import click
import pytest
from pydantic import JsonValue

from connectors.cases.composing import Said
from connectors.cli import drafts, fhir, handover_send, steps, threads
from connectors.cli.acting import BY_SERVICE
from connectors.store import outgoing
from connectors.store.recipients import Plan
from protocol import ids
from protocol.http.messages import MessageRequest
from protocol.ids import Kind
from protocol.kinds.catalogue import KINDS
from tests.connectors.cases.test_cases import refer
from tests.connectors.cases.test_referral import OFFICER, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.cli.test_mistakes import Typed, typed_
from tests.connectors.conftest import World

__all__ = ["csw", "prison", "typed_"]


@pytest.mark.parametrize("name", ["--assign-to", "--officer"])
async def test_whom_a_referral_is_given_to_signs_nothing_and_that_is_said(
    typed: Typed, prison: Served, csw: Served, name: str
) -> None:
    thread = await refer(csw, prison)
    words = "referral", "acknowledge", ids.text(Kind.THREAD, thread), name, OFFICER, "--answer-by", "2026-12-05"
    status, _, told = await typed(*words)
    assert (status, f"warning: {BY_SERVICE}" in told) == (0, True)
    view = await prison.client.thread(thread)
    assert view.steps[-1].payload["officer"] == OFFICER
    assert view.steps[-1].signer == "connector service"


async def test_who_acts_signs_and_nothing_is_said(typed: Typed, prison: Served, csw: Served) -> None:
    (officer,) = (await prison.client.status()).officers
    thread = await refer(csw, prison)
    words = "referral", "acknowledge", ids.text(Kind.THREAD, thread), "--assign-to", officer.title
    status, _, told = await typed(*words, "--as", officer.title, "--answer-by", "2026-12-05")
    assert (status, BY_SERVICE in told) == (0, False)
    assert (await prison.client.thread(thread)).steps[-1].signer == officer.title


@pytest.mark.parametrize(
    "command", [threads.send, handover_send.send, drafts.make, fhir.import_, steps.__getattr__("referral_accept")]
)
def test_help_tells_no_name_of_before(command: click.Command) -> None:
    shown = command.get_help(click.Context(command))
    assert "--as" in shown
    assert "--officer" not in shown
    assert ("--assign-to" in shown) == (command.name == "accept")


async def test_con_9_one_of_two_messages_under_an_id_is_answered_by_naming_its_sender(
    typed: Typed, prison: Served, csw: Served, world: World
) -> None:
    """A stranger who has seen a message sends under its id, and must not keep the genuine one from being noted."""
    fields: dict[str, JsonValue] = {"area": "invented-municipality", "week": "2027-W03"}
    notice = MessageRequest(kind="contact.area-notice", to=[prison.station.desk], fields=fields)
    sent = await csw.client.send_message(notice, idempotency_key="k" * 16)
    await settle(csw.station, prison.station)
    liar = world.probation
    composing, subject = liar.parts.moving._composing, ids.text(Kind.SUBJECT, ids.new_id())
    said = Said(fields=fields, message_id=sent.id)
    forged = composing.message(KINDS[notice.kind], sent.thread, liar.desk, subject, said)
    async with liar.parts.store.write() as tx:
        await outgoing.add(tx, forged, {prison.station.desk: Plan()})
    await settle(liar, prison.station)
    words = "message", "answer", ids.text(Kind.MESSAGE, sent.id), "noted"
    status, _, told = await typed(*words)
    assert (status, "Say who answers: --as OFFICER" in told) == (2, True)
    status, _, told = await typed(*words, "--officer", OFFICER)
    assert (status, "Say whose, and at which desk of ours: --sender DESK" in told) == (6, True)
    status, _, told = await typed(*words, "--officer", OFFICER, "--sender", csw.station.desk)
    assert (status, BY_SERVICE in told) == (0, True)
    await settle(prison.station, csw.station, liar)
    assert [one.answer for one in (await csw.client.message(sent.id)).answers] == ["noted"]
    assert (await liar.parts.thread_api._messages.show(sent.id)).answers == []
