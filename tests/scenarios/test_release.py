# SPDX-License-Identifier: Apache-2.0
"""Read this first: one person's way from pre-release start to a closed loop, as five agencies live it.

A real hub and five real connectors, in one process with one clock that the test sets. Officers do what they do through
their connectors' APIs; after each step the test looks at what every side sees. `./run` tells the same as a story.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.access import TOKEN_FILE, ensure_token
from connectors.api import application
from connectors.api_client import ApiClient
from connectors.calendars import Calendars
from connectors.logs import Log
from protocol import ids
from protocol.address import AgencyAddress
from protocol.handover import HandoverPackage, Moved, Priority, Terms, Trigger
from protocol.http.handovers import HandoverRequest
from protocol.http.messages import MessageRequest, MessageView
from protocol.http.running import Runner, listen
from protocol.http.threads import ListName, ReferralRequest, StepRequest, ThreadFilter, ThreadView
from protocol.ids import Kind, MessageId, ThreadId
from protocol.limits import HOUR
from tests.connectors.cases.test_clockwork import fire
from tests.connectors.stations import Station, api_of, person_section, risk_section, station
from tests.hub.running import RunningHub
from tests.programme import make_programme

CALENDAR = Calendars().of(AgencyAddress("everybody"))
GORA, REKA = "gora-prison@hub.example", "reka-probation@hub.example"
SERVICES = [
    {"code": "housing-advice", "pathway": "accommodation", "outcome": "place-found"},
    {"code": "psychosocial-support", "pathway": "health", "outcome": "contact-kept"},
]


class Agency:
    """One agency: its connector, and an officer who uses the connector's API."""

    def __init__(self, connector: Station, api: ApiClient) -> None:
        self.connector = connector
        self.api = api
        self.desk = connector.desk
        self.officer = ids.text(Kind.OFFICER, connector.member.officer)

    async def refer(self, to: "Agency", fields: dict[str, Any]) -> ThreadId:
        request = ReferralRequest(to=to.desk, fields=fields)
        return (await self.api.refer(request, idempotency_key=secrets.token_hex(12))).thread

    async def step(self, thread: ThreadId, event: str, **fields: Any) -> None:
        version = (await self.api.thread(thread)).item.version
        request = StepRequest(event=event, fields=fields)
        await self.api.step(thread, request, version=version, idempotency_key=secrets.token_hex(12))

    async def tell(self, kind: str, to: "Agency", thread: ThreadId | None = None, **fields: Any) -> MessageId:
        request = MessageRequest(kind=kind, to=[to.desk], fields=fields, thread=thread)
        return (await self.api.send_message(request, idempotency_key=secrets.token_hex(12))).id

    async def sees(self, thread: ThreadId) -> ThreadView:
        return await self.api.thread(thread)

    async def reads(self, message: MessageId) -> MessageView:
        return await self.api.message(message)

    async def alerts(self) -> list[ThreadId]:
        return [one.thread for one in (await self.api.threads(ThreadFilter(list=ListName.ALERTS))).items]


class Town:
    """A prison, a probation office, a centre for social work, a municipality and an NGO, at one hub."""

    def __init__(self, hub: RunningHub, agencies: dict[str, Agency]) -> None:
        self.hub = hub
        self.gora = agencies["gora-prison"]
        self.reka = agencies["reka-probation"]
        self.polje = agencies["polje-csw"]
        self.dolina = agencies["dolina-municipality"]
        self.obala = agencies["obala-support"]
        self.all = tuple(agencies.values())
        self.begins = CALENDAR.first_day(hub.clock())

    def day(self, working_days: int, since: date | None = None) -> date:
        return CALENDAR.add(since or self.begins, working_days)

    async def at(self, day: date, hour: int) -> int:
        """Let it be `hour` o'clock on that day: time does what is due, and all mail goes to and fro."""
        self.hub.clock.now = moment(day, hour)
        for agency in self.all:
            await agency.connector.look()
        for agency in self.all:
            await fire(agency.connector)
        await self.mail()
        return self.hub.clock.now

    async def mail(self) -> None:
        """Let mail go to and fro until everything has come, and its receipts are back."""
        moved = 1
        while moved:
            moved = 0
            for agency in self.all:
                moved += await agency.connector.collect() + await agency.connector.seal_and_send()

    async def states(self, thread: ThreadId, *agencies: Agency) -> list[str]:
        """Return the state that each of them sees, by the same signed steps in the same places of the hub's log."""
        views = [await agency.sees(thread) for agency in agencies]
        steps = [[(one.message, one.leaf_index, one.signer) for one in view.steps] for view in views]
        assert all(one == steps[0] for one in steps)
        return [view.item.state for view in views]


def moment(day: date, hour: int) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=CALENDAR.zone).timestamp() * 1000)


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    programme = make_programme()
    programme.enrol("dolina-municipality", "municipality", {"social-affairs": "municipality"})
    programme.enrol("obala-support", "ngo", {"intake": "ngo"})
    folder = tmp_path / "hub"
    folder.mkdir()
    async with RunningHub(folder, programme) as hub, AsyncExitStack() as stack:
        agencies = {}
        for name, member in programme.members.items():
            connector = await stack.enter_async_context(station(tmp_path / name, hub, member))
            log = Log(connector.logged, json=True)
            runner = Runner(
                application(api_of(connector), ensure_token(connector.folder), hub.clock, log), clock=hub.clock
            )
            stack.push_async_callback(runner.cleanup)
            url = f"http://localhost:{await listen(runner, '127.0.0.1', 0)}"
            api = await stack.enter_async_context(ApiClient.of(url, connector.folder / TOKEN_FILE))
            agencies[name] = Agency(connector, api)
        yield Town(hub, agencies)


async def offer_handover(town: Town, release: date) -> ThreadId:
    """Let the prison offer the handover to probation, with a copy for social work."""
    terms = Terms(
        trigger=Trigger(expected_on=release),
        what_moves=(Moved.SUPERVISION,),
        priority=Priority.NORMAL,
        acknowledge_by=town.day(2),
        answer_by=town.day(8),
    )
    package = HandoverPackage(terms=terms, sections=(person_section(), risk_section()))
    request = HandoverRequest(to=[town.reka.desk, town.polje.desk], package=package)
    return (await town.gora.api.send(request, idempotency_key=secrets.token_hex(12))).thread


async def responsible(town: Town, thread: ThreadId) -> set[tuple[str | None, str | None, int | None]]:
    """Return who leads, who supervises in law, and since when, as every side of the handover says it."""
    views = [await agency.sees(thread) for agency in (town.gora, town.reka, town.polje)]
    return {(view.lead, view.supervisor, view.lead_since) for view in views}


async def test_han_4_ref_5_ref_6_from_pre_release_start_to_a_closed_loop(town: Town) -> None:
    gora, reka, polje, dolina, obala = town.gora, town.reka, town.polje, town.dolina, town.obala
    expected = town.day(15)
    release = expected + timedelta(days=14)
    first_visit, second_visit = moment(town.day(1, release), 11), moment(town.day(4, release), 11)

    # The prison prepares the release: it offers the handover, refers to social work, and tells the municipality.
    handover = await offer_handover(town, expected)
    referral = await gora.refer(
        polje,
        {
            "services": SERVICES,
            "whereabouts": "custody",
            "release_on": expected.isoformat(),
            "language": "sr-Latn",
            "person_knows": "agreed",
            "contact": "through-requester",
            "duplicates": "none-found",
            "answer_by": town.day(8).isoformat(),
        },
    )
    notice = await gora.tell("contact.area-notice", dolina, area="dolina", week="2027-W06")
    await town.mail()
    assert await town.states(handover, gora, reka) == ["offered", "offered"]
    assert await town.states(referral, gora, polje) == ["delivered", "delivered"]
    assert (await polje.sees(handover)).item.side == "observer"
    assert (await dolina.reads(notice)).sections == []

    # A day later the municipality notes the notice and answers it; the centre takes a part.
    await town.at(town.day(1), 10)
    for answer in ("noted", "agreed"):
        named = ids.text(Kind.MESSAGE, notice)
        await dolina.tell("message.answer", gora, answers=named, answer=answer, officer=dolina.officer)
    await polje.step(referral, "acknowledge", officer=polje.officer, answer_by=town.day(5).isoformat())
    await polje.step(
        referral,
        "accept-part",
        officer=polje.officer,
        start_by=expected.isoformat(),
        services=[
            {"code": "housing-advice", "accepted": True},
            {"code": "psychosocial-support", "accepted": False, "reason": "no-capacity"},
        ],
    )
    await town.mail()
    assert [one.ack for one in (await gora.reads(notice)).answers] == ["acknowledged", "answered"]
    assert await town.states(referral, gora, polje) == ["accepted-partial", "accepted-partial"]
    assert [one.ack for one in (await gora.sees(referral)).ladder] == ["opened", "acknowledged", "answered"]

    # What is left comes back as a draft; an NGO takes it, and a week later gives it back with a coded reason.
    left = (await gora.sees(referral)).residual
    assert left is not None
    assert left.draft is not None
    assert [(one.code, one.reason) for one in left.services] == [("psychosocial-support", "no-capacity")]
    rest = await gora.refer(obala, left.draft)
    await town.mail()
    await obala.step(rest, "acknowledge", officer=obala.officer, answer_by=town.day(4).isoformat())
    await obala.step(rest, "accept", officer=obala.officer, start_by=expected.isoformat())
    await reka.step(handover, "acknowledge", officer=reka.officer, answer_by=town.day(8).isoformat())
    await town.mail()
    assert await town.states(rest, gora, obala) == ["accepted", "accepted"]
    await town.at(town.day(6), 10)
    await obala.step(rest, "decline-late", reason="capacity-lost", handback=[])
    await town.mail()
    assert await town.states(rest, gora, obala) == ["declined", "declined"]
    assert (await gora.sees(rest)).steps[-1].payload["reason"] == "capacity-lost"

    # Probation accepts the handover. It will lead and supervise; until the instant the prison does.
    await reka.step(handover, "accept", officer=reka.officer, supervisor={"agency": REKA}, items=[], risks_read=True)
    await town.mail()
    assert await town.states(handover, gora, reka) == ["accepted", "accepted"]
    assert await responsible(town, handover) == {(GORA, GORA, None)}

    # The release moves by two weeks. The old day passes, and nothing happens.
    await town.at(town.day(13), 11)
    await gora.step(handover, "change-date", trigger={"expected_on": release.isoformat()}, reason="release-moved")
    await polje.step(referral, "schedule", appointment=first_visit, place="polje-office")
    await town.mail()
    await town.at(town.day(1, expected), 10)
    assert await responsible(town, handover) == {(GORA, GORA, None)}

    # The instant: lead and legal supervisor change on every side at once, also where only a copy is.
    await town.at(release, 8)
    assert await responsible(town, handover) == {(GORA, GORA, None)}
    instant = await town.at(release, 9)
    assert await responsible(town, handover) == {(REKA, REKA, instant)}
    assert await town.states(handover, gora, reka) == ["effective", "effective"]

    # The person does not come to the first appointment. Who asked for the service is alerted, and who leads is told.
    await town.at(town.day(1, release), 12)
    await polje.step(referral, "no-show", appointment=first_visit)
    leads = (await polje.sees(handover)).lead
    assert leads == REKA
    missed = await polje.tell("appointment.attendance", reka, appointment=first_visit, attendance="no-show")
    await town.mail()
    assert await gora.alerts() == [referral]
    assert [one.kind for one in (await gora.sees(referral)).alerts] == ["first-missed"]
    assert await polje.alerts() == []
    assert (await reka.reads(missed)).item.alert == "no-show"

    # The second appointment is kept, and the alert is over. The work is done, and the loop is closed.
    await polje.step(referral, "schedule", appointment=second_visit, place="polje-office")
    await town.at(datetime.fromtimestamp(second_visit / 1000, UTC).date(), 12)
    await polje.step(referral, "attended", appointment=second_visit)
    await town.mail()
    assert await gora.alerts() == []
    await town.at(town.day(14, release), 10)
    outcome = [{"code": "housing-advice", "outcome": "achieved"}]
    await polje.step(referral, "complete", outcome=outcome, data_action="restricted")
    await town.mail()
    await gora.step(referral, "close", changed="better")
    await reka.step(handover, "complete", items=[])
    await town.mail()
    assert await town.states(referral, gora, polje) == ["closed", "closed"]
    assert await town.states(handover, gora, reka) == ["completed", "completed"]
    for agency in town.all:
        assert await agency.connector.quarantined() == []
        open_here = [one for one in (await agency.api.threads(ThreadFilter())).items if one.live]
        assert open_here == []
    assert town.hub.clock.now - moment(town.begins, 9) > 30 * 24 * HOUR
