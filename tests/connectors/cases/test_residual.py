# SPDX-License-Identifier: Apache-2.0
"""What a recipient does not take goes back to the requester as a draft, and can be asked of somebody else."""

import secrets

from connectors.cases.listing import Listing
from connectors.cases.moving import Step
from protocol import ids
from protocol.http.threads import ResidualView
from protocol.ids import Kind, ThreadId
from tests.connectors.cases.test_referral import OFFICER, WORDS, do, refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.stations import Station

PART = {
    "officer": OFFICER,
    "start_by": "2027-01-21",
    "services": [
        {"code": "psychosocial-support", "accepted": False, "reason": "no-capacity"},
        {"code": "housing-advice", "accepted": True},
    ],
}


async def residual(station: Station, thread: ThreadId, world: World) -> ResidualView | None:
    return (await Listing(station.parts.store, station.parts.threads, world.hub.clock).show(thread)).residual


async def test_ref_6_what_is_not_taken_is_a_draft_that_can_be_sent_to_another_desk(world: World) -> None:
    prison, csw, other = world.prison, world.social_work, world.probation
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    assert await residual(csw, thread, world) is None
    await do(csw, thread, "accept-part", **PART)
    await settle(prison, csw)
    at_csw, left = await residual(csw, thread, world), await residual(prison, thread, world)
    assert at_csw is not None
    assert left is not None
    assert [(one.code, one.reason) for one in left.services] == [("psychosocial-support", "no-capacity")]
    assert (at_csw.services, at_csw.draft) == (left.services, None), "the draft is the requester's"
    assert left.draft is not None
    step = Step(event="send", fields=left.draft, sections=(WORDS,))
    again = await prison.parts.moving.begin("referral", other.desk, step, key=secrets.token_hex(12), body=b"")
    await settle(prison, other)
    view = await Listing(other.parts.store, other.parts.threads, world.hub.clock).show(again.thread)
    sent = view.steps[0].payload
    assert [one["code"] for one in sent["services"]] == ["psychosocial-support"]
    assert sent["residual_of"] == ids.text(Kind.THREAD, thread)
    assert sent["duplicates"] == "continues-another"
    assert view.subject == sent["subject"] != (await row(csw, thread)).subject, "another thread, another pseudonym"


async def test_ref_6_a_referral_that_was_taken_whole_leaves_nothing(world: World) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    await do(csw, thread, "accept-part", **PART)
    await do(csw, thread, "decline-late", reason="capacity-lost", handback=[])
    await settle(prison, csw)
    await do(prison, thread, "reopen", reason="new-information")
    await settle(prison, csw)
    await do(csw, thread, "accept")
    await settle(prison, csw)
    assert await residual(prison, thread, world) is None
