# SPDX-License-Identifier: Apache-2.0
"""A person changes prison while a referral is blocked: everybody else is told, and that one once it goes on (REF-9)."""

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from connectors.store import tables, threads
from protocol import ids
from protocol.errors import IllegalTransition, InvalidInput
from protocol.http.messages import SEND_MESSAGE, MessageFilter, MessageQueued, MessageRequest
from protocol.http.threads import StepRequest
from protocol.ids import Kind, ThreadId
from tests.connectors.cases.test_cases import refer, step
from tests.connectors.cases.test_referral import OFFICER, agreed, settle
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.typing import type_at

__all__ = ["csw", "prison"]

NUMBER: dict[str, Any] = {"register_numbers": {"sender": "G-17"}}
BLOCK: dict[str, Any] = {"reason": "consent-withdrawn", "capacity": "data-protection"}
UNBLOCK: dict[str, Any] = {"basis": "statute", "agreed_by": OFFICER}
TRANSFER: dict[str, Any] = {
    "from_agency": "gora-prison@hub.example",
    "to_agency": "gora-prison@hub.example",
    "moved_on": "2027-01-15",
    **NUMBER,
}


async def two(prison: Served, csw: Served) -> tuple[ThreadId, ThreadId]:
    """Return an open referral and a blocked one of the same case."""
    open_ = await refer(prison, csw, **NUMBER)
    blocked = await refer(prison, csw, duplicates="sent-anyway", **NUMBER)
    await step(prison, blocked, "block", csw, **BLOCK)
    return open_, blocked


async def tell(prison: Served, csw: Served, **more: Any) -> MessageQueued:
    request = MessageRequest(
        kind="custody.transferred", to=[csw.station.desk], fields={**TRANSFER, "officer": OFFICER, **more}
    )
    queued = await prison.client.send_message(request, idempotency_key=secrets.token_hex(12))
    await settle(prison.station, csw.station)
    return queued


async def events(served: Served, thread: ThreadId) -> list[str]:
    return [one.event for one in (await served.client.thread(thread)).steps]


async def test_ref_9_a_blocked_referral_keeps_nobody_from_hearing_of_a_transfer_and_is_told_when_it_goes_on(
    prison: Served, csw: Served, world: World
) -> None:
    open_, blocked = await two(prison, csw)
    first = await tell(prison, csw)
    world.hub.clock.advance(1)
    second = await tell(prison, csw, moved_on="2027-01-16")
    assert first.blocked_referrals == second.blocked_referrals == [blocked]
    for served in (prison, csw):
        assert (await events(served, open_))[-2:] == ["custody-moved"] * 2
        # No basis stands on which its recipient could be told anything.
        assert (await events(served, blocked))[-1] == "block"
    seen = (await prison.client.thread(blocked)).item.version
    unblock = StepRequest(event="unblock", fields=UNBLOCK)
    moved = await prison.client.step(blocked, unblock, version=seen, idempotency_key=secrets.token_hex(12))
    assert (moved.state, moved.version) == ("delivered", (await prison.client.thread(blocked)).item.version)
    await settle(prison.station, csw.station)
    assert await agreed(blocked, prison.station, csw.station) == "delivered"
    for served in (prison, csw):
        last = (await served.client.thread(blocked)).steps[-1]
        assert (last.event, last.refused) == ("custody-moved", None)
        assert last.payload["notice"] == ids.text(Kind.MESSAGE, second.id), "the newest, and that alone"
        assert (last.payload["moved_on"], last.payload["officer"]) == ("2027-01-16", OFFICER)
    assert (await events(csw, blocked)).count("custody-moved") == 1
    # Blocked and unblocked once more, it is not told again of what it knows.
    await step(prison, blocked, "block", csw, **BLOCK)
    await step(prison, blocked, "unblock", csw, **UNBLOCK)
    assert (await events(csw, blocked)).count("custody-moved") == 1


async def test_lif_8_who_leads_once_the_person_has_changed_prison_may_be_another_agencys_officer(
    prison: Served, csw: Served
) -> None:
    thread, there = await refer(prison, csw, **NUMBER), ids.text(Kind.OFFICER, b"x" * 16)
    await step(prison, thread, "custody-moved", csw, officer=there, moved_on="2027-01-14")
    await tell(prison, csw, officer=there)
    for told in (await csw.client.thread(thread)).steps[-2:]:
        assert (told.event, told.refused, told.payload["officer"]) == ("custody-moved", None, there)


async def test_ref_9_a_referral_that_began_after_a_transfer_is_not_told_of_it(
    prison: Served, csw: Served, world: World
) -> None:
    await refer(prison, csw, **NUMBER)
    await tell(prison, csw)
    world.hub.clock.advance(1)
    blocked = await refer(prison, csw, duplicates="sent-anyway", **NUMBER)
    await step(prison, blocked, "block", csw, **BLOCK)
    await step(prison, blocked, "unblock", csw, **UNBLOCK)
    assert (await events(csw, blocked))[-1] == "unblock"


async def test_con_8_a_transfer_that_the_disk_has_damaged_keeps_no_referral_blocked(
    prison: Served, csw: Served
) -> None:
    _, blocked = await two(prison, csw)
    await tell(prison, csw)
    damaged = update(tables.outgoing).where(tables.outgoing.c.payload_type == "custody.transferred")
    async with prison.station.parts.store.write() as tx:
        await tx.connection.execute(damaged.values(sealed=b"damaged"))
    await step(prison, blocked, "unblock", csw, **UNBLOCK)
    assert (await events(csw, blocked))[-1] == "unblock"


async def test_ref_9_a_transfer_with_a_blocked_referral_names_who_leads(prison: Served, csw: Served) -> None:
    thread = await refer(prison, csw, **NUMBER)
    await step(prison, thread, "block", csw, **BLOCK)
    with pytest.raises(InvalidInput, match="who leads them"):
        await tell(prison, csw, officer=None)
    assert (await prison.client.messages(MessageFilter(kind="custody.transferred"))).items == []


async def test_ref_9_a_referral_that_cannot_be_told_is_named(prison: Served, csw: Served) -> None:
    _, blocked = await two(prison, csw)
    # Its row says something else than its moves, as no row should.
    async with prison.station.parts.store.write() as tx:
        await threads.put(tx, replace(await threads.load(tx, blocked), state="active"))
    with pytest.raises(IllegalTransition, match=ids.text(Kind.THREAD, blocked)):
        await tell(prison, csw)
    assert IllegalTransition in SEND_MESSAGE.errors
    assert (await prison.client.messages(MessageFilter(kind="custody.transferred"))).items == []
    # One whose beginning never had force has no recipient to be told.
    async with prison.station.parts.store.write() as tx:
        await threads.put(tx, replace(await threads.load(tx, blocked), state="draft"))
    assert (await tell(prison, csw)).blocked_referrals == []


async def test_the_command_names_the_referrals_that_are_told_later(
    prison: Served, csw: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    _, blocked = await two(prison, csw)
    file = tmp_path / "transfer.json"
    file.write_text(json.dumps({"fields": {**TRANSFER, "officer": OFFICER}}), encoding="utf-8")
    typed = "message", "send", "custody.transferred", "--to", csw.station.desk, "--input", file
    assert await type_at(prison.station, prison.url, *typed) == 0
    assert (
        f"{ids.text(Kind.THREAD, blocked)} is blocked: its recipient is told once it goes on" in capsys.readouterr().err
    )
