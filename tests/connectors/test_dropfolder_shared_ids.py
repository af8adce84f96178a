# SPDX-License-Identifier: Apache-2.0
"""The drop folder gives out each message that came, also where others send under its id or it came for two desks."""

from pathlib import Path
from typing import Any

import pytest

from connectors.cases.composing import Said
from connectors.cases.messages import _at_all_desks
from connectors.logs import Log
from connectors.store import outgoing
from connectors.store.recipients import Plan
from protocol import ids
from protocol.clearance import DeskFunction
from protocol.errors import Conflict
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.catalogue import KINDS
from tests.connectors.cases.test_referral import refer, settle
from tests.connectors.conftest import World
from tests.connectors.stations import Station, person_section, risk_section, station
from tests.connectors.test_dropfolder import Dropped, given

KIND = "contact.area-notice"
FIELDS: dict[str, Any] = {"area": "invented-municipality", "week": "2027-W03"}


async def opened(one: Station, root: Path) -> Dropped:
    dropped = Dropped(one, root, Log(one.logged, json=True))
    await dropped.folder.prepare()
    return dropped


async def sent(sender: Dropped, *desks: str, sections: list[Any] | None = None) -> tuple[MessageId, ThreadId]:
    body = {"kind": KIND, "to": list(desks), "fields": FIELDS, "sections": sections or []}
    sender.drop("notice.json", {"operation": "sendMessage", "body": body})
    await sender.folder.step()
    answer = sender.note(sender.folders.done, "notice.answer.json")
    return MessageId(ids.raw(Kind.MESSAGE, answer["id"])), ThreadId(ids.raw(Kind.THREAD, answer["thread"]))


async def forged(liar: Station, to: Station, message_id: MessageId, thread: ThreadId) -> None:
    """Have `liar` send another notice under an id that it has seen."""
    said = Said(fields={**FIELDS, "area": "planted-municipality"}, message_id=message_id)
    subject = ids.text(Kind.SUBJECT, ids.new_id())
    message = liar.parts.moving._composing.message(KINDS[KIND], thread, liar.desk, subject, said)
    async with liar.parts.store.write() as tx:
        await outgoing.add(tx, message, {to.desk: Plan()})
    await settle(liar, to)


@pytest.mark.parametrize("same_thread", [True, False])
async def test_con_9_drp_3_where_others_send_under_an_id_no_message_is_left_out_and_none_is_picked(
    world: World, tmp_path: Path, same_thread: bool
) -> None:
    csw, prison = await opened(world.social_work, tmp_path / "csw"), await opened(world.prison, tmp_path / "prison")
    message_id, thread = await sent(prison, world.social_work.desk)
    await settle(world.prison, world.social_work)
    await forged(world.probation, world.social_work, message_id, thread if same_thread else ThreadId(ids.new_id()))
    told = [one for one in await given(csw) if one["event"]["data"]["message"]]
    assert len(told) == 2
    areas = {world.prison.desk: "invented-municipality", world.probation.desk: "planted-municipality"}
    if not same_thread:
        shown = [(one["message"]["item"]["sender"], one["message"]["payload"]["area"]) for one in told]
        assert shown == list(areas.items()), "an event's thread says whose message it tells of"
        assert not any("several" in one for one in told)
        return
    for one in told:
        assert one["message"] is None
        assert [(each["sender"], each["message"]["payload"]["area"]) for each in one["several"]] == list(areas.items())
        assert {(each["recipient"], each["kind"]) for each in one["several"]} == {(world.social_work.desk, KIND)}
        places = [each["leaf_index"] for each in one["several"]]
        assert places == sorted(set(places))


async def test_con_9_drp_3_what_is_sent_elsewhere_under_the_id_of_a_move_is_never_given_out_as_that_move(
    world: World, tmp_path: Path
) -> None:
    prison, csw = world.prison, world.social_work
    dropped = await opened(csw, tmp_path / "csw")
    referred = await refer(prison, csw)
    await settle(prison, csw)
    await forged(world.probation, csw, referred.message_id, ThreadId(ids.new_id()))
    told = [one for one in await given(dropped) if one["event"]["data"]["message"]]
    moved = [one for one in told if one["thread"] is not None]
    assert moved
    assert [one["message"] for one in moved] == [None] * len(moved)
    assert [one["message"]["item"]["sender"] for one in told if one["thread"] is None] == [world.probation.desk]


async def test_drp_3_a_message_for_two_desks_of_ours_is_one_and_is_given_out_whole(
    world: World, tmp_path: Path
) -> None:
    world.hub.programme.now = world.hub.clock()
    functions = {"intake": "probation-intake", "supervision": "probation-supervision"}
    member = world.hub.programme.enrol("velika-probation", "probation", functions)
    await world.hub.catch_up()
    await world.prison.look()
    prison = await opened(world.prison, tmp_path / "drop-prison")
    async with station(tmp_path / "two-desks", world.hub, member) as both:
        dropped = await opened(both, tmp_path / "drop-both")
        desks = both.installation.enrolment.desks
        meant = [DeskFunction.PROBATION_INTAKE, DeskFunction.PROBATION_SUPERVISION]
        shared = person_section().model_copy(update={"functions": tuple(meant)})
        sections = [one.model_dump(mode="json", exclude_none=True) for one in (shared, risk_section())]
        message_id, _ = await sent(prison, *desks, sections=sections)
        await settle(world.prison, both)
        told = [one for one in await given(dropped) if one["event"]["data"]["message"]]
        assert told
        for one in told:
            assert sorted(one["message"]["item"]["recipients"]) == sorted(desks)
            # One section came for both desks and the other for one of them; each is there once.
            assert [section["category"] for section in one["message"]["sections"]] == ["identity", "risk-summary"]
        messages = both.parts.thread_api._messages
        assert len((await messages.show(message_id, sender=world.prison.desk)).item.recipients) == 2
        first, second = await messages.under(message_id)
        others: list[dict[str, Any]] = [{"payload": {}}, {"signer": "somebody else"}]
        for other in others:
            with pytest.raises(Conflict, match="several desks of ours"):
                _at_all_desks([first, second.model_copy(update=other)])
