# SPDX-License-Identifier: Apache-2.0
"""Second referrals about one person are found before they are sent and shown where they come (REF-8)."""

import pytest

from connectors.cases import alike
from protocol import ids
from protocol.errors import PossibleDuplicate, TooLate
from protocol.http.threads import ListName, ThreadFilter
from protocol.ids import Kind, ThreadId
from protocol.limits import DAY, HOUR, MINUTE
from tests.connectors.cases.test_cases import about, refer, step
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.typing import type_at

__all__ = ["csw", "prison"]

OTHER = [{"code": "debt-advice", "pathway": "accommodation", "outcome": "plan-made"}]


async def beside(served: Served, thread: ThreadId) -> list[ThreadId]:
    listed = {one.thread: one.similar for one in (await served.client.threads(ThreadFilter(list=ListName.ALL))).items}
    shown = (await served.client.thread(thread)).item.similar
    assert listed[thread] == shown
    return shown


async def test_ref_8_a_second_referral_is_refused_until_it_says_what_it_is(
    prison: Served, csw: Served, world: World
) -> None:
    first = await refer(prison, csw, about("Invented", "51"))
    with pytest.raises(PossibleDuplicate, match=ids.text(Kind.THREAD, first)):
        await refer(prison, csw, about("Invented", "51"))
    others = []
    for fields in (
        {"duplicates": "sent-anyway"},
        {"duplicates": "continues-another"},
        {"part_of": ids.text(Kind.THREAD, first)},
    ):
        world.hub.clock.advance(MINUTE)
        # What goes on from the first is no second one; beside the others it is.
        others.append(await refer(prison, csw, about("Invented", "51"), **{"duplicates": "sent-anyway", **fields}))
    anyway, further, part = others
    for served in (prison, csw):
        assert await beside(served, first) == []
        assert await beside(served, anyway) == [first]
        assert await beside(served, further) == [anyway, first]
        assert await beside(served, part) == [further, anyway]


async def test_ref_8_another_person_another_service_or_one_that_is_over_is_no_duplicate(
    prison: Served, csw: Served, world: World
) -> None:
    first = await refer(prison, csw, about("Invented", "51"))
    await refer(prison, csw, about("Invented", "62"))
    await refer(prison, csw, about("Invented", "51"), services=OTHER)
    await step(prison, first, "withdraw", csw)
    world.hub.clock.advance(MINUTE)
    again = await refer(prison, csw, about("Invented", "51"))
    # A re-referral: the recipient sees what went before.
    assert first in await beside(csw, again)


async def test_ref_8_the_own_register_finds_it_too_and_the_command_shows_it(
    prison: Served, csw: Served, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {"register_numbers": {"sender": "G-17/2027"}}
    first = await refer(prison, csw, **numbers)
    with pytest.raises(PossibleDuplicate):
        await refer(prison, csw, **numbers)
    world.hub.clock.advance(MINUTE)
    again = await refer(prison, csw, **numbers, duplicates="sent-anyway")
    assert await beside(csw, again) == []  # nothing that came says that it is the same person
    shown = ids.text(Kind.THREAD, again)
    assert await type_at(prison.station, prison.url, "referral", "show", shown) == 0
    assert f"{ids.text(Kind.THREAD, first)} came before it, about the same person" in capsys.readouterr().out


async def test_ref_8_what_went_before_by_more_than_the_span_is_not_shown(
    prison: Served, csw: Served, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alike, "SPAN", 10 * HOUR)
    first = await refer(prison, csw, about("Invented", "51"))
    for expected in ([first], []):
        world.hub.clock.advance(6 * HOUR)
        again = await refer(prison, csw, about("Invented", "51"), duplicates="sent-anyway")
        assert [one for one in await beside(csw, again) if one == first] == expected


async def test_ref_8_only_the_newest_are_shown_beside_it_and_that_there_are_more(
    prison: Served, csw: Served, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(alike, "MOST", 2)
    sent = []
    for _ in range(4):
        world.hub.clock.advance(MINUTE)
        sent.append(await refer(prison, csw, about("Invented", "51"), duplicates="sent-anyway"))
    for thread, shown, more in (
        (sent[2], [sent[1], sent[0]], False),
        (sent[3], [sent[2], sent[1]], True),
    ):
        for served in (prison, csw):
            assert await beside(served, thread) == shown
            assert (await served.client.thread(thread)).item.similar_more == more
    assert await type_at(csw.station, csw.url, "referral", "show", ids.text(Kind.THREAD, sent[3])) == 0
    assert "more came before these" in capsys.readouterr().out


async def test_ref_7_thirty_days_after_the_end_nothing_can_be_reopened_here(
    prison: Served, csw: Served, world: World
) -> None:
    thread = await refer(prison, csw, about("Invented", "51"))
    await step(csw, thread, "acknowledge", prison)
    await step(csw, thread, "decline", prison)
    assert "reopen" in (await csw.client.thread(thread)).possible
    world.hub.clock.now += 30 * DAY + 1
    for served in (prison, csw):
        assert "reopen" not in (await served.client.thread(thread)).possible
        with pytest.raises(TooLate):
            await step(served, thread, "reopen", reason="new-information")
