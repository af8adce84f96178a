# SPDX-License-Identifier: Apache-2.0
"""What goes on the person's consent stays here once its sender has said in the thread that this is over (CON-27)."""

import secrets
from typing import Any

import pytest

from connectors.cases.consents import CHANGED, CONSENT, WithoutConsent
from connectors.cases.moving import Step
from connectors.composition import Share
from connectors.store import outgoing
from protocol.bodies.needs import Entry, Narrative
from protocol.clearance import Basis, Category
from protocol.errors import HubUnreachable, NotCovered
from protocol.handover import PackageSection
from protocol.http.messages import MessageRequest
from protocol.ids import ThreadId
from tests.connectors.cases.test_called_back import got, relay
from tests.connectors.cases.test_cases import about, probation
from tests.connectors.cases.test_onward import forward, proposed, stored
from tests.connectors.cases.test_referral import REQUEST, WORDS, agreed, settle
from tests.connectors.cases.test_stopped import view
from tests.connectors.cases.test_strangers import intrude
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.lyinghub import LyingHub
from tests.connectors.stations import Station, open_station
from tests.connectors.test_outbox import ENVELOPES

__all__ = ["csw", "prison", "probation", "relay"]

ON_CONSENT = WORDS.model_copy(
    update={
        "basis": Basis.CONSENT,
        "citation": None,
        "body": Narrative(entries=(Entry(text="Invented words of a person who agreed."),)),
    }
)
OVER: dict[str, Any] = {"grant": "ab" * 32, "grant_version": 2}


async def referred(station: Station, to: Station, *sections: PackageSection) -> ThreadId:
    step = Step(event="send", fields=REQUEST, sections=sections)
    return (await station.parts.moving.begin("referral", to.desk, step, key=secrets.token_hex(12), body=b"")).thread


async def say(served: Served, to: Station, thread: ThreadId, state: str) -> None:
    request = MessageRequest(kind=CHANGED, to=[to.desk], thread=thread, fields={"state": state, **OVER})
    await served.client.send_message(request, idempotency_key=secrets.token_hex(12))


@pytest.mark.parametrize("state", ["withdrawn", "refused", "expired", "invalidated"])
@pytest.mark.parametrize("is_sealed", [False, True])
async def test_con_27_what_goes_on_a_consent_that_is_over_stays_here_and_the_rest_goes_on(
    prison: Served, world: World, state: str, is_sealed: bool
) -> None:
    person = about("Invented", "51")
    thread = await referred(world.prison, world.social_work, ON_CONSENT, person)
    if is_sealed:
        assert await world.prison.parts.sealer.step() == 1
    await say(prison, world.social_work, thread, state)
    await settle(world.prison, world.social_work)
    assert await agreed(thread, world.prison, world.social_work) == "delivered"
    assert await got(world, thread) == [person.category]
    (desk,) = (await view(world.prison, thread, world)).steps[0].recipients
    assert (desk.state, desk.error, [(one.number, one.category) for one in desk.sections]) == (
        "opened",
        None,
        [(2, person.category)],
    )
    assert [(one.number, one.reason) for one in desk.withheld] == [(1, "consent-over")]
    assert [one.marks for one in desk.sealings] == ([["called-back"], []] if is_sealed else [[]])
    assert await world.social_work.quarantined() == []


async def test_con_27_a_message_of_nothing_else_goes_out_bare_and_the_line_stays_whole(
    prison: Served, world: World
) -> None:
    thread = await referred(world.prison, world.social_work, ON_CONSENT)
    await say(prison, world.social_work, thread, "withdrawn")
    await settle(world.prison, world.social_work)
    assert await agreed(thread, world.prison, world.social_work) == "delivered"
    assert await got(world, thread) == []
    (desk,) = (await view(world.prison, thread, world)).steps[0].recipients
    assert (desk.state, desk.sections) == ("opened", [])


@pytest.mark.parametrize("state", ["given", "renewed"])
async def test_con_27_a_consent_that_goes_on_keeps_nothing_back(prison: Served, world: World, state: str) -> None:
    thread = await referred(world.prison, world.social_work, ON_CONSENT)
    await say(prison, world.social_work, thread, state)
    await settle(world.prison, world.social_work)
    assert await got(world, thread) == [Category.NEEDS]


async def test_con_27_a_consent_that_is_given_again_does_not_bring_back_what_was_written_before(
    prison: Served, world: World
) -> None:
    thread = await referred(world.prison, world.social_work, ON_CONSENT)
    for state in ("withdrawn", "given"):
        await say(prison, world.social_work, thread, state)
    await settle(world.prison, world.social_work)
    assert await got(world, thread) == []


async def test_con_27_what_another_basis_carries_is_not_called_back(prison: Served, world: World) -> None:
    thread = await referred(world.prison, world.social_work, WORDS)
    await world.prison.parts.sealer.step()
    await say(prison, world.social_work, thread, "withdrawn")
    await settle(world.prison, world.social_work)
    (desk,) = (await view(world.prison, thread, world)).steps[0].recipients
    assert (desk.attempts, len(desk.sealings), desk.withheld) == (1, 1, [])
    assert await got(world, thread) == [Category.NEEDS]


async def test_con_27_nobody_else_s_word_keeps_our_messages_back(prison: Served, csw: Served, world: World) -> None:
    """A stranger says it, and so does the recipient: neither holds this consent, and who lies could mute us."""
    thread = await referred(world.prison, world.social_work, ON_CONSENT)
    await world.prison.parts.sealer.step()
    await intrude(world, prison, thread, CHANGED, {"state": "withdrawn", **OVER})
    await settle(world.prison, world.social_work)
    assert await got(world, thread) == [Category.NEEDS]
    (desk,) = (await view(world.prison, thread, world)).steps[0].recipients
    assert desk.withheld == []


async def test_con_27_what_may_have_left_is_sent_as_it_is(prison: Served, world: World, relay: LyingHub) -> None:
    here = world.prison
    relay.target = world.hub.url
    async with open_station(here.folder, here.member, here.installation, world.hub.clock, relay.url) as lossy:
        thread = await referred(lossy, world.social_work, ON_CONSENT)
        relay.lose_answers.add(ENVELOPES)
        with pytest.raises(HubUnreachable):
            await lossy.seal_and_send()
        relay.lose_answers.clear()
    await say(prison, world.social_work, thread, "withdrawn")
    await settle(world.prison, world.social_work)
    assert await got(world, thread) == [Category.NEEDS]


@pytest.mark.parametrize("later", [[], ["given"]])
async def test_con_27_ref_10_a_forward_carries_nothing_on_that_went_on_a_consent_that_is_over(
    prison: Served, csw: Served, probation: Served, later: list[str]
) -> None:
    """That the consent named the new agency too says nothing any more, nor does one that was given since."""
    thread = await proposed(prison, csw, ON_CONSENT, about("Invented", "51"))
    for state in ("withdrawn", *later):
        await say(prison, csw.station, thread, state)
    before = await stored(prison)
    for covers in (True, False):
        with pytest.raises(NotCovered, match=r"basis on which it was sent: section 2 \(needs\): consent-over\. "):
            await forward(prison, thread, probation, consent_covers=covers)
    assert await stored(prison) == before
    given_anew = [ON_CONSENT] if later else [WORDS]
    answer = await forward(prison, thread, probation, sections=given_anew, consent_covers=True)
    await settle(prison.station, probation.station)
    (going,) = (await probation.client.thread(answer.new_thread)).steps[0].sections
    assert going.category == Category.NEEDS


async def test_con_27_ref_10_nobody_else_s_word_keeps_a_forward_back(
    prison: Served, csw: Served, probation: Served, world: World
) -> None:
    thread = await proposed(prison, csw, ON_CONSENT)
    await say(csw, prison.station, thread, "withdrawn")
    await settle(csw.station, prison.station)
    await intrude(world, prison, thread, CHANGED, {"state": "withdrawn", **OVER})
    answer = await forward(prison, thread, probation, consent_covers=True)
    await settle(prison.station, probation.station)
    assert len((await probation.client.thread(answer.new_thread)).steps[0].sections) == 2


async def test_con_27_what_is_withheld_stays_in_the_order_of_the_sections(world: World) -> None:
    """Whatever the composer withholds already keeps its own reason, and every section has its place."""
    sections = (WORDS, ON_CONSENT, WORDS, ON_CONSENT)
    thread = await referred(world.prison, world.social_work, *sections)
    async with world.prison.parts.store.read() as tx:
        (message,) = await outgoing.in_thread(tx, thread, "referral.request")
    composer = world.prison.parts.sealer._composers[message.payload_type]

    class Some:
        def sections(self, one: outgoing.OutgoingMessage) -> Any:
            return composer.sections(one)

        def share(self, one: outgoing.OutgoingMessage, function: str) -> Share:
            return Share((0, 3), (("needs", "never"), ("needs", "not-meant")))

    found = WithoutConsent(Some()).share(message, "social-work")
    assert found.included == (0,)
    assert [why for _, why in found.withheld] == ["never", "not-meant", "consent-over"]
    assert {one.basis for one in sections if one.basis in CONSENT} == {Basis.CONSENT}
