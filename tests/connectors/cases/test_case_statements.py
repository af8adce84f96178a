# SPDX-License-Identifier: Apache-2.0
"""However much a case waits for, to show it asks the store as often as where it waits for one thing."""

import secrets
from collections.abc import Awaitable
from typing import Any

from sqlalchemy import event

from connectors.cases.answering import unnoted_alerts
from protocol.http.cases import CaseFilter
from protocol.http.messages import MessageRequest
from protocol.ids import CaseId, MessageId, ThreadId
from protocol.limits import DAY
from tests.connectors.cases.test_heard import hear, say_to
from tests.connectors.cases.test_referral import settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World

__all__ = ["csw", "prison"]


async def statements(served: Served, work: Awaitable[int]) -> tuple[int, int]:
    """Return what `work` gives, and how many statements the connector's store is asked by it."""
    seen = list[str]()

    def note(_: object, __: object, statement: str, *___: Any) -> None:
        seen.append(statement)

    engine = served.station.parts.store._readers.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        return await work, len(seen)
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def due(served: Served, case: CaseId) -> int:
    return len((await served.client.case(case)).due)


async def unnoted(served: Served, thread: ThreadId) -> int:
    async with served.station.parts.store.read() as tx:
        return len(await unnoted_alerts(tx, thread))


async def alerts(
    world: World, prison: Served, csw: Served, count: int, thread: ThreadId | None = None
) -> list[MessageId]:
    """Send so many alerts in one thread, and let them arrive."""
    sent = list[MessageId]()
    for _ in range(count):
        fields: dict[str, Any] = {"imminence": "now", "answer_by": world.hub.clock() + DAY}
        request = MessageRequest(kind="alert.risk", to=[csw.station.desk], fields=fields, thread=thread)
        queued = await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))
        sent.append(queued.id)
        thread = thread or (await prison.client.message(queued.id)).item.thread
    await settle(prison.station, csw.station)
    await hear(prison.station, csw.station)
    return sent


async def test_a_case_is_shown_by_as_many_statements_whether_it_waits_for_one_message_or_for_twenty(
    world: World, prison: Served, csw: Served
) -> None:
    (first,) = await alerts(world, prison, csw, 1)
    thread = (await prison.client.message(first)).item.thread
    await say_to(csw, prison, first, "noted")
    counted = set[tuple[int, ...]]()
    # Each is to be noted and answered; three are noted only, of which the first two before anything is counted.
    for more, waits, left in ((1, 2, 0), (19, 2 * 18 + 3, 18)):
        sent = await alerts(world, prison, csw, more, thread)
        await say_to(csw, prison, sent[0], "noted")
        for served in (prison, csw):
            (case,) = (await served.client.cases(CaseFilter())).items
            found, shown = await statements(served, due(served, case.id))
            unseen, listed = await statements(served, unnoted(served, thread))
            assert (found, unseen) == (waits, left)
            counted.add((served is prison, shown, listed))
    assert len(counted) == 2, "as many on each side, whether one message waits or twenty"
