# SPDX-License-Identifier: Apache-2.0
"""One agency sends under one id to two desks of ours, of two people: neither's record stands with the other's."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.api_client import ApiClient
from connectors.cases.correcting import Under
from connectors.cli.handover import _all_under
from connectors.dropfolder.files import Folders
from connectors.dropfolder.folder import DropFolder
from connectors.logs import Log
from connectors.store import incoming
from connectors.store.corrections import Corrects
from protocol.address import DeskAddress, agency_of
from protocol.content import encode_payload
from protocol.errors import Conflict, NotFound
from protocol.http.handovers import Direction, HandoverView
from protocol.http.messages import MessageRequest, MessageView
from protocol.http.threads import StepView
from protocol.ids import Kind, MessageId, ThreadId, new_id, text
from protocol.kinds.base import RegisterNumbers
from protocol.kinds.catalogue import KINDS
from protocol.rows import EnvelopeClass
from tests.connectors.cases.test_referral import OFFICER, REQUEST
from tests.connectors.conftest import World
from tests.connectors.hand import OFFER, offer, sealed_as
from tests.connectors.stations import Station, api_of, person_section
from tests.connectors.test_attachment_desks import two_desks
from tests.connectors.test_shared_ids import served
from tests.connectors.typing import type_at

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

NOTICE = "contact.area-notice"
NAMES = ("Anna", "Bruno")


def payload_of(kind: str, fields: dict[str, Any]) -> bytes:
    whole = {"subject": text(Kind.SUBJECT, new_id()), "occurred_at": 1, "register_numbers": RegisterNumbers()}
    model = KINDS[kind].payload
    return encode_payload(model.model_validate_json(json.dumps({**whole, **fields, "kind": kind}, default=dict)))


def notice() -> bytes:
    return payload_of(NOTICE, {"area": "invented-municipality", "week": "2027-W03"})


@dataclass
class Came:
    station: Station
    client: ApiClient
    message: MessageId
    threads: list[ThreadId]
    drop: DropFolder
    folders: Folders

    @property
    def desks(self) -> list[DeskAddress]:
        return list(self.station.installation.enrolment.desks)

    async def given(self) -> list[dict[str, Any]]:
        while await self.drop.step():
            pass
        return [json.loads(path.read_bytes()) for path in sorted(self.folders.out.iterdir())]


@asynccontextmanager
async def came(world: World, tmp_path: Path, *said: dict[str, Any]) -> AsyncIterator[Came]:
    """Have the prison send under one id to each of two desks: what `said` changes of a handover, in its own thread."""
    async with two_desks(tmp_path / "two", world) as both, served(both) as client:
        folders = Folders(tmp_path / "drop")
        log = Log(both.logged, json=True)
        drop = DropFolder(
            folders, api_of(both).by_operation(), both.parts.store, both.parts.agency, world.hub.clock, log
        )
        await drop.prepare()
        message, threads, liar = MessageId(new_id()), [ThreadId(new_id()) for _ in said], world.prison.member
        for desk, name, thread, more in zip(both.installation.enrolment.desks, NAMES, threads, said, strict=True):
            body = encode_payload(person_section(name).body)
            sealed = sealed_as(world, liar, desk, message, body, **{"thread": thread, **more})
            await world.hub.device(liar).submit(sealed)
        await both.turn()
        assert await both.quarantined() == []
        yield Came(both, client, message, threads, drop, folders)


def names(sections: list[Any]) -> list[str]:
    return [str((one if isinstance(one, dict) else one.model_dump())["body"]["family_name"]) for one in sections]


SAME_THREAD = {"thread": ThreadId(bytes(range(16)))}


@pytest.mark.parametrize("more", [[{}, {}], [SAME_THREAD, {**SAME_THREAD, "payload": offer()}]], ids=["apart", "one"])
async def test_con_9_two_handovers_of_one_sender_are_never_shown_as_one(
    world: World, tmp_path: Path, more: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    async with came(world, tmp_path, *more) as one:
        with pytest.raises(Conflict, match="recipient"):
            await one.client.handover(one.message)
        with pytest.raises(Conflict, match="recipient"):
            await one.client.print_handover(one.message)
        for desk, name in zip(one.desks, NAMES, strict=True):
            view = await one.client.handover(one.message, recipient=desk)
            assert (names(view.sections), [each.desk for each in view.recipients]) == ([name], [desk])
            printed = await one.client.print_handover(one.message, recipient=desk, language="en")
            assert [each for each in NAMES if each.encode() in printed] == [name]
        for nobody in ({"recipient": world.prison.desk}, {"recipient": one.desks[0], "direction": Direction.SENT}):
            with pytest.raises(NotFound):
                await one.client.handover(one.message, **nobody)
        assert sorted(names(view.sections)[0] for view in await _all_under(one.client, one.message)) == sorted(NAMES)
        shown = [
            given["message"] or given["several"] for given in await one.given() if given["event"]["data"]["message"]
        ]
        for each in shown:
            for told in [each] if isinstance(each, dict) else [of["message"] for of in each]:
                assert len(told["sections"]) == 1
        base = one.client._client._base
        out = tmp_path / "page.html"
        print_it: list[str | Path] = ["handover", "print", text(Kind.MESSAGE, one.message), "--out", out]
        assert await type_at(one.station, base, *print_it) != 0
        assert "--recipient DESK" in capsys.readouterr().err
        assert await type_at(one.station, base, *print_it, "--recipient", one.desks[1]) == 0
        assert b"Bruno" in out.read_bytes()
        assert b"Anna" not in out.read_bytes()
        save: list[str | Path] = ["handover", "save", text(Kind.MESSAGE, one.message), "--out", tmp_path / "files"]
        assert await type_at(one.station, base, *save) != 0
        assert await type_at(one.station, base, *save, "--recipient", one.desks[1]) == 0
        capsys.readouterr()


async def test_con_9_a_handover_that_is_the_same_for_both_desks_is_one(world: World, tmp_path: Path) -> None:
    same = {**SAME_THREAD, "payload": OFFER}
    async with came(world, tmp_path, same, same) as one:
        view = await one.client.handover(one.message)
        assert (names(view.sections), len(view.recipients)) == (list(NAMES), 2)


@pytest.mark.parametrize("second", ["notice", "referral", "handover"])
async def test_con_9_what_stands_under_the_id_of_a_step_in_another_thread_is_no_part_of_that_step(
    world: World, tmp_path: Path, second: str
) -> None:
    """Its sections, of another person, stood in the first one's referral, on its print too."""
    referral = {"payload_type": "referral.request", "payload": payload_of("referral.request", REQUEST)}
    others = {"notice": {"payload_type": NOTICE, "payload": notice()}, "referral": referral, "handover": {}}
    async with came(world, tmp_path, referral, others[second]) as one:
        view = await one.client.thread(one.threads[0])
        assert names(view.steps[0].sections) == ["Anna"]
        printed = await one.client.print_thread(one.threads[0])
        assert (b"Anna" in printed, b"Bruno" in printed) == (True, False)
        async with one.station.parts.store.read() as tx:
            assert len(await incoming.under(tx, one.message)) == 2


async def test_con_9_drp_3_a_message_beside_a_handover_under_one_id_is_not_given_out_in_its_place(
    world: World, tmp_path: Path
) -> None:
    other = {"payload_type": NOTICE, "payload": notice()}
    async with came(world, tmp_path, {}, other) as one:
        told = [given for given in await one.given() if given["event"]["data"]["message"]]
        assert told
        for given in told:
            thread = given["event"]["data"]["thread"]
            whose = NAMES[[text(Kind.THREAD, each) for each in one.threads].index(thread)]
            assert names(given["message"]["sections"]) == [whose]


@pytest.mark.parametrize("turned", [False, True])
async def test_drp_3_a_handover_and_a_message_under_one_id_in_one_thread_are_both_given_out(
    world: World, tmp_path: Path, turned: bool
) -> None:
    said: list[dict[str, Any]] = [{}, {"payload_type": NOTICE, "payload": notice()}]
    async with came(world, tmp_path, *({**SAME_THREAD, **one} for one in (said[::-1] if turned else said))) as one:
        told = [given for given in await one.given() if given["event"]["data"]["message"]]
        assert told
        for given in told:
            assert given["message"] is None
            assert [names(each["message"]["sections"]) for each in given["several"]] == [[name] for name in NAMES]


async def test_con_9_two_messages_of_one_sender_can_be_told_apart_by_our_desk(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [{"payload_type": NOTICE, "payload": notice()} for _ in NAMES]
    async with came(world, tmp_path, *said) as one:
        with pytest.raises(Conflict, match="recipient"):
            await one.client.message(one.message)
        for desk, name in zip(one.desks, NAMES, strict=True):
            assert names((await one.client.message(one.message, recipient=desk)).sections) == [name]
            assert name.encode() in await one.client.print_message(one.message, recipient=desk)
        with pytest.raises(NotFound):
            await one.client.message(one.message, recipient=world.prison.desk)
        base, shown = one.client._client._base, ["message", "show", text(Kind.MESSAGE, one.message)]
        assert await type_at(one.station, base, *shown) != 0
        assert await type_at(one.station, base, *shown, "--recipient", one.desks[0]) == 0
        assert one.desks[0] in capsys.readouterr().out
        answered = "message", "answer", text(Kind.MESSAGE, one.message), "noted", "--officer", OFFICER
        assert await type_at(one.station, base, *answered) != 0
        assert await type_at(one.station, base, *answered, "--desk", one.desks[1]) == 0


REFERRAL = {"payload_type": "referral.request", "payload": payload_of("referral.request", REQUEST)}
A_NOTICE = {"payload_type": NOTICE, "payload": notice()}


async def corrected(world: World, one: Came, desk: DeskAddress, **where: Any) -> MessageId:
    """Have the prison say at one of our desks what is right instead, also of what it `corrects` a second time."""
    message, corrects = MessageId(new_id()), where.pop("corrects", one.message)
    right = payload_of("record.correction", {"corrects": text(Kind.MESSAGE, corrects)})
    more = {"payload_type": "record.correction", "payload": right, "klass": EnvelopeClass.RECORD, **where}
    body = encode_payload(person_section("Anja").body)
    sealed = sealed_as(world, world.prison.member, desk, message, body, **more)
    await world.hub.device(world.prison.member).submit(sealed)
    await one.station.turn()
    assert await one.station.quarantined() == []
    return message


async def shown(one: Came, kind: str, place: int) -> HandoverView | MessageView | StepView:
    """Return how the message at one of our desks is shown, whatever it is."""
    if kind == "handover":
        return await one.client.handover(one.message, recipient=one.desks[place])
    if kind == "message":
        return await one.client.message(one.message, recipient=one.desks[place])
    return (await one.client.thread(one.threads[place])).steps[0]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("handover", [{}, {}]),
        ("handover", [SAME_THREAD, {**SAME_THREAD, "payload": offer()}]),
        ("message", [A_NOTICE, {**A_NOTICE, "payload": notice()}]),
        ("step", [REFERRAL, REFERRAL]),
    ],
    ids=["handover", "handover-in-one-thread", "message", "step"],
)
async def test_con_9_kind_9_what_is_right_of_one_person_takes_no_place_in_the_record_of_the_other(
    world: World, tmp_path: Path, kind: str, said: list[dict[str, Any]]
) -> None:
    async with came(world, tmp_path, *said) as one:
        where = {"seq": 2, "previous": one.message, "thread": said[0].get("thread", one.threads[0])}
        await corrected(world, one, one.desks[0], **where)
        anna, bruno = [await shown(one, kind, place) for place in range(2)]
        assert (names(anna.sections), names(bruno.sections)) == (["Anna"], ["Bruno"])
        assert ([names(each.sections) for each in anna.corrections], bruno.corrections) == ([["Anja"]], [])
        assert [view.sections[0].corrected is None for view in (anna, bruno)] == [False, True]
        if kind == "step":
            for thread, marked in zip(one.threads, (True, False), strict=True):
                case = (await one.client.thread(thread)).case
                assert case is not None
                (sent,) = [each for each in (await one.client.case(case)).history if each.what == "send"]
                assert (sent.corrected is not None) is marked


async def test_con_9_kind_9_nor_does_what_corrects_that_again_at_the_desk_of_the_other(
    world: World, tmp_path: Path
) -> None:
    async with came(world, tmp_path, A_NOTICE, {**A_NOTICE, "payload": notice()}) as one:
        where: dict[str, Any] = {"seq": 2, "previous": one.message}
        first = await corrected(world, one, one.desks[0], thread=one.threads[0], **where)
        await corrected(world, one, one.desks[1], corrects=first, thread=one.threads[1], **where)
        anna, bruno = [await shown(one, "message", place) for place in range(2)]
        assert [names(each.sections) for each in anna.corrections] == [["Anja"]]
        assert [names(each.sections) for each in bruno.corrections] == [[]], "that there is one is told"
        assert names(bruno.sections) == ["Bruno"]


async def test_kind_9_what_is_right_of_one_message_at_two_desks_stands_there_whichever_desk_it_came_for(
    world: World, tmp_path: Path
) -> None:
    same = {**SAME_THREAD, **A_NOTICE}
    async with came(world, tmp_path, same, same) as one:
        await corrected(world, one, one.desks[1], seq=2, previous=one.message, **SAME_THREAD)
        view = await one.client.message(one.message)
        assert [names(each.sections) for each in view.corrections] == [["Anja"]]
        assert names((await one.client.message(one.message, recipient=one.desks[0])).corrections[0].sections) == [
            "Anja"
        ]


@pytest.mark.parametrize(
    ("this", "others", "told"),
    [
        ("a", "", "whole"),
        ("b", "", "whole"),
        ("a", "b", "whole"),
        ("b", "a", "no"),
        ("b", "c", "that"),
        ("a", "a", "that"),
    ],
)
def test_con_9_kind_9_where_nobody_can_say_whose_a_correction_is_that_there_is_one_is_told(
    this: str, others: str, told: str
) -> None:
    """It came for the desk `a`; the message stands at one, and another under its id at others."""
    at = {one: DeskAddress(f"{one}.velika-probation@hub.example") for one in "abc"}
    ids = MessageId(bytes(16)), ThreadId(bytes(16))
    one = Corrects(ids[0], agency_of(at["a"]), ids[0], at["b"], at["a"], ours=False, thread=ids[1], at=1)
    under = Under([at[each] for each in this], [at[each] for each in others])
    assert under.is_of_another(one) is (told == "no")
    assert told == "no" or under.may_be_of_another(one) is (told == "that")


async def test_con_9_what_one_desk_answered_is_no_answer_to_the_other_message_under_that_id(
    world: World, tmp_path: Path
) -> None:
    said = {**SAME_THREAD, **A_NOTICE}
    async with came(world, tmp_path, said, {**said, "payload": notice()}) as one:
        fields: dict[str, Any] = {"answers": text(Kind.MESSAGE, one.message), "answer": "noted"}
        fields["officer"] = text(Kind.OFFICER, one.station.member.officer)
        answer = MessageRequest(kind="message.answer", to=[world.prison.desk], fields=fields, sender=one.desks[0])
        await one.client.send_message(answer, idempotency_key="a" * 24)
        views = [await one.client.message(one.message, recipient=desk) for desk in one.desks]
        assert [[each.desk for each in view.answers] for view in views] == [[one.desks[0]], []]


async def test_con_9_nor_is_it_to_what_a_stranger_put_under_that_id_in_that_thread(
    world: World, tmp_path: Path
) -> None:
    """What another agency said to us would seem to have been noted."""
    stranger, same = world.social_work.member, dict[str, Any]({**SAME_THREAD, **A_NOTICE})
    async with came(world, tmp_path, same, same) as one:
        sealed = sealed_as(world, stranger, one.desks[0], one.message, **{**same, "payload": notice()})
        await world.hub.device(stranger).submit(sealed)
        await one.station.turn()
        fields: dict[str, Any] = {"answers": text(Kind.MESSAGE, one.message), "answer": "noted"}
        fields["officer"] = text(Kind.OFFICER, one.station.member.officer)
        answer = MessageRequest(kind="message.answer", to=[world.prison.desk], fields=fields, sender=one.desks[0])
        await one.client.send_message(answer, idempotency_key="a" * 24)
        for sender, number in ((world.prison.desk, 1), (world.social_work.desk, 0)):
            view = await one.client.message(one.message, sender=sender, recipient=one.desks[0])
            assert len(view.answers) == number


async def test_con_9_what_came_for_two_desks_shows_what_each_of_them_answered(world: World, tmp_path: Path) -> None:
    same = {**SAME_THREAD, **A_NOTICE}
    async with came(world, tmp_path, same, same) as one:
        fields: dict[str, Any] = {"answers": text(Kind.MESSAGE, one.message), "answer": "noted"}
        fields["officer"] = text(Kind.OFFICER, one.station.member.officer)
        for desk in one.desks:
            answer = MessageRequest(kind="message.answer", to=[world.prison.desk], fields=fields, sender=desk)
            await one.client.send_message(answer, idempotency_key=desk.ljust(24, "-"))
        assert {each.desk for each in (await one.client.message(one.message)).answers} == set(one.desks)
