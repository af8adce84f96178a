# SPDX-License-Identifier: Apache-2.0
"""What a recipient does not take goes back to the requester as a draft, and can be asked of somebody else."""

import secrets
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.cases.listing import Listing
from connectors.cases.moving import Step
from connectors.fhir.exporting import export_thread
from connectors.store import drafts
from protocol import ids
from protocol.http.problems import InvalidFields
from protocol.http.threads import ResidualView
from protocol.ids import Kind, ThreadId
from protocol.kinds.referral.deciding import left_of
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


YES = {"code": "housing-advice", "accepted": True}
NO = {"code": "psychosocial-support", "accepted": False, "reason": "no-capacity"}
FOREIGN = {"code": "job-search", "accepted": False, "reason": "no-capacity"}


@pytest.mark.parametrize(
    ("services", "pointers"),
    [
        ([YES, FOREIGN], ["/fields/services/1/code", "/fields/services"]),
        ([YES, NO, FOREIGN], ["/fields/services/2/code"]),
        ([YES, NO, {"code": NO["code"], "accepted": True}], ["/fields/services/2/code"]),
        ([YES, {**YES, "accepted": False, "reason": "other"}], ["/fields/services/1/code", "/fields/services"]),
    ],
    ids=["one is passed over", "one that was not asked for", "one twice", "yes and no"],
)
async def test_ref_6_an_answer_in_part_speaks_once_of_each_service_and_else_changes_nothing(
    world: World, services: list[dict[str, Any]], pointers: list[str]
) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    with pytest.raises(InvalidFields, match="psychosocial-support, housing-advice") as refused:
        await do(csw, thread, "accept-part", **{**PART, "services": services})
    assert [one.pointer for one in refused.value.fields] == pointers
    assert "job-search" not in str(refused.value)
    assert (await row(csw, thread)).state == "acknowledged"
    await do(csw, thread, "accept-part", **PART)


@pytest.mark.parametrize(
    ("services", "left"),
    [
        ([YES, FOREIGN], {"psychosocial-support": "other"}),
        (
            [YES, NO, {**YES, "accepted": False, "reason": "safety"}],
            {"psychosocial-support": "no-capacity", "housing-advice": "safety"},
        ),
        ([YES, {"code": NO["code"], "accepted": True}, FOREIGN], {}),
    ],
    ids=["one is passed over", "yes and no", "only a foreign one is declined"],
)
async def test_ref_6_a_service_that_an_answer_of_elsewhere_passes_over_was_not_taken(
    world: World, monkeypatch: pytest.MonkeyPatch, services: list[dict[str, Any]], left: dict[str, str]
) -> None:
    """A recipient whose connector does not compare its answer with the request, as ours did not once."""
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    with monkeypatch.context() as unchecked:
        unchecked.setattr("connectors.cases.moving.check_answers", lambda *_: None)
        await do(csw, thread, "accept-part", **{**PART, "services": services})
    await settle(prison, csw)
    for station in (prison, csw):
        found = await residual(station, thread, world)
        assert {one.code: one.reason for one in found.services} == left if found else not left
    async with prison.parts.store.read() as tx:
        assert len(await drafts.page(tx, world.hub.clock(), before=None, limit=10)) == (1 if left else 0)
    view = await Listing(prison.parts.store, prison.parts.threads, world.hub.clock).show(thread)
    tasks = [one["resource"] for one in export_thread(view)["entry"] if one["resource"]["resourceType"] == "Task"]
    assert [one["status"] for one in tasks] == [
        "rejected" if code in left else "accepted" for code in ("psychosocial-support", "housing-advice")
    ]


@given(
    st.lists(st.sampled_from("abcd"), unique=True, min_size=1),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([None, "safety", "other"]))),
)
def test_ref_6_no_service_is_lost_between_what_was_taken_and_what_was_left(
    asked: list[str], answers: list[tuple[str, str | None]]
) -> None:
    left = left_of(asked, answers)
    assert list(left) == [code for code in asked if code in left]
    for code in asked:
        said = [reason for named, reason in answers if named == code]
        assert (code in left) == (not said or any(said))


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
