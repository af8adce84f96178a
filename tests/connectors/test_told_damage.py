# SPDX-License-Identifier: Apache-2.0
"""Whoever asks for what the disk has damaged is told that it is the connector's fault, and the log says it (CON-28)."""

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from sqlalchemy import Table, update

from connectors.access import TOKEN_FILE, read_token
from connectors.cli.failures import exit_code, next_step
from connectors.dropfolder.files import Folders
from connectors.store import tables, threadtables
from protocol.errors import StoreDamaged
from protocol.http.operation import Scope
from protocol.http.problems import is_permanent
from protocol.http.tokens import TokenRequest
from protocol.ids import Kind, MessageId, ThreadId, text
from tests.connectors.cases.test_referral import FIELDS, refer, settle
from tests.connectors.cases.test_thread_api import Served, serve
from tests.connectors.conftest import World
from tests.connectors.damaging import drop_folder

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


@pytest.fixture
async def prison(world: World) -> AsyncIterator[Served]:
    async for one in serve(world.prison, world):
        yield one


async def spoil(served: Served, table: Table, which: MessageId | ThreadId | None = None) -> None:
    """Write other bytes over what is sealed in a table, of one message or thread or of all."""
    statement = update(table).values(sealed=bytes(60))
    if which is not None:
        statement = statement.where(table.c.thread == which)
    async with served.station.parts.store.write() as tx:
        await tx.connection.execute(statement)


async def ask(served: Served, path: str, *, method: str = "GET", **more: Any) -> tuple[int, dict[str, Any]]:
    """Make one request by hand, as any program would, and return status and body."""
    headers = {"Authorization": f"Bearer {read_token(served.station.folder / TOKEN_FILE)}", **more.pop("headers", {})}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, served.url + path, headers=headers, **more) as answer,
    ):
        return answer.status, json.loads(await answer.read())


def logged(served: Served, code: str) -> list[tuple[str, str]]:
    """Return event and level of each line of the log with this code."""
    lines = [json.loads(line) for line in served.station.logged.getvalue().splitlines()]
    return [(line["event"], line["level"]) for line in lines if line.get("code") == code]


async def test_con_28_a_damaged_handover_is_this_connectors_fault_and_is_logged_once(
    prison: Served, world: World
) -> None:
    sent = await world.prison.send(world.probation.desk)
    await spoil(prison, tables.outgoing)
    which = text(Kind.MESSAGE, sent)
    for count, path in enumerate((f"handovers/{which}", f"messages/{which}", f"handovers/{which}/print"), start=1):
        status, told = await ask(prison, f"/v1/{path}")
        assert (status, told["code"], told["retryable"]) == (500, "store-damaged", False), told
        assert "throughcare doctor" in told["detail"]
        assert "The request is not wrong" in told["detail"]
        assert logged(prison, "store-damaged") == [("request-failed", "error")] * count
    assert "keystore" not in prison.station.logged.getvalue()
    status, listed = await ask(prison, "/v1/handovers")
    assert (status, [one["state"] for one in listed["items"]]) == (200, ["damaged"]), "a list shows it as that"


async def test_con_28_a_step_in_a_damaged_thread_is_refused_as_this_connectors_fault(
    prison: Served, world: World
) -> None:
    thread = (await refer(world.prison, world.social_work)).thread
    await settle(world.prison, world.social_work)
    _, seen = await ask(prison, path := f"/v1/threads/{text(Kind.THREAD, thread)}")
    await spoil(prison, threadtables.move, thread)
    headers = {"Idempotency-Key": secrets.token_hex(12), "If-Match": f'"{seen["item"]["version"]}"'}
    body = {"event": "withdraw", "fields": FIELDS["withdraw"]}
    status, told = await ask(prison, f"{path}/steps", method="POST", headers=headers, json=body)
    assert (status, told["code"]) == (500, "store-damaged"), told
    assert logged(prison, "store-damaged") == [("request-failed", "error")]


async def test_con_28_a_dropped_file_that_meets_damage_is_put_aside_with_the_reason_and_holds_up_nothing(
    prison: Served, world: World
) -> None:
    thread = (await refer(world.prison, world.social_work)).thread
    await settle(world.prison, world.social_work)
    await spoil(prison, threadtables.move, thread)
    folders, dropping = Folders(world.prison.folder / "drop"), drop_folder(world.prison)
    await dropping.prepare()
    step: dict[str, Any] = {"operation": "makeStep", "thread": text(Kind.THREAD, thread), "body": {}}
    step["body"] = {"event": "withdraw", "fields": FIELDS["withdraw"]}
    (folders.incoming / "step.json").write_text(json.dumps(step))
    await dropping.step()
    reason = json.loads((folders.refused / "step.reason.json").read_bytes())
    assert (reason["code"], reason["status"]) == ("store-damaged", 500)
    assert logged(prison, "store-damaged") == [("drop-refused", "warning")]


async def test_con_28_who_holds_an_altered_token_learns_that_and_a_stranger_nothing(prison: Served) -> None:
    asked = TokenRequest(name="case system", scopes=[Scope.WATCH])
    made = await prison.client.make_token(asked, idempotency_key=secrets.token_hex(12))
    await spoil(prison, tables.token)
    status, told = await ask(prison, "/v1/status", headers={"Authorization": f"Bearer {made.secret}"})
    assert (status, told["code"]) == (500, "store-damaged"), told
    other = made.secret[:-1] + ("A" if made.secret[-1] != "A" else "B")
    status, told = await ask(prison, "/v1/status", headers={"Authorization": f"Bearer {other}"})
    assert (status, told["code"]) == (401, "not-authenticated")


async def test_con_28_no_caller_can_make_his_own_mistake_look_like_damage(prison: Served) -> None:
    """A name in the other spelling of its letters, as one system writes them, is no damage of ours."""
    for name in ("scan\u0063\u030c.pdf", "\ud7a3\u0301\u0327"):
        status, told = await ask(
            prison, "/v1/attachments", method="POST", params={"name": name}, data=b"x",
            headers={"Content-Type": "application/octet-stream", "Idempotency-Key": secrets.token_hex(12)},
        )  # fmt: skip
        assert (status, told["code"]) == (422, "invalid-input"), told
        assert [one["pointer"] for one in told["errors"]] == ["/name"]
    assert logged(prison, "store-damaged") == []


def test_con_28_the_command_line_ends_as_for_damage_and_sends_people_to_the_doctor() -> None:
    error = StoreDamaged()
    assert exit_code(error) == 8
    assert next_step(error).startswith("throughcare doctor")
    assert not error.retryable
    assert not is_permanent(error), "a message that waits is given up for a fault of its own only"
