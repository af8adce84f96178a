# SPDX-License-Identifier: Apache-2.0
"""A referral goes on to another agency in one action: a forward (REF-10), and what its recipient refers on (REF-11)."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from connectors.store import requests, tables, threadtables
from protocol import ids
from protocol.address import DeskAddress
from protocol.clearance import Basis, Category, DeskFunction
from protocol.errors import (
    IllegalTransition,
    InvalidInput,
    NotCovered,
    NotFound,
    PreconditionFailed,
    RecipientUnavailable,
    StoreFailed,
)
from protocol.http.onward import ForwardQueued, ForwardRequest, SubReferralRequest
from protocol.http.problems import InvalidFields
from protocol.http.threads import ListName, StepQueued, ThreadFilter
from protocol.ids import Kind, MessageId, ThreadId
from protocol.limits import DAY
from tests.connectors.cases.test_cases import about, only_with, probation, refer, step
from tests.connectors.cases.test_referral import WORDS, settle
from tests.connectors.cases.test_strangers import intrude
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.typing import type_at

__all__ = ["csw", "prison", "probation"]

REKA = "reka-probation@hub.example"
ANSWER_BY: dict[str, Any] = {"answer_by": "2027-03-01"}
"""The first day for an answer is over in these tests."""


async def proposed(prison: Served, csw: Served, *sections: Any, **fields: Any) -> ThreadId:
    thread = await refer(prison, csw, *sections, **fields)
    await step(csw, thread, "propose-forward", prison, agency=REKA, reason="better-placed")
    return thread


async def forward(served: Served, thread: ThreadId, to: Served, key: str = "", **more: Any) -> ForwardQueued:
    version = (await served.client.thread(thread)).item.version
    request = ForwardRequest(to=to.station.desk, **{"fields": ANSWER_BY, **more})
    return await served.client.forward(thread, request, version=version, idempotency_key=key or secrets.token_hex(12))


async def sub_refer(served: Served, thread: ThreadId, to: Served, *services: str, **more: Any) -> StepQueued:
    fields = {"answer_by": "2026-12-20", **more.pop("fields", {})}
    request = SubReferralRequest(to=to.station.desk, services=list(services), fields=fields, **more)
    return await served.client.sub_refer(thread, request, idempotency_key=secrets.token_hex(12))


async def stored(served: Served) -> list[int]:
    async with served.station.parts.store.read() as tx:
        counted = [
            select(func.count()).select_from(one) for one in (tables.outgoing, threadtables.thread, threadtables.move)
        ]
        return [(await tx.connection.execute(one)).scalar_one() for one in counted]


async def index_of(served: Served, thread: ThreadId, message: MessageId) -> int:
    (found,) = [one.leaf_index for one in (await served.client.thread(thread)).steps if one.message == message]
    assert found is not None
    return found


async def test_ref_10_a_forward_supersedes_the_old_referral_and_sends_the_new_one(
    prison: Served, csw: Served, probation: Served
) -> None:
    thread = await proposed(prison, csw, about("Invented", "51"), register_numbers={"sender": "G-17"})
    key = secrets.token_hex(12)
    answer = await forward(prison, thread, probation, key)
    assert (answer.state, answer.withheld) == ("superseded", [])
    await settle(prison.station, csw.station, probation.station)
    assert (await csw.client.thread(thread)).item.state == "superseded"
    assert (await csw.client.thread(thread)).steps[-1].payload["new_thread"] == ids.text(Kind.THREAD, answer.new_thread)
    old, new = await prison.client.thread(thread), await prison.client.thread(answer.new_thread)
    came = await probation.client.thread(answer.new_thread)
    assert (came.item.state, came.item.side, came.subject) == ("delivered", "recipient", new.subject)
    assert came.subject != old.subject, "another thread, another pseudonym"
    asked = came.steps[0].payload
    assert (asked["forwards"], asked["duplicates"]) == (ids.text(Kind.THREAD, thread), "continues-another")
    assert asked["services"] == old.steps[0].payload["services"]
    assert asked["register_numbers"] == {"sender": "G-17"}, "our number goes on, another agency's does not"
    assert [one.body for one in came.steps[0].sections] == [one.body for one in old.steps[0].sections]
    (child,) = old.children
    assert (child.thread, child.relation, child.state) == (answer.new_thread, "forward", "delivered")
    assert new.goes_on_from is not None
    assert (new.goes_on_from.thread, new.case) == (thread, old.case)
    # The same request again is the same answer, and nothing more happens.
    before = await stored(prison)
    request = ForwardRequest(to=probation.station.desk, fields=ANSWER_BY)
    version = (await prison.client.thread(thread)).item.version - 1
    assert before == await stored(prison)
    with pytest.raises((IllegalTransition, PreconditionFailed)):
        await prison.client.forward(thread, request, version=version, idempotency_key=secrets.token_hex(12))
    assert await prison.client.forward(thread, request, version=version, idempotency_key=key) == answer


async def test_ref_4_a_proposed_forward_stands_in_the_list_and_the_case_of_who_must_decide_until_it_is_decided(
    prison: Served, csw: Served, probation: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = await refer(prison, csw, about("Invented", "51"), register_numbers={"sender": "G-17"})
    alerted = ThreadFilter(list=ListName.ALERTS)
    assert (await prison.client.threads(alerted)).items == []
    await step(csw, thread, "propose-forward", prison, agency=REKA, reason="better-placed")
    (item,) = (await prison.client.threads(alerted)).items
    assert (item.thread, item.alert) == (thread, "forward-proposed")
    named = ids.text(Kind.THREAD, thread)
    assert await type_at(prison.station, prison.url, "referral", "show", named) == 0
    shown = capsys.readouterr().out
    assert f"approve it: throughcare referral approve-forward {named} --to DESK; or call that desk" in shown
    assert (await csw.client.threads(alerted)).items == [], "the recipient has said what it had to say"
    case = (await prison.client.thread(thread)).case
    assert case is not None
    dues = [(one.what, one.by) for one in (await prison.client.case(case)).due]
    assert ("decide-forward", "gora-prison@hub.example") in dues
    await forward(prison, thread, probation)
    assert (await prison.client.threads(alerted)).items == []
    assert "decide-forward" not in {one.what for one in (await prison.client.case(case)).due}


async def test_ref_4_a_stranger_s_proposal_waits_for_nobody(prison: Served, csw: Served, world: World) -> None:
    thread = await refer(prison, csw)
    said = {"agency": REKA, "reason": "better-placed"}
    await intrude(world, prison, thread, "referral.propose-forward", said)
    await intrude(world, csw, thread, "referral.propose-forward", said)
    for served in (prison, csw):
        assert (await served.client.thread(thread)).alerts == []


async def test_ref_10_who_learns_of_the_new_thread_by_the_approval_comes_too_late_to_begin_it(
    prison: Served, csw: Served, probation: Served
) -> None:
    thread = await proposed(prison, csw)
    answer = await forward(prison, thread, probation)
    await settle(prison.station)
    begun = await index_of(prison, answer.new_thread, answer.new_message)
    assert begun < await index_of(prison, thread, answer.message)


async def test_ref_10_only_what_the_recipient_proposed_is_forwarded_and_by_the_requester(
    prison: Served, csw: Served, probation: Served
) -> None:
    thread = await refer(prison, csw)
    before = await stored(prison)
    with pytest.raises(IllegalTransition):
        await forward(prison, thread, probation)
    await step(csw, thread, "propose-forward", prison, agency=REKA, reason="better-placed")
    before = await stored(prison)
    with pytest.raises(InvalidInput, match="proposed another agency"):
        await forward(prison, thread, csw)
    with pytest.raises(IllegalTransition, match="Only the requester"):
        await forward(csw, thread, probation)
    version = (await prison.client.thread(thread)).item.version
    request = ForwardRequest(to=probation.station.desk)
    with pytest.raises(NotFound):
        await probation.client.forward(thread, request, version=version, idempotency_key=secrets.token_hex(12))
    unknown = ForwardRequest(to=DeskAddress(f"other.{REKA}"))
    with pytest.raises(RecipientUnavailable):
        await prison.client.forward(thread, unknown, version=version, idempotency_key=secrets.token_hex(12))
    with pytest.raises(PreconditionFailed):
        await prison.client.forward(thread, request, version=version - 1, idempotency_key=secrets.token_hex(12))
    with pytest.raises(InvalidFields) as wrong:
        await forward(prison, thread, probation, fields={"language": "planted-value"})
    assert "planted-value" not in str(wrong.value)
    assert await stored(prison) == before


async def test_ref_10_what_the_basis_does_not_cover_goes_nowhere_until_it_is_given_anew(
    prison: Served, csw: Served, probation: Served
) -> None:
    for_csw = WORDS.model_copy(update={"functions": (DeskFunction.SOCIAL_WORK,)})
    by_consent = WORDS.model_copy(update={"basis": Basis.CONSENT})
    for section, reason in ((for_csw, "not-meant-for-this-function"), (by_consent, "consent-named-another")):
        thread = await proposed(prison, csw, section, duplicates="sent-anyway")
        before = await stored(prison)
        with pytest.raises(NotCovered, match=f"section 2 .needs.: {reason}"):
            await forward(prison, thread, probation)
        assert await stored(prison) == before
        assert (await prison.client.thread(thread)).item.live
    thread = await proposed(prison, csw, by_consent, duplicates="sent-anyway")
    answer = await forward(prison, thread, probation, consent_covers=True)
    await settle(prison.station, probation.station)
    assert len((await probation.client.thread(answer.new_thread)).steps[0].sections) == 2
    thread = await proposed(prison, csw, for_csw, duplicates="sent-anyway")
    answer = await forward(prison, thread, probation, sections=[WORDS])
    await settle(prison.station, probation.station)
    (going,) = (await probation.client.thread(answer.new_thread)).steps[0].sections
    assert going.category == Category.NEEDS


async def test_ref_10_after_the_old_day_the_new_referral_names_its_own(
    prison: Served, csw: Served, probation: Served
) -> None:
    thread = await proposed(prison, csw)
    with pytest.raises(InvalidFields) as missing:
        await forward(prison, thread, probation, fields={})
    assert [(one.pointer, one.code) for one in missing.value.fields] == [("/fields/answer_by", "missing")]
    for answer_by, fields in (("2027-03-01", ANSWER_BY), ("2027-04-01", {})):
        answer = await forward(prison, thread, probation, fields=fields)
        assert (await prison.client.thread(answer.new_thread)).steps[0].payload["answer_by"] == answer_by
        thread = await proposed(prison, csw, answer_by="2027-04-01", duplicates="sent-anyway")


@pytest.mark.parametrize("act", ["forward", "sub-refer"])
async def test_ref_10_a_fault_at_the_last_moment_leaves_nothing_of_it(
    prison: Served, csw: Served, probation: Served, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    thread = await proposed(prison, csw)
    served = prison
    if act == "sub-refer":
        served = csw
        for event in ("acknowledge", "accept"):
            await step(csw, thread, event, prison)
    before = await stored(served)

    async def fail(*_: object) -> None:
        raise StoreFailed

    async def make() -> ThreadId:
        if act == "forward":
            return (await forward(served, thread, probation)).new_thread
        return (await sub_refer(served, thread, probation, "housing-advice", sections=[WORDS])).thread

    with monkeypatch.context() as patched:
        patched.setattr(requests, "keep", fail)
        with pytest.raises(StoreFailed):
            await make()
    assert await stored(served) == before
    assert (await served.client.thread(thread)).item.live
    assert (await served.client.thread(thread)).children == []
    new = await make()
    assert [one.thread for one in (await served.client.thread(thread)).children] == [new]


async def test_ref_11_a_sub_referral_serves_a_part_and_stands_with_its_parent(
    prison: Served, csw: Served, probation: Served
) -> None:
    thread = await refer(prison, csw, about("Invented", "51"))
    await step(csw, thread, "acknowledge", prison, register_numbers={"sender": "P-3"})
    with pytest.raises(IllegalTransition, match="is acknowledged"):
        await sub_refer(csw, thread, probation, "housing-advice")
    services = [
        {"code": "psychosocial-support", "accepted": False, "reason": "no-capacity"},
        {"code": "housing-advice", "accepted": True},
    ]
    await step(
        csw,
        thread,
        "accept-part",
        prison,
        officer=ids.text(Kind.OFFICER, bytes(16)),
        start_by="2027-01-21",
        services=services,
    )
    with pytest.raises(IllegalTransition, match="Only the recipient"):
        await sub_refer(prison, thread, probation, "housing-advice")
    with pytest.raises(InvalidInput, match="asked for it"):
        await sub_refer(csw, thread, prison, "housing-advice")
    with pytest.raises(InvalidFields, match="were accepted: housing-advice") as wrong:
        await sub_refer(csw, thread, probation, "housing-advice", "psychosocial-support")
    assert [one.pointer for one in wrong.value.fields] == ["/services/1"]
    with pytest.raises(InvalidInput):
        await sub_refer(csw, thread, probation, "housing-advice", fields={"part_of": ids.text(Kind.THREAD, thread)})
    with pytest.raises(NotFound):
        await sub_refer(probation, thread, csw, "housing-advice")
    queued = await sub_refer(csw, thread, probation, "housing-advice", sections=[WORDS])
    await settle(csw.station, probation.station)
    came = await probation.client.thread(queued.thread)
    asked = came.steps[0].payload
    assert (asked["part_of"], asked["answer_by"]) == (ids.text(Kind.THREAD, thread), "2026-12-20")
    assert [one["code"] for one in asked["services"]] == ["housing-advice"]
    assert asked["register_numbers"] == {"sender": "P-3"}
    assert came.goes_on_from is not None
    assert (came.goes_on_from.thread, came.goes_on_from.relation) == (thread, "sub-referral")
    # Only its own words went along.
    assert [one.category for one in came.steps[0].sections] == [Category.NEEDS]
    for event in ("acknowledge", "accept"):
        await step(probation, queued.thread, event, csw)
    parent = await csw.client.thread(thread)
    (child,) = parent.children
    assert (child.thread, child.relation, child.to, child.state, child.live) == (
        queued.thread,
        "sub-referral",
        probation.station.desk,
        "accepted",
        True,
    )
    case = await only_with(csw, thread)
    assert {one.thread: [child.thread for child in one.children] for one in case.threads} == {
        thread: [queued.thread],
        queued.thread: [],
    }
    assert (await prison.client.thread(thread)).children == [], "its requester hears of it from its recipient"


async def test_ref_11_who_ends_a_referral_hears_of_sub_referrals_that_are_not_over(
    prison: Served,
    csw: Served,
    probation: Served,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("connectors.cli.once.now_ms", lambda: 7 * DAY)
    thread = await refer(prison, csw)
    for event in ("acknowledge", "accept", "schedule", "attended"):
        await step(csw, thread, event, prison)
    words = tmp_path / "words.json"
    words.write_text(json.dumps({"sections": [WORDS.model_dump(mode="json")]}))
    shown = ids.text(Kind.THREAD, thread)
    parts = ["referral", "sub-refer", shown, "--to", probation.station.desk, "--service", "housing-advice"]
    assert await type_at(csw.station, csw.url, *parts, "--answer-by", "2026-12-20", "--input", words) == 0
    sub = capsys.readouterr().out.split()[0]
    assert await type_at(csw.station, csw.url, *parts, "--answer-by", "2026-12-20", "--input", words) == 0
    again = capsys.readouterr()
    assert (again.out.split()[0], "sent already" in again.err) == (sub, True)
    await settle(csw.station, probation.station)
    assert await type_at(csw.station, csw.url, "referral", "show", shown) == 0
    assert f"sub-referral {sub} to {probation.station.desk} is delivered" in capsys.readouterr().out
    assert await type_at(csw.station, csw.url, "referral", "finish", shown) == 0
    assert f"warning: {sub} is a sub-referral of it and is not over" in capsys.readouterr().err
    await step(csw, ThreadId(ids.raw(Kind.THREAD, sub)), "withdraw", probation, reason="needs-met")
    await settle(csw.station, prison.station)
    assert await type_at(csw.station, csw.url, "referral", "show", shown) == 0
    assert f"{sub} to {probation.station.desk} is cancelled, over" in capsys.readouterr().out
    assert await type_at(csw.station, csw.url, "referral", "show", sub) == 0
    assert f"a sub-referral of {shown}" in capsys.readouterr().out


async def test_ref_10_a_forward_is_one_command(
    prison: Served, csw: Served, probation: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    only_csw = WORDS.model_copy(update={"functions": (DeskFunction.SOCIAL_WORK,)})
    threads = [await proposed(prison, csw, only_csw), await proposed(prison, csw, duplicates="sent-anyway")]
    refused, good = [ids.text(Kind.THREAD, thread) for thread in threads]
    typed = ["--to", probation.station.desk, "--answer-by", "2027-03-01"]
    assert await type_at(prison.station, prison.url, "referral", "approve-forward", refused, *typed) == 1
    assert "--input FILE" in capsys.readouterr().err
    assert await type_at(prison.station, prison.url, "referral", "approve-forward", good, *typed) == 0
    assert f"{good} is superseded" in capsys.readouterr().out
