# SPDX-License-Identifier: Apache-2.0
"""An alert goes whole or not at all: nobody believes that a risk was told which was withheld (KIND-8)."""

import secrets
from typing import Any

import pytest

from protocol.bodies.assessment import Source
from protocol.bodies.events import Concern, Reliability
from protocol.bodies.person import ContactDetails
from protocol.bodies.risk import Answer, Health, SelfRisk, SelfRiskArea
from protocol.clearance import Basis, Category, DeskFunction, Label, Purpose
from protocol.content import Content
from protocol.errors import NothingToSend
from protocol.handover import PackageSection
from protocol.http.handovers import MessageState
from protocol.http.messages import MessageFilter, MessageRequest
from tests.connectors.cases.test_cases import probation
from tests.connectors.cases.test_heard import DANGER
from tests.connectors.cases.test_referral import do, refer, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.cases.test_transferred import BLOCK

__all__ = ["csw", "prison", "probation"]

REACHED = ContactDetails(telephone="+383 00 000 000")
SUICIDE = Health(risk_to_self=(SelfRisk(area=SelfRiskArea.SUICIDE, current=Answer.YES),))
HEARD = Concern(text="Invented words.", source=next(iter(Source)), reliability=next(iter(Reliability)))
PROBATION, SOCIAL_WORK = DeskFunction.PROBATION_INTAKE, DeskFunction.SOCIAL_WORK


def section(category: Category, body: Content, basis: Basis, *functions: DeskFunction) -> PackageSection:
    label = Label.STANDARD if category is Category.CONTACT else Label.RESTRICTED
    what: dict[str, Any] = {"category": category, "purpose": Purpose.PUBLIC_PROTECTION, "label": label, "body": body}
    return PackageSection(**what, basis=basis, citation="Invented Act, art. 3", functions=functions)


async def send(prison: Served, to: list[Served], *sections: PackageSection, kind: str = "alert.safeguarding") -> None:
    fields: dict[str, Any] = DANGER if kind == "alert.safeguarding" else {"area": "an-area", "week": "2027-W03"}
    desks = [one.station.desk for one in to]
    request = MessageRequest(kind=kind, to=desks, fields=fields, sections=list(sections))
    await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))


async def test_kind_8_an_alert_is_refused_where_what_is_meant_for_its_desk_would_be_withheld(
    prison: Served, probation: Served
) -> None:
    reached = section(Category.CONTACT, REACHED, Basis.VITAL_INTEREST, PROBATION)
    words = section(Category.MEDICAL, SUICIDE, Basis.VITAL_INTEREST, PROBATION)
    with pytest.raises(NothingToSend) as refused:
        await send(prison, [probation], reached, words)
    assert "Section 2 (medical)" in refused.value.detail
    assert "no-basis-in-law-named" in refused.value.detail
    assert (await prison.client.messages(MessageFilter())).items == [], "nothing of it was kept to be sent"
    await send(prison, [probation], reached, words, kind="contact.area-notice")
    await send(prison, [probation], reached, words.model_copy(update={"basis": Basis.STATUTE}))


STOPPED = [
    ("withdraw", {}, Basis.VITAL_INTEREST, True),
    ("block", BLOCK, Basis.VITAL_INTEREST, True),
    ("block", BLOCK, Basis.EXPLICIT_CONSENT, False),
    ("entered-in-error", {"reason": "wrong-person"}, Basis.VITAL_INTEREST, False),
]


@pytest.mark.parametrize(("event", "fields", "basis", "goes"), STOPPED)
@pytest.mark.parametrize("sealed", [False, True])
async def test_kind_8_an_alert_goes_whole_or_is_shown_as_lost_where_its_thread_is_stopped_before_it_leaves(
    prison: Served, csw: Served, event: str, fields: dict[str, Any], basis: Basis, goes: bool, sealed: bool
) -> None:
    """The line is down; meanwhile the same officer withdraws the referral. A bare alert would say nothing of whom."""
    here, there = prison.station, csw.station
    thread = (await refer(here, there)).thread
    await settle(here, there)
    reached = section(Category.CONTACT, REACHED, basis, SOCIAL_WORK)
    request = MessageRequest(
        kind="alert.safeguarding", to=[there.desk], fields=DANGER, sections=[reached], thread=thread
    )
    sent = (await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))).id
    if sealed:
        await here.parts.sealer.step()
    await do(here, thread, event, **fields)
    await settle(here, there)
    (desk,) = (await prison.client.message(sent)).recipients
    came = [one for one in (await csw.client.messages(MessageFilter())).items if one.id == sent]
    if goes:
        assert (desk.state, desk.withheld) == (MessageState.OPENED, [])
        assert [one.category for one in (await csw.client.message(sent)).sections] == [Category.CONTACT]
    else:
        assert (desk.state, desk.error) == (MessageState.FAILED, NothingToSend.code), (
            "not half of it, and not in silence"
        )
        assert came == []


async def test_kind_8_what_a_desk_never_gets_is_not_left_out_in_silence_and_what_is_not_meant_for_it_is(
    prison: Served, csw: Served, probation: Served
) -> None:
    reached = section(Category.CONTACT, REACHED, Basis.VITAL_INTEREST, PROBATION, SOCIAL_WORK)
    items = section(Category.INTELLIGENCE, HEARD, Basis.STATUTE, PROBATION, SOCIAL_WORK)
    with pytest.raises(NothingToSend, match="never-for-this-function"):
        await send(prison, [probation, csw], reached, items)
    await send(prison, [probation, csw], reached, items.model_copy(update={"functions": (PROBATION,)}))
