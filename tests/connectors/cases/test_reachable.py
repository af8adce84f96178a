# SPDX-License-Identifier: Apache-2.0
"""Nothing is taken for a desk that does not exist, and one that came just now is found (CON-18)."""

import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from connectors.dropfolder.files import Folders
from connectors.dropfolder.folder import DropFolder
from connectors.logs import Log
from connectors.store import tables
from protocol.address import DeskAddress
from protocol.errors import RecipientUnavailable
from protocol.http.drafts import DraftRequest
from protocol.http.messages import MessageRequest
from protocol.http.onward import ForwardRequest, SubReferralRequest
from protocol.http.threads import ReferralRequest, StepRequest
from protocol.ids import ThreadId
from protocol.kinds.catalogue import KINDS
from protocol.limits import DAY
from protocol.statements import Agency
from tests.connectors.cases.test_cases import refer, step
from tests.connectors.cases.test_referral import FIELDS, REQUEST, WORDS, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.stations import api_of

__all__ = ["csw", "prison"]

NOBODY = DeskAddress("nobody.polje-csw@hub.example")
NOTICE: dict[str, Any] = {"area": "invented-municipality", "week": "2027-W03"}
ANOTHER = {**REQUEST, "duplicates": "sent-anyway"}


def key() -> str:
    return secrets.token_hex(12)


async def enrol(world: World, desk: DeskAddress) -> None:
    """Enrol another centre for social work at the hub; no connector has looked since."""
    world.hub.programme.now = world.hub.clock()
    name = desk.partition(".")[2].partition("@")[0]
    assert world.hub.programme.enrol(name, "csw", {"intake": "social-work"}).desk == desk
    await world.hub.catch_up()


async def stored(served: Served) -> int:
    async with served.station.parts.store.read() as tx:
        found = await tx.connection.execute(select(func.count()).select_from(tables.outgoing))
        return int(found.scalar_one())


async def every_send(
    prison: Served, csw: Served, to: Sequence[DeskAddress], *, sections: bool
) -> list[Callable[[], Awaitable[object]]]:
    """Return each way to send something, ready to be done, each to another desk of `to`."""
    words = [WORDS] if sections else []
    noticed, referred, drafted, passed, forwarded_to = to
    taken = await refer(prison, csw)
    await step(csw, taken, "acknowledge", prison)
    await step(csw, taken, "accept", prison)
    forwarded = await refer(prison, csw, duplicates="sent-anyway")
    await step(csw, forwarded, "propose-forward", prison, agency=forwarded_to.partition(".")[2], reason="better-placed")
    version = (await prison.client.thread(forwarded)).item.version
    draft = (
        await prison.client.make_draft(DraftRequest(to=drafted, fields=ANOTHER, sections=words), idempotency_key=key())
    ).item
    sub = SubReferralRequest(to=passed, services=["housing-advice"], fields={"answer_by": "2026-12-20"}, sections=words)
    forward = ForwardRequest(to=forwarded_to, fields={"answer_by": "2027-03-01"}, sections=words)
    return [
        lambda: prison.client.send_message(
            MessageRequest(kind="contact.area-notice", to=[noticed], fields=NOTICE, sections=words),
            idempotency_key=key(),
        ),
        lambda: prison.client.refer(
            ReferralRequest(to=referred, fields=ANOTHER, sections=words), idempotency_key=key()
        ),
        lambda: prison.client.send_draft(draft.id, version=draft.version, idempotency_key=key()),
        lambda: csw.client.sub_refer(taken, sub, idempotency_key=key()),
        lambda: prison.client.forward(forwarded, forward, version=version, idempotency_key=key()),
    ]


@pytest.mark.parametrize("sections", [False, True])
async def test_con_18_nothing_is_taken_for_a_desk_that_does_not_exist(
    prison: Served, csw: Served, sections: bool
) -> None:
    sends = await every_send(prison, csw, [NOBODY] * 5, sections=sections)
    before = await stored(prison), await stored(csw)
    for send in sends:
        with pytest.raises(RecipientUnavailable):
            await send()
    assert (await stored(prison), await stored(csw)) == before


async def test_con_18_a_desk_that_was_enrolled_just_now_is_found_whatever_is_sent_to_it(
    prison: Served, csw: Served, world: World, tmp_path: Path
) -> None:
    *desks, last = [DeskAddress(f"intake.nova-{number}-csw@hub.example") for number in range(6)]
    for desk, send in zip(desks, await every_send(prison, csw, desks, sections=True), strict=True):
        await enrol(world, desk)
        await send()
    await enrol(world, last)
    folders = Folders(tmp_path / "drop")
    parts = prison.station.parts
    folder = DropFolder(
        folders,
        api_of(prison.station).by_operation(),
        parts.store,
        parts.agency,
        world.hub.clock,
        Log(prison.station.logged, json=True),
        out=False,
    )
    await folder.prepare()
    body = {"kind": "contact.area-notice", "to": [last], "fields": NOTICE}
    (folders.incoming / "notice.json").write_text(json.dumps({"operation": "sendMessage", "body": body}))
    await folder.step()
    assert sorted(path.name for path in folders.done.iterdir()) == ["notice.answer.json", "notice.json"]


async def gone(world: World, csw: Served) -> None:
    """Have the agency of `csw` state other desks than it had."""
    member, programme = csw.station.member, world.hub.programme
    programme.now = world.hub.clock()
    agency = Agency(
        member.address, member.kind, member.identity.public, (("other", "social-work"),), tuple(KINDS), "DEMO"
    )
    programme.state(agency, programme.approvers[:2], age=0, life=365 * DAY)
    await world.hub.catch_up()
    await world.prison.look()


async def test_con_18_a_step_for_a_desk_that_is_gone_is_refused_but_what_ends_the_thread_is_taken(
    prison: Served, csw: Served, world: World
) -> None:
    thread = await refer(prison, csw)
    await step(csw, thread, "ask", prison)
    await gone(world, csw)
    before = await stored(prison)

    async def moved(event: str, thread: ThreadId, **fields: Any) -> str:
        version = (await prison.client.thread(thread)).item.version
        request = StepRequest(event=event, fields={**FIELDS.get(event, {}), **fields})
        return (await prison.client.step(thread, request, version=version, idempotency_key=key())).state

    with pytest.raises(RecipientUnavailable):
        await moved("answer", thread)
    assert await stored(prison) == before
    assert await moved("entered-in-error", thread, reason="wrong-person") == "entered-in-error"
    (desk,) = (await prison.client.thread(thread)).steps[-1].recipients
    await settle(prison.station)
    (desk,) = (await prison.client.thread(thread)).steps[-1].recipients
    assert (desk.state, desk.error) == ("queued", "recipient-unavailable")


async def test_con_18_time_goes_on_in_a_thread_whose_other_desk_is_gone(
    prison: Served, csw: Served, world: World
) -> None:
    thread = await refer(prison, csw)
    await gone(world, csw)
    world.hub.clock.advance(60 * DAY)
    assert await prison.station.parts.clockwork.step() > 0
    assert (await prison.client.thread(thread)).item.state == "expired"
