# SPDX-License-Identifier: Apache-2.0
"""What was stopped before it was sealed goes out without its sections, and nothing can be sent after it (CON-22)."""

from pathlib import Path
from typing import Any

import pytest

from connectors.cases.listing import Listing
from protocol.clearance import Basis, Category
from protocol.errors import IllegalTransition
from protocol.http.messages import MessageRequest
from protocol.http.threads import ThreadView
from protocol.ids import ThreadId
from tests.connectors.cases.test_heard import DANGER
from tests.connectors.cases.test_never_half import REACHED, SOCIAL_WORK, section
from tests.connectors.cases.test_referral import WORDS, agreed, do, refer, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.cases.test_transferred import BLOCK
from tests.connectors.conftest import World
from tests.connectors.stations import Station, install, open_station
from tests.hub.running import RunningHub

__all__ = ["csw", "prison"]

STOPS: list[tuple[str, dict[str, Any], str, str]] = [
    ("block", BLOCK, "blocked-consent", "thread-blocked"),
    ("entered-in-error", {"reason": "wrong-recipient"}, "entered-in-error", "thread-in-error"),
    ("withdraw", {}, "cancelled", "thread-withdrawn"),
]


async def view(station: Station, thread: ThreadId, world: World) -> ThreadView:
    return await Listing(station.parts.store, station.parts.threads, world.hub.clock).show(thread)


@pytest.mark.parametrize(("event", "fields", "state", "reason"), STOPS)
async def test_con_22_what_was_stopped_before_it_was_sealed_goes_out_without_its_sections(
    world: World, event: str, fields: dict[str, Any], state: str, reason: str
) -> None:
    thread = (await refer(world.prison, world.social_work)).thread
    await do(world.prison, thread, event, **fields)
    await settle(world.prison, world.social_work)
    assert await agreed(thread, world.prison, world.social_work) == state
    (desk,) = (await view(world.prison, thread, world)).steps[0].recipients
    assert (desk.state, desk.error, desk.sections) == ("opened", None, [])
    assert [(one.category, one.reason) for one in desk.withheld] == [(WORDS.category, reason)]
    steps = (await view(world.social_work, thread, world)).steps
    assert steps
    assert not any(step.sections for step in steps)


async def test_con_22_the_new_machine_of_a_wrong_recipient_does_not_get_the_record_once_more(
    world: World, hub: RunningHub, tmp_path: Path
) -> None:
    thread = (await refer(world.prison, world.social_work)).thread
    await world.prison.seal_and_send()
    await do(world.prison, thread, "entered-in-error", reason="wrong-recipient")
    hub.programme.now = hub.clock()
    hub.programme.replace_device(world.social_work.member, "another laptop")
    await hub.catch_up()
    folder = tmp_path / "another laptop"
    folder.mkdir()
    installation = install(folder, world.social_work.member, hub.programme, hub.url)
    async with open_station(folder, world.social_work.member, installation, hub.clock) as new:
        await world.prison.look()
        await new.look()
        await settle(world.prison, new)
        assert await agreed(thread, world.prison, new) == "entered-in-error"
        assert all(step.sections == [] for step in (await view(new, thread, world)).steps)
    (desk,) = (await view(world.prison, thread, world)).steps[0].recipients
    assert [one.reason for one in desk.withheld] == ["thread-in-error"]
    assert len(desk.sealings[0].sections) == 1, "what the first sealing held stays known"


@pytest.mark.parametrize(("event", "fields", "state", "_"), STOPS[:2])
async def test_con_22_no_section_is_taken_for_a_thread_that_is_stopped(
    prison: Served, csw: Served, world: World, event: str, fields: dict[str, Any], state: str, _: str
) -> None:
    thread = (await refer(world.prison, world.social_work)).thread
    await do(world.prison, thread, event, **fields)
    notice: dict[str, Any] = {"area": "invented-municipality", "week": "2027-W03"}

    def request(*sections: Any) -> MessageRequest:
        said = list(sections)
        return MessageRequest(
            kind="contact.area-notice", to=[csw.station.desk], thread=thread, fields=notice, sections=said
        )

    with pytest.raises(IllegalTransition, match=rf"{state}.*without sections, or in another thread\."):
        await prison.client.send_message(request(WORDS), idempotency_key="with-a-section-in-it")
    await prison.client.send_message(request(), idempotency_key="without-any-section")


@pytest.mark.parametrize(("event", "fields", "state", "_"), STOPS[:2])
async def test_kind_8_whoever_would_alert_in_a_thread_that_is_stopped_is_told_to_do_it_in_another_one(
    prison: Served, csw: Served, world: World, event: str, fields: dict[str, Any], state: str, _: str
) -> None:
    """Nobody is told to leave out whom it is about: such an alert would be taken, and would say nothing."""
    thread = (await refer(world.prison, world.social_work)).thread
    await do(world.prison, thread, event, **fields)
    reached = section(Category.CONTACT, REACHED, Basis.VITAL_INTEREST, SOCIAL_WORK)
    alert = MessageRequest(
        kind="alert.safeguarding", to=[csw.station.desk], thread=thread, fields=DANGER, sections=[reached]
    )
    with pytest.raises(IllegalTransition, match=state) as refused:
        await prison.client.send_message(alert, idempotency_key="an-alert-of-this-thread")
    assert "names no thread" in refused.value.detail
    assert "without sections" not in refused.value.detail
    # As it is told: the same alert, in a thread of its own.
    elsewhere = alert.model_copy(update={"thread": None})
    sent = await prison.client.send_message(elsewhere, idempotency_key="an-alert-of-no-thread")
    await settle(prison.station, csw.station)
    assert [one.category for one in (await csw.client.message(sent.id)).sections] == [Category.CONTACT]
