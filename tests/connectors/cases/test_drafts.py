# SPDX-License-Identifier: Apache-2.0
"""Drafts at a real connector: kept, changed, sent once, deleted, forgotten; and nobody is told before one is sent."""

import asyncio
import json
import secrets
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import func, select

from connectors import home
from connectors.access import TOKEN_FILE
from connectors.api_client import ApiClient
from connectors.cli import main
from connectors.store import drafts, threadtables
from connectors.store.drafts import KEPT
from connectors.store.engine import DATABASE_FILE
from protocol import ids
from protocol.errors import Forbidden, IdempotencyKeyReused, NotFound, PreconditionFailed, RecipientUnavailable
from protocol.http.drafts import DraftContent, DraftRequest, DraftView
from protocol.http.operation import Scope
from protocol.http.problems import InvalidFields
from protocol.http.threads import ListName, ReferralRequest
from protocol.http.tokens import TokenRequest
from protocol.ids import DraftId, Kind
from protocol.limits import DAY
from tests.connectors.cases.test_cases import step
from tests.connectors.cases.test_referral import REQUEST, WORDS, settle
from tests.connectors.cases.test_residual import PART
from tests.connectors.cases.test_thread_api import Served, csw, prison
from tests.connectors.conftest import World
from tests.connectors.fhir.invented import encoded, whole

__all__ = ["csw", "prison"]

PLANTED = "planted-service-code"


def key() -> str:
    return secrets.token_hex(12)


async def keep(served: Served, **content: object) -> DraftView:
    request = DraftRequest.model_validate(content)
    return await served.client.make_draft(request, idempotency_key=key())


async def listed(served: Served) -> list[DraftId]:
    return [one.id for one in (await served.client.drafts()).items]


async def stored(served: Served) -> int:
    async with served.station.parts.store.read() as tx:
        return await tx.connection.scalar(select(func.count()).select_from(threadtables.draft)) or 0


async def test_dft_1_a_draft_is_kept_sealed_changed_by_who_saw_it_and_told_to_nobody(
    prison: Served, csw: Served
) -> None:
    said = {"release_on": "2027-01-20", "place": PLANTED, "lead": None}
    made = await keep(prison, fields=said, sections=[WORDS])
    assert made.fields == said
    assert made.missing[0] == "to"
    # A field that there is not is told as one of the whole, and not by its name.
    assert {"services", "whereabouts", "answer_by", "fields"} <= set(made.missing)
    assert made == await prison.client.draft(made.item.id)
    content = DraftContent(to=csw.station.desk, fields=REQUEST, sections=[WORDS])
    changed = await prison.client.change_draft(made.item.id, content, version=1)
    assert (changed.item.version, changed.missing, changed.fields) == (2, [], REQUEST)
    for late in (1, 3):
        with pytest.raises(PreconditionFailed):
            await prison.client.change_draft(made.item.id, content, version=late)
        with pytest.raises(PreconditionFailed):
            await prison.client.delete_draft(made.item.id, version=late)
        with pytest.raises(PreconditionFailed):
            await prison.client.send_draft(made.item.id, version=late, idempotency_key=key())
    await settle(prison.station, csw.station)
    assert await csw.threads(ListName.ALL) == await prison.threads(ListName.ALL) == []
    for file in prison.station.folder.glob(f"{DATABASE_FILE}*"):
        data = file.read_bytes()
        assert PLANTED.encode() not in data
        assert b"Invented words about an invented need." not in data
    await prison.client.delete_draft(made.item.id, version=2)
    assert await listed(prison) == []
    assert await stored(prison) == 0
    with pytest.raises(NotFound):
        await prison.client.draft(made.item.id)


async def test_dft_2_a_draft_is_sent_once_and_is_none_any_more(prison: Served, csw: Served) -> None:
    made = await keep(prison, to=csw.station.desk, fields={**REQUEST, "answer_by": "no day"}, sections=[WORDS])
    assert made.missing == ["answer_by"]
    with pytest.raises(InvalidFields) as caught:
        await prison.client.send_draft(made.item.id, version=1, idempotency_key=key())
    assert [one.pointer for one in caught.value.fields] == ["/fields/answer_by"]
    assert await listed(prison) == [made.item.id]
    content = DraftContent(to=csw.station.desk, fields=REQUEST, sections=[WORDS])
    await prison.client.change_draft(made.item.id, content, version=1)
    once = key()
    sent = await prison.client.send_draft(made.item.id, version=2, idempotency_key=once)
    assert sent == await prison.client.send_draft(made.item.id, version=2, idempotency_key=once)
    await settle(prison.station, csw.station)
    assert await csw.threads(ListName.NEW) == await prison.threads(ListName.SENT) == [sent.thread]
    view = await csw.client.thread(sent.thread)
    assert "Invented words about an invented need." in str(view.steps[0].sections[0].body)
    assert await listed(prison) == []
    with pytest.raises(NotFound):
        await prison.client.send_draft(made.item.id, version=2, idempotency_key=key())


async def test_dft_2_what_a_referral_is_refused_for_leaves_the_draft_as_it_was(prison: Served) -> None:
    unknown = await keep(prison, to="nobody.polje-csw@hub.example", fields=REQUEST, sections=[WORDS])
    with pytest.raises(RecipientUnavailable):
        await prison.client.send_draft(unknown.item.id, version=1, idempotency_key=key())
    assert (await prison.client.draft(unknown.item.id)) == unknown
    assert await prison.threads(ListName.ALL) == []


async def test_dft_3_a_draft_is_forgotten_ninety_days_after_it_changed_last(prison: Served, world: World) -> None:
    clock = world.hub.clock
    old, young = await keep(prison), await keep(prison)
    assert old.item.ends_at == clock() + KEPT == clock() + 90 * DAY
    clock.advance(KEPT - 1)
    await prison.client.change_draft(young.item.id, DraftContent(fields={"interpreter": True}), version=1)
    assert await listed(prison) == [young.item.id, old.item.id]
    clock.advance(1)
    assert await listed(prison) == [young.item.id]
    with pytest.raises(NotFound):
        await prison.client.draft(old.item.id)
    async with prison.station.parts.store.write() as tx:
        await drafts.forget_old(tx, clock())
    assert await stored(prison) == 1


async def test_dft_4_what_a_recipient_left_becomes_a_draft_once(prison: Served, csw: Served) -> None:
    thread = (await prison.refer(csw.station)).thread
    await settle(prison.station, csw.station)
    await step(csw, thread, "acknowledge", prison)
    assert await listed(prison) == []
    await step(csw, thread, "accept-part", prison, **PART)
    (draft,) = await listed(prison)
    assert await listed(csw) == []
    view = await prison.client.draft(draft)
    assert (view.item.source, view.item.thread, view.missing) == ("residual", thread, ["to"])
    left = (await prison.client.thread(thread)).residual
    assert left is not None
    assert view.fields == left.draft
    await prison.client.delete_draft(draft, version=1)
    # Whatever happens in the thread later, what somebody deleted does not come again.
    await step(csw, thread, "schedule", prison)
    assert await listed(prison) == []
    assert await stored(prison) == 1


@pytest.mark.parametrize("by_draft", [True, False])
async def test_dft_4_what_was_left_is_no_draft_once_somebody_was_asked_for_it(
    prison: Served, csw: Served, by_draft: bool
) -> None:
    thread = (await prison.refer(csw.station)).thread
    await settle(prison.station, csw.station)
    await step(csw, thread, "acknowledge", prison)
    await step(csw, thread, "accept-part", prison, **PART)
    (draft,) = await listed(prison)
    view = await prison.client.draft(draft)
    if by_draft:
        content = DraftContent(to=csw.station.desk, fields=view.fields, sections=[WORDS])
        await prison.client.change_draft(draft, content, version=1)
        await prison.client.send_draft(draft, version=2, idempotency_key=key())
    else:
        request = ReferralRequest(to=csw.station.desk, fields=view.fields, sections=[WORDS])
        await prison.client.refer(request, idempotency_key=key())
    await settle(prison.station, csw.station)
    assert await listed(prison) == []
    assert len(await csw.threads(ListName.ALL)) == 2
    await step(csw, thread, "schedule", prison)
    assert await listed(prison) == []


async def test_dft_4_a_bundle_that_comes_twice_is_kept_once(prison: Served, csw: Served) -> None:
    first, again = [await prison.client.draft_from_fhir(encoded(whole()), keep=True) for _ in range(2)]
    assert first.kept is not None
    assert first == again
    view = await prison.client.draft(first.kept)
    assert (view.item.source, view.fields, view.missing) == ("fhir", first.draft.fields, [])
    assert (await prison.client.draft_from_fhir(encoded(whole()))).kept is None
    assert await listed(prison) == [first.kept]


async def test_the_same_key_keeps_one_draft_and_pages_go_on(prison: Served) -> None:
    once, request = key(), DraftRequest(fields={"interpreter": True})
    one = await prison.client.make_draft(request, idempotency_key=once)
    assert one == await prison.client.make_draft(request, idempotency_key=once)
    with pytest.raises(IdempotencyKeyReused):
        await prison.client.make_draft(DraftRequest(), idempotency_key=once)
    others = [(await keep(prison)).item.id for _ in range(4)]
    found: list[DraftId] = []
    cursor = None
    while True:
        page = await prison.client.drafts(limit=2, cursor=cursor)
        found += [item.id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(found) == sorted([one.item.id, *others])


async def test_what_was_made_says_where_it_is(prison: Served) -> None:
    token = (prison.station.folder / TOKEN_FILE).read_text(encoding="ascii").strip()
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{prison.url}/v1/drafts", json={}, headers=headers) as answer,
    ):
        made = await answer.json()
        assert (answer.status, answer.headers["ETag"]) == (201, '"1"')
        assert answer.headers["Location"] == f"/v1/drafts/{made['item']['id']}"


async def test_con_14_who_may_only_read_sees_drafts_and_changes_none(prison: Served) -> None:
    made = await keep(prison)
    token = await prison.client.make_token(TokenRequest(name="reader", scopes=[Scope.READ]), idempotency_key=key())
    async with aiohttp.ClientSession() as session:
        reader = ApiClient(session, prison.url, token.secret)
        assert (await reader.draft(made.item.id)).item == made.item
        for refused in (
            reader.make_draft(DraftRequest(), idempotency_key=key()),
            reader.change_draft(made.item.id, DraftContent(), version=1),
            reader.send_draft(made.item.id, version=1, idempotency_key=key()),
            reader.delete_draft(made.item.id, version=1),
        ):
            with pytest.raises(Forbidden):
                await refused


async def test_the_commands_lead_a_draft_from_a_file_to_a_referral(
    prison: Served, csw: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THROUGHCARE_HOME", str(tmp_path))
    folder = prison.station.folder
    home.register(home.Profile("gora-prison", prison.station.desk, prison.url, str(folder / TOKEN_FILE), str(folder)))

    async def typed(*words: str) -> str:
        assert await asyncio.to_thread(main, ["draft", *words, "--agency", "gora-prison"]) == 0
        return capsys.readouterr().out

    half, rest = tmp_path / "half.json", tmp_path / "rest.json"
    half.write_text(json.dumps({"fields": {"services": REQUEST["services"]}}), encoding="utf-8")
    sections = [WORDS.model_dump(mode="json", exclude_none=True)]
    rest.write_text(json.dumps({"fields": REQUEST, "sections": sections}), encoding="utf-8")
    said = json.loads(await typed("make", "--input", str(half), "--json"))
    draft = said["item"]["id"]
    assert "to" in said["missing"]
    assert draft in await typed("list")
    assert "missing: whereabouts" in await typed("show", draft)
    assert "missing" not in await typed("change", draft, "--input", str(rest), "--to", csw.station.desk)
    shown = json.loads(await typed("show", draft, "--json"))
    assert (shown["item"]["version"], len(shown["sections"])) == (2, 1)
    assert "is sent" in await typed("send", draft)
    other = json.loads(await typed("make", "--json"))["item"]["id"]
    await typed("delete", other)
    assert await listed(prison) == []
    assert len(await prison.threads(ListName.SENT)) == 1
    assert ids.raw(Kind.DRAFT, draft) != ids.raw(Kind.DRAFT, other)
