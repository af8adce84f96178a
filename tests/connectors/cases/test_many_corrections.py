# SPDX-License-Identifier: Apache-2.0
"""Whoever corrects one message often, or at many desks, takes the mark of another message from nobody (KIND-9)."""

from typing import Any

import pytest

from connectors.cases import correcting
from connectors.store.corrections import MOST
from protocol.address import DeskAddress
from protocol.errors import SectionCorrected
from protocol.http.messages import MessageRequest
from protocol.ids import MessageId
from tests.connectors.cases.test_cases import only, refer
from tests.connectors.cases.test_corrected import correct, corrected_in, corrections_of, request_of
from tests.connectors.cases.test_referral import settle
from tests.connectors.cases.test_thread_api import Served, csw, prison

__all__ = ["csw", "prison"]

OTHER = DeskAddress("other.polje-csw@hub.example")
_COPY = (
    "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?) "
    "INSERT INTO correction (corrects, agency, message_id, sender_desk, own_desk, ours, thread, at) "
    "SELECT {corrects}, agency, {message}, sender_desk, {desk}, ours, thread, at + n FROM correction, number "
    "WHERE message_id = ?"
)


async def repeated(served: Served, correction: MessageId, count: int, **changed: str) -> None:
    """Store a correction as often again, each later than the one before, as another implementation could send it."""
    columns = {"corrects": "corrects", "message": "randomblob(16)", "desk": "own_desk"} | changed
    async with served.station.parts.store.write() as tx:
        await tx.connection.exec_driver_sql(_COPY.format(**columns), (count, correction))


async def test_kind_9_many_corrections_of_one_message_hide_none_of_another_in_the_case(
    prison: Served, csw: Served
) -> None:
    thread = await refer(prison, csw)
    area: dict[str, Any] = {"area": "invented-municipality", "week": "2027-W03"}
    notice = MessageRequest(kind="contact.area-notice", to=[csw.station.desk], thread=thread, fields=area)
    harmless = (await prison.client.send_message(notice, idempotency_key="k" * 16)).id
    sent = await correct(prison, csw, await request_of(prison, thread), thread)
    often = await correct(prison, csw, harmless, thread)
    await settle(prison.station, csw.station)
    for served in (prison, csw):
        await repeated(served, often.id, MOST)
        # And it at as many desks of ours.
        await repeated(served, often.id, MOST, message="message_id", desk="'desk-' || n || '.polje-csw@hub.example'")
        marks = corrected_in(await only(served))
        assert marks["send"] == sent.id
        assert marks["contact.area-notice"] is not None
        assert [one.message for one in await corrections_of(served, thread)] == [sent.id]


async def test_con_19_a_correction_at_many_other_desks_hides_none_of_one_s_own(prison: Served, csw: Served) -> None:
    thread = await refer(prison, csw)
    request = await request_of(prison, thread)
    sent = await correct(prison, csw, request, thread)
    await settle(prison.station, csw.station)
    await repeated(csw, sent.id, MOST + 1, desk=f"'{OTHER}'")
    own = frozenset({csw.station.desk})
    async with csw.station.parts.store.read() as tx:
        shown = {
            desks: [one.message for one in await correcting.views(tx, request, prison.station.desk, desks)]
            for desks in (own, frozenset({OTHER}), frozenset[DeskAddress]())
        }
    assert shown[own] == [sent.id]
    assert len(shown[frozenset({OTHER})]) == MOST
    assert shown[frozenset()] == []


async def test_kind_9_of_too_many_the_newest_are_shown_also_of_those_that_correct_a_correction(
    prison: Served, csw: Served
) -> None:
    thread = await refer(prison, csw)
    first = await correct(prison, csw, await request_of(prison, thread), thread)
    second = await correct(prison, csw, first.id, thread)
    await settle(prison.station, csw.station)
    await repeated(csw, first.id, MOST - 2)
    await repeated(csw, second.id, MOST)
    newest = await corrections_of(csw, thread)
    assert len(newest) == MOST
    assert [one.at for one in newest] == sorted(one.at for one in newest)
    assert newest[-1].corrects == first.id


async def test_kind_9_a_message_that_says_of_itself_that_it_is_wrong_is_corrected_by_nothing(
    prison: Served, csw: Served
) -> None:
    """Whoever chooses ids can write that: it hides no correction that there is, and is none that keeps back."""
    thread = await refer(prison, csw)
    sent = await correct(prison, csw, await request_of(prison, thread), thread)
    await settle(prison.station, csw.station)
    await repeated(csw, sent.id, 1, corrects="message_id", message="message_id")
    async with csw.station.parts.store.read() as tx:
        await correcting.check_carried(tx, sent.id, prison.station.desk)
        with pytest.raises(SectionCorrected):
            await correcting.check_carried(tx, await request_of(csw, thread), prison.station.desk)
    assert [one.message for one in await corrections_of(csw, thread)] == [sent.id]
